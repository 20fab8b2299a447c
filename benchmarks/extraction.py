"""All methods of extraction on the same exposures: scatter, bias, error bars and speed.

    python benchmarks/extraction.py                       # table of all modes, 20 seeds
    python benchmarks/extraction.py --keep DIR            # keeps the rates, goes on from them
    python benchmarks/extraction.py --mode nircam-grism --methods optimal covariance --seeds 4
    python benchmarks/extraction.py --speed               # the call as a whole, long exposures
    python benchmarks/extraction.py --speed --specreduce PYTHON --exotedrf PYTHON

Simulated exposures with the standard noise are reduced once from raw ramps with defaults, and
extracted by each method. Scatter is that about the injected light curve, over the limit of an
optimal sum with photon and read noise alone. "error" is predicted over measured scatter. The
depth is that of a box out of white light and of bins of 30 pixels, z its deviation from the injected
one over its error.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from _extraction_speed import against_peers, whole_calls
from _real_scene import REAL, real_scene
from first_light import N_PIXELS, RAMPS, depth
from stripes import SETUPS

import tsoxr
from tsoxr.steps._extraction_methods import METHODS

CASES: dict[str, dict[str, Any]] = {
    **SETUPS,
    "nirspec-g395m": {"n_groups": 6},
    "nirspec-prism, faint": {"n_groups": 10, "brightness": 0.02},
    "niriss-soss, substrip256": {"subarray": "SUBSTRIP256", "n_groups": 4},
    "nirspec-g395h, nrs2": {"n_groups": 6, "detector": "NRS2"},
}
WIDE = {"covariance, half width 30": {"method": "covariance", "half_width": 30.0}}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "niriss-soss": WIDE,
    "niriss-soss, substrip256": WIDE,
}
"""Ways beside the methods with the mode's aperture."""
RATES = (
    "flag_bad_pixels",
    "flag_outliers",
    "find_trace",
    "subtract_background",
    "track",
    "assign_wavelength",
)
KEYS = ("white", "channels", "error white", "error channels", "bias", "z", "z of bins")
ROBUST = 1.4826
PPM = 1e6


def exposure(case: str, seed: int, n_integrations: int) -> tsoxr.simulation.Exposure:
    """Return one exposure of a case."""
    given = (real_scene() if case == REAL else CASES[case]) | {
        "seed": seed,
        "n_integrations": n_integrations,
    }
    return tsoxr.simulation.exposure(case.partition(",")[0], **given)


def prepared(made: tsoxr.simulation.Exposure, kept: Path | None) -> xr.Dataset:
    """Return the rates, ready to be extracted; from ``kept`` where they lie there."""
    if kept is not None and kept.exists():
        return tsoxr.open(kept)
    ds = made.ramps()
    for name in RAMPS + RATES:
        ds = getattr(tsoxr.steps, name)(ds)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        ds.tso.save(kept)
    return ds


def limit(truth: xr.Dataset, spectra: xr.Dataset) -> np.ndarray:
    """Return the limit of photons and reads at the wavelengths of spectra, ppm."""
    name = "dispersion_pixel" if "dispersion_pixel" in truth.variables else "wavelength"
    order = np.argsort(truth[name].values)
    at, error = truth[name].values[order], truth["flux_error"].values[order]
    return np.interp(spectra[name].values, at, error, left=np.nan, right=np.nan)


def channels(spectra: xr.Dataset, truth: xr.Dataset, model: np.ndarray) -> tuple[float, float]:
    """Return median scatter over limit and median predicted over measured scatter."""
    flux = spectra["flux"].values
    ratio = flux / np.nanmedian(flux, axis=0) / model[:, None]
    scatter = ROBUST * np.nanmedian(abs(ratio - np.nanmedian(ratio, axis=0)), axis=0)
    error = np.nanmedian(spectra["flux_error"].values, axis=0) / np.nanmedian(flux, axis=0)
    lit = np.isfinite(limit(truth, spectra)) & (scatter < 1.0)
    over = PPM * scatter / limit(truth, spectra)
    return float(np.median(over[lit])), float(np.median((error / scatter)[lit]))


def score(
    spectra: xr.Dataset, truth: xr.Dataset, injected: xr.Dataset
) -> dict[str, float | np.ndarray]:
    """Compare the spectra of one exposure with what was put in."""
    model = (truth["white_flux"] / truth["white_flux"].median()).values
    spectra = spectra.isel(wavelength=np.isfinite(spectra["flux"]).any("time").values)
    white, curves = spectra.tso.white_light(), spectra.tso.bin(n_pixels=N_PIXELS)
    flux = white["flux"].values[:, 0]
    scatter = float(np.std(flux - model * np.median(flux / model)))
    exact = white.assign(flux=(("time", "wavelength"), model[:, None], white["flux"].attrs))
    found, put_in = depth(white, truth), depth(exact, truth)
    edges = (*curves["wavelength_bounds"].values[:, 0], curves["wavelength_bounds"].values[-1, 1])
    bins, bins_in = depth(curves, truth), depth(injected.tso.bin(edges=edges), truth)
    z_bins = (bins["depth"].values - bins_in["depth"].values) / bins["depth_error"].values
    over, error = channels(spectra, truth, model)
    difference = (found["depth"] - put_in["depth"]).item()
    return {
        "white": PPM * scatter / float(truth["white_flux_error"]),
        "channels": over,
        "error white": float(white["flux_error"].median()) / scatter,
        "error channels": error,
        "bias": difference,
        "z": difference / found["depth_error"].item(),
        "z of bins": z_bins[np.isfinite(z_bins)],
    }


def rows(
    case: str, methods: list[str], seeds: range, n_integrations: int, keep: Path | None
) -> list[str]:
    """Return a line of the table for each method."""
    ways: dict[str, dict[str, Any]] = {name: {"method": name} for name in methods}
    if "covariance" in methods:
        ways |= MORE.get(case, {})
    scores: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, np.inf)
    for seed in seeds:
        made = exposure(case, seed, n_integrations)
        file = f"{case}_{seed}_{n_integrations}.nc".replace(", ", "_")
        rates = prepared(made, keep / file if keep else None)
        truth = made.truth(stripes=False)
        injected = made.replace(noise=()).spectra()
        for name, how in ways.items():
            start = time.process_time()
            spectra = rates.tso.extract(**how)
            seconds[name] = min(seconds[name], time.process_time() - start)
            scores[name].append(score(spectra, truth, injected))
    return [line(case, name, scores[name], seconds[name]) for name in ways]


def line(case: str, method: str, scores: list[dict[str, Any]], seconds: float) -> str:
    """Return means over the exposures, with their uncertainty."""
    n = len(scores)
    each = {k: np.array([s[k] for s in scores]) for k in KEYS[:-1]}
    bins = np.concatenate([s[KEYS[-1]] for s in scores])
    unsure = {k: v.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan for k, v in each.items()}
    rms = {k: np.sqrt((each[k] ** 2).mean()) for k in ("white", "channels")}
    harmonic = {k: 1 / np.sqrt((each[k] ** -2.0).mean()) for k in ("error white", "error channels")}
    return (
        f"| {case} | {method} | {rms['white']:.3f} +- {unsure['white']:.3f} | {rms['channels']:.3f} "
        f"| {harmonic['error white']:.3f} +- {unsure['error white']:.3f} | {harmonic['error channels']:.3f} "
        f"| {each['bias'].mean():+.0f} +- {unsure['bias']:.0f} | {each['z'].mean() * np.sqrt(n):+.1f} "
        f"| {bins.mean():+.2f} +- {bins.std() / np.sqrt(bins.size):.2f} | {bins.std():.2f} | {1e3 * seconds:.0f} |"
    )


HEAD = (
    "| exposures | method | white light over limit | channels over limit | error, white | error, channels |"
    " depth - injected [ppm] | mean z x sqrt(n) | mean z of bins | standard deviation of it | time [ms] |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    cases = [*CASES, *([REAL] if "TSOXR_DATA" in os.environ else [])]
    parser.add_argument("--mode", nargs="+", default=cases)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--integrations", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="folder for the rates")
    parser.add_argument("--only-prepare", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--specreduce", help="python that has specreduce")
    parser.add_argument("--exotedrf", help="python that has exoTEDRF")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    if given.speed:
        print(whole_calls(given.methods), end="\n\n")
        print(against_peers(given.specreduce, given.exotedrf))
        return
    seeds = range(given.first, given.first + given.seeds)
    methods = [] if given.only_prepare else given.methods
    print(f"{given.seeds} seeds, {given.integrations} integrations\n\n{HEAD}")
    for case in given.mode:
        lines = rows(case, methods, seeds, given.integrations, given.keep)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
