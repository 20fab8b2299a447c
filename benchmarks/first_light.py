"""Injected truth against the whole chain: scatter, depth and error bars over many seeds.

Simulates exposures with the standard noise, reduces each from raw ramps with nothing but
defaults, and prints a table: the scatter of the white light over what photons and reads
alone would make, the scatter over the error bars, and the depth's deviation from the
injected one in units of its own error (z), for the white light and for spectral bins.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import xarray as xr

import tsoxr

RAMPS = (
    "flag_saturation",
    "subtract_bias",
    "correct_reference_pixels",
    "clean_1overf",
    "linearize",
    "flag_jumps",
    "fit_ramps",
)
RATES = ("flag_outliers", "find_trace", "subtract_background", "assign_wavelength", "extract")
N_PIXELS = 30


@dataclass(frozen=True)
class Score:
    """How one exposure came out: ratios of noise, and depths minus truth over error."""

    over_limit: float
    over_error: float
    z_white: float
    z_bins: np.ndarray


def reduced(ramps: xr.Dataset) -> xr.Dataset:
    """Return the spectra that the chain makes of raw ramps with its defaults."""
    for name in RAMPS + RATES:
        ramps = getattr(tsoxr.steps, name)(ramps)
    return ramps


def depth(curves: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Return the box depth of light curves, with the ephemeris of the truth."""
    marked = curves.tso.mark_transit(t0=truth.attrs["t0"], duration=truth.attrs["transit_duration"])
    return marked.tso.spectrum()


def score(mode: str, seed: int, n_integrations: int) -> Score:
    """Simulate, reduce and compare one exposure."""
    given = {"seed": seed, "n_integrations": n_integrations}
    exposure = tsoxr.simulation.exposure(mode, **given)
    truth, spectra = exposure.truth(), reduced(exposure.ramps())
    white, curves = spectra.tso.white_light(), spectra.tso.bin(n_pixels=N_PIXELS)
    model = (truth["white_flux"] / truth["white_flux"].median()).values
    flux = white["flux"].values[:, 0]
    scatter = 1e6 * float(np.std(flux - model * np.median(flux / model)))
    exact = white.assign(flux=(("time", "wavelength"), model[:, None], white["flux"].attrs))
    measured, injected = depth(white, truth), depth(exact, truth)
    ideal = tsoxr.simulation.exposure(mode, **given, noise=()).spectra()
    edges = (*curves["wavelength_bounds"].values[:, 0], curves["wavelength_bounds"].values[-1, 1])
    bins, bins_injected = depth(curves, truth), depth(ideal.tso.bin(edges=edges), truth)
    z_bins = (bins["depth"].values - bins_injected["depth"].values) / bins["depth_error"].values
    return Score(
        over_limit=scatter / float(truth["white_flux_error"]),
        over_error=scatter / (1e6 * float(white["flux_error"].median())),
        z_white=((measured["depth"] - injected["depth"]) / measured["depth_error"]).item(),
        z_bins=z_bins[np.isfinite(z_bins)],
    )


def table(mode: str, n_integrations: int, scores: list[Score]) -> str:
    """Return the figures of many exposures as a Markdown table."""
    limit = np.array([s.over_limit for s in scores])
    error = np.array([s.over_error for s in scores])
    z = np.array([s.z_white for s in scores])
    bins = np.concatenate([s.z_bins for s in scores])
    n = len(scores)
    rows = [
        (
            "white light: scatter over photon and read noise",
            f"{limit.mean():.3f} (largest {limit.max():.3f})",
        ),
        ("white light: scatter over error bars", f"{error.mean():.3f}"),
        ("white light: z of the depth, mean and largest", f"{z.mean():+.2f}, {abs(z).max():.2f}"),
        (
            f"white light: standard deviation of z ({n} values)",
            f"{z.std(ddof=1):.2f} ± {1 / np.sqrt(2 * n - 2):.2f}",
        ),
        ("bins: mean of z", f"{bins.mean():+.2f} ± {bins.std() / np.sqrt(bins.size):.2f}"),
        (
            f"bins: standard deviation of z ({bins.size} values)",
            f"{bins.std():.2f} ± {1 / np.sqrt(2 * bins.size):.2f}",
        ),
    ]
    head = [f"| {mode}, {n} seeds, {n_integrations} integrations | measured |", "|---|---|"]
    return "\n".join([*head, *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", nargs="+", default=["nirspec-prism", "miri-lrs"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--integrations", type=int, default=240)
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    for mode in given.mode:
        scores = [score(mode, seed, given.integrations) for seed in range(given.seeds)]
        print(table(mode, given.integrations, scores), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
