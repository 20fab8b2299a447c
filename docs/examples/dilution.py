"""How much of a transit each way of removing 1/f noise takes away with the stripes.

The pixels that measure a stripe hold light of the star's wings, and so follow the transit. A
SOSS exposure (SUBSTRIP96) is simulated with a deep transit and with wide wings that hold a given part of
the light, with read and 1/f noise but without that of photons. Printed is the depth of the white light
minus that of the same exposure without noise and without the step, ppm: mean over seeds and
its error; without and with `subtract_background`.
"""

from __future__ import annotations

import argparse

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

import tsoxr

WAYS = {
    "none": None,
    "median, scale=False": {"method": "median", "scale": False},
    "mean, scale=False": {"method": "mean", "scale": False},
    "median": {"method": "median"},
    "mean (default)": {"method": "mean"},
    "scaled": {"method": "scaled"},
}
SETUP = {
    "subarray": "SUBSTRIP96",
    "n_integrations": 24,
    "n_groups": 3,
    "radius_ratio": 0.15,
    "noise": ("read", "one_over_f"),
}
RATES = ("find_trace", "subtract_background", "assign_wavelength", "extract")


def with_wings(part: float, width: float = 25.0) -> np.ndarray:
    """Return the image (y, x) of a star, DN/s, with a part of its light in wide wings."""
    plain = tsoxr.simulation.exposure("niriss-soss", **SETUP | {"noise": (), "n_integrations": 1})
    image = plain.truth(stripes=False)["rate"].values
    return (1 - part) * image + part * gaussian_filter1d(image, width, axis=0, mode="constant")


def depth(ramps: xr.Dataset, inside: np.ndarray) -> np.ndarray:
    """Return the depth of the white light, ppm, without and with the background subtracted."""
    rates = ramps.tso.fit_ramps()
    return np.array([_depth(rates, inside, ("subtract_background",)), _depth(rates, inside, ())])


def _depth(ds: xr.Dataset, inside: np.ndarray, left_out: tuple[str, ...]) -> float:
    for name in RATES:
        ds = ds if name in left_out else getattr(ds.tso, name)()
    flux = ds.tso.white_light()["flux"].values[:, 0]
    return 1e6 * (1 - flux[inside == 1].mean() / flux[inside == 0].mean())


def excess(frame: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the depths of each way minus those of the exposure without noise, ppm."""
    exposure = tsoxr.simulation.exposure("niriss-soss", seed=seed, frame=frame, **SETUP)
    light = exposure.truth(stripes=False)["white_flux"].values
    whole = light.max() - light.min()
    inside = np.where(light < light.min() + 0.2 * whole, 1, np.where(light == light.max(), 0, 2))
    exact = depth(exposure.replace(noise=()).ramps(), inside)
    ramps = exposure.ramps()
    return {
        name: depth(ramps if how is None else ramps.tso.clean_1overf(**how), inside) - exact
        for name, how in WAYS.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--wings", type=float, default=0.03)
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    frame = with_wings(given.wings)
    found = [excess(frame, seed) for seed in range(given.seeds)]
    title = f"{given.seeds} seeds, wings with {given.wings:.0%} of the light: depth - exact [ppm]"
    lines = [
        f"| {title} | no background subtracted | background subtracted |",
        "|---|---|---|",
    ]
    for name in WAYS:
        values = np.array([each[name] for each in found])
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        cells = [f"{m:+.0f} ± {e:.0f}" for m, e in zip(mean, error, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
