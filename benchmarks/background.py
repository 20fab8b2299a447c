"""Bias and scatter of the background's methods, on simulated rates of every mode.

    python benchmarks/background.py [--seeds 20] [--modes niriss-soss ...] [--output FILE]

For each mode and method: the mean of what the step leaves at the trace (the level subtracted
less the noise-free sky and dark there) over the error of one line's level in one integration,
its largest value among the seeds, and its mean over its own scatter (z); the scatter of white
light and of single wavelengths against the true light curves, over the error of the noise-free
limit; and the bias of the white transit depth over its scatter (z). Rates are drawn with all
standard noise except the 1/f noise, which `clean_1overf` takes off before, and with it
("stripes").
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

import tsoxr
from tsoxr import simulation

MODES = (
    "nirspec-prism", "nirspec-g395h", "nirspec-g395m", "niriss-soss", "nircam-grism", "miri-lrs",
)  # fmt: skip
METHODS = {
    "mean": {"method": "mean", "order": 0},
    "line": {"method": "mean", "order": 1},
    "parabola": {"method": "mean", "order": 2},
    "median": {"method": "median", "order": 0},
    "mean, wings left": {"method": "mean", "order": 0, "wings": False},
    "mean, wings": {"method": "mean", "order": 0, "wings": True},
    "mean, constant": {"method": "mean", "order": 0, "constant": True},
    "rows": {"method": "rows"},
    "learned": {"method": "template", "order": 0},
    "template": {"method": "template", "order": 0},
    "template, 2 scales": {"method": "template", "order": 0, "scales": 2},
}
WITHOUT_STRIPES = (
    "photon",
    "read",
    "background",
    "dark",
    "flat",
    "bad_pixels",
    "contaminants",
    "jitter",
)


def exposure_of(mode: str, seed: int, n_integrations: int, *, stripes: bool):
    noise = (*WITHOUT_STRIPES, "one_over_f") if stripes else WITHOUT_STRIPES
    return simulation.exposure(mode, seed=seed, n_integrations=n_integrations, noise=noise)


def measure(
    mode: str, seed: int, n_integrations: int, methods: Iterable[str] = METHODS, *, stripes: bool
) -> dict[str, dict]:
    """Return the figures of each method for one exposure."""
    exposure = exposure_of(mode, seed, n_integrations, stripes=stripes)
    truth = exposure.truth()
    rates = exposure.rates().tso.find_trace()
    along, space = rates.attrs["dispersion_dim"], rates.attrs["spatial_dim"]
    sky = (exposure.scene.sky + np.median(exposure.maps.dark)) / np.median(exposure.maps.gain)
    sky = xr.DataArray(sky, dims=("y", "x")).transpose(space, along).values
    row = np.round(rates["trace_center"].values).astype(int)
    at_trace = sky[np.clip(row, 0, sky.shape[0] - 1), np.arange(row.size)]
    found = {}
    for name in methods:
        given = METHODS[name]
        if name.startswith("template"):
            if mode not in ("niriss-soss", "nircam-grism") or (
                "2" in name and mode != "niriss-soss"
            ):
                continue
            given = given | {"template": truth["background"].values * 3.0}
        start = time.perf_counter()
        out = rates.tso.subtract_background(**given)
        seconds = time.perf_counter() - start
        level = out["subtract_background_level"].transpose("time", along).values
        error = np.sqrt(out["level_variance"].values)
        spectra = out.tso.assign_wavelength().tso.extract()
        lit = np.isin(rates[along].values, spectra["dispersion_pixel"].values)
        off = (level - at_trace)[:, lit].mean() / np.median(error[lit])
        found[name] = {"residual": off, "seconds": seconds, **light(spectra, truth)}
    return found


def light(spectra, truth) -> dict[str, float]:
    """Return scatter over the summed errors, and the error of the depth in white light."""
    order = np.argsort(truth["dispersion_pixel"].values)
    pixel = spectra["dispersion_pixel"].values
    place = order[np.searchsorted(truth["dispersion_pixel"].values[order], pixel)]
    model = truth["flux"].values[:, place]
    flux, error = spectra["flux"].values.astype(float), spectra["flux_error"].values.astype(float)
    usual = np.median(flux / model, axis=0)
    used = np.isfinite(usual) & (usual > 0)
    flux, error, model, usual = (a[..., used] for a in (flux, error, model, usual))
    flux = np.nan_to_num(flux - usual * model)
    white = flux.sum(axis=1) / usual.sum()
    expected = (model * usual).sum(axis=1) / usual.sum()
    dip = 1.0 - expected
    terms = np.stack([np.ones_like(dip), dip], axis=1)
    fit = np.linalg.lstsq(terms, white, rcond=None)[0]
    scatter = 1.4826 * np.median(np.abs(np.diff(white))) / np.sqrt(2)
    channel = 1.4826 * np.median(np.abs(np.diff(flux, axis=0)), axis=0) / np.sqrt(2)
    return {
        "white": scatter * 1e6,
        "channel": float(np.median(channel / usual)) * 1e6,
        "pull": float(np.median(channel / np.median(error, axis=0))),
        "depth": -fit[1] * dip.max() * 1e6,
    }


def line_of(name: str, runs: list[dict]) -> str:
    value = {k: np.array([r[k] for r in runs]) for k in runs[0]}
    n = len(runs)
    z = lambda a: a.mean() / (a.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan  # noqa: E731
    return (
        f"  {name:20s} {value['residual'].mean():8.3f} {np.abs(value['residual']).max():8.3f} "
        f"{z(value['residual']):7.1f} {value['white'].mean():8.1f} {value['channel'].mean():9.1f} "
        f"{value['pull'].mean():6.3f} {value['depth'].mean():8.1f} {z(value['depth']):6.1f} "
        f"{value['seconds'].min():7.2f}"
    )


HEADER = (
    f"  {'method':20s} {'residual':>8s} {'largest':>8s} {'z':>7s} {'white':>8s} {'channel':>9s} "
    f"{'pull':>6s} {'depth':>8s} {'z':>6s} {'seconds':>7s}\n"
    f"  {'':20s} {'[error]':>8s} {'[error]':>8s} {'':7s} {'[ppm]':>8s} {'[ppm]':>9s} "
    f"{'':6s} {'[ppm]':>8s}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--modes", nargs="+", default=MODES)
    parser.add_argument("--integrations", type=int, default=30)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--stripes", choices=("without", "with", "both"), default="both")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    lines = [
        f"tsoxr {tsoxr.__version__}, {args.seeds} seeds, {args.integrations} integrations each",
        "",
    ]
    for mode in args.modes:
        for stripes in {"without": (False,), "with": (True,), "both": (False, True)}[args.stripes]:
            runs = [
                measure(mode, seed, args.integrations, args.methods, stripes=stripes)
                for seed in range(args.seeds)
            ]
            lines += [f"{mode}{', stripes' if stripes else ''}", HEADER]
            lines += [line_of(name, [r[name] for r in runs]) for name in runs[0]]
            lines.append("")
            print("\n".join(lines[-len(runs[0]) - 3 :]), flush=True)
    if args.output:
        args.output.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
