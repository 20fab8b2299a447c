"""The profile along the trace (`extract(method="tilted")`) beside the one along rows (`"optimal"`).

Simulated rates of every spectroscopic mode with photons, reads, jitter and flat, of the mode's own
brightness and of a star 30 times fainter; true traces. Per mode, method and brightness: the rms error of the
profile over that of the true one, in thousandths of the light of a column; that of the flux of the columns; scatter of
the white light and the median one of the columns over the limit of photons and reads; median over the seeds. `--speed`: seconds
of one thread for the profile alone. `--real FOLDER`: what is left of real median frames of SOSS and PRISM.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from _peers import table
from outliers import CASES

import tsoxr
from tsoxr import modes
from tsoxr.kernels import profile as profile_kernel
from tsoxr.kernels.extraction import coverage
from tsoxr.kernels.profile import smooth_along_dispersion
from tsoxr.kernels.tilted_profile import (
    PIECE,
    along_basis,
    fit_shares,
    pixel_overlaps,
    tilted_profile,
)

SPECTRA = tuple(mode for mode in CASES if "imaging" not in mode)
NOISE = ("photon", "read", "jitter", "flat")
FAINT = 1 / 30
LIT = 0.1
"""Columns with less than this part of the light of the brightest are left out."""


def exposure(mode: str, seed: int, brightness: float) -> tuple[xr.Dataset, xr.Dataset]:
    """Return rates with the true trace, and the truth."""
    given = CASES[mode] | {"brightness": brightness, "noise": NOISE}
    made = tsoxr.simulation.exposure(mode, seed=seed, **given)
    rates, truth = made.rates(), made.truth(stripes=False)
    everywhere = truth.trace_center.interpolate_na(
        rates.attrs["dispersion_dim"], method="nearest", fill_value="extrapolate"
    )
    return rates.assign_coords(trace_center=everywhere.variable), truth


def measures(rates: xr.Dataset, truth: xr.Dataset, method: str) -> list[float]:
    """Return errors of profile and flux, and scatter over the limit of white light and columns."""
    spectra = rates.tso.extract(method=method)
    space, along = rates.attrs["spatial_dim"], rates.attrs["dispersion_dim"]
    pixel = spectra.dispersion_pixel.values
    cover = coverage(
        rates.trace_center.values - float(rates[space][0]),
        rates.sizes[space],
        float(spectra.aperture_half_width),
    )
    light = (truth.rate * rates.gain).transpose(space, along).values
    inside = (cover * light).sum(axis=0)
    true = np.where(cover > 0, light, 0.0) / np.where(inside > 0, inside, 1.0)
    bright = (inside > LIT * inside.max()) & np.isin(np.arange(inside.size), pixel)
    got = spectra.extract_profile.transpose(space, along).values
    profile = np.sqrt(np.mean((got - true)[:, bright][cover[:, bright] > 0] ** 2))
    lit = bright[pixel]
    flux = spectra.flux.values[:, lit].astype(float)
    curve, limit = truth.flux.values[:, lit], truth.flux_error.values[lit]
    star = (flux / curve).mean(axis=0)
    level = star / inside[pixel][lit] - 1
    columns = 1e6 * (flux / star / curve).std(axis=0, ddof=1) / limit
    expected = (star * curve).sum(axis=1)
    white_limit = np.sqrt(((limit * star) ** 2).sum()) / star.sum()
    white = 1e6 * (flux.sum(axis=1) / expected).std(ddof=1) / white_limit
    noise = limit / 1e6 / np.sqrt(flux.shape[0])
    return [1e3 * profile, 1e2 * level.std(), 1e2 * noise.mean(), white, np.median(columns)]


def compared(mode: str, seeds: range) -> list[list[str]]:
    """Return the lines of the table of one mode."""
    rows = []
    for brightness, name in ((1.0, "bright"), (FAINT, "faint")):
        found: dict[str, list[list[float]]] = {"optimal": [], "tilted": []}
        for seed in seeds:
            rates, truth = exposure(mode, seed, brightness)
            for method, line in found.items():
                line.append(measures(rates, truth, method))
        for method, lines in found.items():
            middle = np.median(lines, axis=0)
            rows.append([mode, name, method, *(f"{v:.3g}" for v in middle[:3]),
                         *(f"{v:.3f}" for v in middle[3:])])  # fmt: skip
    return rows


def speed(mode: str) -> list[str]:
    """Return the seconds of both profiles."""
    rates, _ = exposure(mode, 1, 1.0)
    image, noise, cover, center = static(rates)
    took = []
    for make in (
        lambda: profile_kernel.spatial_profile(
            image, noise, cover, window=profile_kernel.window_for(center)
        ),
        lambda: tilted_profile(image, noise, cover, center),
    ):
        times = []
        for _ in range(5):
            start = time.process_time()
            make()
            times.append(time.process_time() - start)
        took.append(f"{min(times):.3f}")
    return [mode, " x ".join(map(str, image.shape)), *took]


def static(rates: xr.Dataset) -> tuple[np.ndarray, ...]:
    """Return median image, its variance, aperture and trace, (spatial, dispersion)."""
    space, along = rates.attrs["spatial_dim"], rates.attrs["dispersion_dim"]
    rate, error = (rates[n].transpose("time", space, along).values for n in ("rate", "rate_error"))
    half = modes.step_defaults(rates.attrs["tso_mode"], "extract")["half_width"].value
    image = np.median(rate, axis=0).astype(float)
    noise = np.median(error, axis=0).astype(float) ** 2 * 1.57 / len(rate)
    center = rates.trace_center.values - float(rates[space][0])
    return image, noise, coverage(center, image.shape[0], half), center


def real(folder: Path) -> list[list[str]]:
    """Return how well both profiles fit real median frames: even columns are predicted from odd ones."""
    with h5py.File(folder / "formats" / "eureka_stage3_nirspec_prism_jw06456_SpecData.h5") as file:
        prism = np.asarray(file["medflux"], float)
    soss = np.load(folder / "niriss_soss" / "wasp39_soss_substrip256_median_frame.npy").astype(
        float
    )
    soss -= np.percentile(soss[200:], 30, axis=0)
    return [*fits("PRISM", prism, 4.0, 6.0), *fits("SOSS order 1", soss, 16.0, 60.0)]


def fits(name: str, frame: np.ndarray, half_width: float, first: float) -> list[list[str]]:
    """Return the rms of what is left of columns that no profile has seen, in their light."""
    center = centroid(frame, half_width, first)
    cover = coverage(center, frame.shape[0], half_width)
    used = (cover > 0) & np.isfinite(frame)
    light = np.where(used, frame, 0.0)
    flux = np.clip((cover * light).sum(axis=0), 0.0, None)
    weight = np.where(used, 1.0 / (np.abs(light) + 0.02 * np.percentile(light[used], 99)), 0.0)
    weight[:, ::2] = 0.0
    rows = smooth_along_dispersion(light, weight, flux, profile_kernel.window_for(center))
    place = np.where(used, np.arange(frame.shape[0])[:, None] - center, np.nan)
    tables = [(f"trace, {s:g} pixel", pixel_overlaps(place, s)) for s in (0.5, 0.75, 1.0)]
    along = along_basis(center.size, PIECE)
    smooth = [("rows", rows)]
    smooth += [(label, fit_shares(light, weight, flux, t, along)) for label, t in tables]
    cubic = along_basis(center.size, center.size)
    smooth += [("trace, one cubic", fit_shares(light, weight, flux, tables[0][1], cubic))]
    bright = (flux > 0.2 * np.percentile(flux, 95)) & (np.arange(flux.size) % 2 == 0)
    lines = []
    for label, profile in smooth:
        share = np.where(used & np.isfinite(profile), profile, 0.0)
        scale = (share * light).sum(axis=0) / np.maximum((share**2).sum(axis=0), 1e-30)
        rest = ((light - scale * share)[:, bright] / flux[bright])[used[:, bright]]
        spread = 1.4826 * np.median(np.abs(rest - np.median(rest)))
        lines.append([name, label, f"{1e2 * np.std(rest):.3f}", f"{1e2 * spread:.3f}"])
    return lines


def centroid(frame: np.ndarray, half_width: float, first: float) -> np.ndarray:
    """Return a smooth trace: centres of light within the aperture, from ``first`` on."""
    rows, columns = np.arange(frame.shape[0])[:, None], np.arange(frame.shape[1])
    center = np.full(frame.shape[1], first)
    if half_width < 10:
        center[:] = np.argmax(np.nan_to_num(frame).sum(axis=1))
    else:
        profile = np.apply_along_axis(np.convolve, 0, np.nan_to_num(frame), np.ones(21), "same")
        center = profile[:140].argmax(axis=0).astype(float)
        center = np.polynomial.Chebyshev.fit(columns, center, 5)(columns)
    for _ in range(6):
        inside = coverage(center, frame.shape[0], half_width) * np.clip(
            np.nan_to_num(frame), 0, None
        )
        found = (rows * inside).sum(axis=0) / np.maximum(inside.sum(axis=0), 1e-9)
        light = np.sqrt(inside.sum(axis=0))
        center = np.polynomial.Chebyshev.fit(columns, found, 9, w=light + 1e-9)(columns)
    return center


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--real", type=Path)
    parser.add_argument("modes", nargs="*", default=SPECTRA)
    given = parser.parse_args()
    if given.speed:
        print(table(["mode", "frame", "rows, s", "trace, s"], [speed(m) for m in given.modes]))
    elif given.real:
        print(table(["frame", "profile", "rms, % of the light", "robust"], real(given.real)))
    else:
        rows = [r for m in given.modes for r in compared(m, range(1, 1 + given.seeds))]
        head = [
            "mode",
            "star",
            "method",
            "profile, 1e-3",
            "flux, %",
            "noise, %",
            "white",
            "columns",
        ]
        print(table(head, rows))


if __name__ == "__main__":
    main()
