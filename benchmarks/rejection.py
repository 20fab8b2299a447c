"""Hits that `extract(reject=...)` finds by the profile: how many, at what cost, beside `flag_outliers`.

`--hits`: simulated rates of every spectroscopic mode without hits (photons, reads, jitter, dark, sky,
flat, bad pixels, a transit), then the same with a hit in one sample of a thousand, of so many times the
pixel's own noise. Counted are the pixels of the aperture: what is found by the profile alone, by
`flag_outliers()` alone, and by the profile of what that has left; and what is flagged without
hits. `--depth`: rates with simulated cosmic rays, a transit of 2 % and no limb darkening; depth and scatter of
the white light with and without rejection. `--speed`: seconds of one thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import xarray as xr
from _peers import table
from outliers import CASES, SIZES, flagged, put_hits, quiet_rates, usable

import tsoxr
from tsoxr import dq, modes
from tsoxr.kernels import profile_rejection
from tsoxr.kernels.extraction import coverage
from tsoxr.steps import _extraction, _rates, _rejection

SPECTRA = tuple(mode for mode in CASES if "imaging" not in mode)


def prepared(ds: xr.Dataset) -> xr.Dataset:
    """Return rates without sky, with trace and wavelengths."""
    return ds.tso.find_trace().tso.subtract_background().tso.assign_wavelength()


def half_width(ds: xr.Dataset) -> float:
    return float(modes.step_defaults(ds.attrs["tso_mode"], "extract")["half_width"].value)


def in_aperture(ds: xr.Dataset) -> np.ndarray:
    """Return the pixels of the aperture, in the order of the data's dims (y, x)."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    center = ds["trace_center"].values - _rates.first_position(ds, space)
    cover = xr.DataArray(coverage(center, ds.sizes[space], half_width(ds)), dims=(space, along))
    return (cover > 0).transpose("y", "x").values


def rejected(ds: xr.Dataset, sigma: float, method: str = "optimal") -> np.ndarray:
    """Return which samples `extract(reject=sigma)` leaves out, (time, y, x)."""
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    images = _extraction.median_images(ds, space, along)
    center = _extraction.bare(ds["trace_center"]) - _rates.first_position(ds, space)
    gain = _extraction.gain_and_units(ds)[0].broadcast_like(images.isel(image=0))
    settings = {"method": method, "half_width": half_width(ds), "window": None}
    profile = _extraction.extraction_weights(ds, images, center, gain, settings)["profile"]
    frame = center, gain, half_width(ds)
    hits = _rejection.rejection(ds, images, profile, frame, sigma)
    cubes = [ds[n].transpose("time", space, along).values for n in ("rate", "rate_error", "dq")]
    bits = int(dq.bits(*dq.UNUSABLE_RATE)), int(dq.bits("OUTLIER"))
    flags, _ = profile_rejection.flag_hits(*cubes, hits.expected.values, sigma=sigma, bits=bits)
    new = xr.DataArray((flags & ~cubes[2]) != 0, dims=("time", space, along))
    return new.transpose("time", "y", "x").values


def shares(found: np.ndarray, size: np.ndarray, where: np.ndarray) -> list[str]:
    """Return the percentage of the hits of each size that is found."""
    counted = []
    for s in SIZES:
        hit = where & (size == np.float32(s))
        counted.append(f"{100 * (found & hit).sum() / max(hit.sum(), 1):.1f}")
    return counted


def hits(mode: str, seeds: range, sigma: float, method: str, **given: int) -> list[list[str]]:
    """Return the lines of the table of one mode."""
    marks, sizes, places, left, false, n_clean = [], [], [], [], 0, 0
    before = []
    for seed in seeds:
        clean = prepared(quiet_rates(mode, seed, **given))
        inside = usable(clean) & in_aperture(clean)
        clean = clean.tso.flag_outliers()
        inside &= usable(clean)
        false += (rejected(clean, sigma, method) & inside).sum()
        n_clean += inside.sum()
        spoilt, size = put_hits(clean, seed)
        in_time = spoilt.tso.flag_outliers()
        marks.append(rejected(spoilt, sigma, method))
        before.append(flagged(in_time))
        left.append(rejected(in_time, sigma, method))
        sizes.append(size)
        places.append(inside)
    size, inside, time_found = (np.concatenate(a) for a in (sizes, places, before))
    alone, after = np.concatenate(marks), np.concatenate(left)
    return [
        [mode, "profile", *shares(alone, size, inside), f"{false / n_clean:.1e}"],
        ["", "in time", *shares(time_found, size, inside), ""],
        ["", "of the rest", *shares(after, size, inside & ~time_found), ""],
    ]


def depth(mode: str, seeds: range, sigma: float) -> list[list[str]]:
    """Return bias of the white-light depth and scatter, with cosmic rays."""
    noise = ("photon", "read", "jitter", "flat")
    lines: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        given = CASES[mode] | {"radius_ratio": np.sqrt(0.02), "limb_darkening": (0.0, 0.0)}
        made = tsoxr.simulation.exposure(mode, seed=seed, noise=noise, **given)
        quiet = prepared(made.rates())
        spoilt = prepared(made.replace(noise=(*noise, "hits")).rates())
        truth = made.truth(stripes=False).white_flux.values
        for name, ds, reject in (
            ("no hits", quiet, None),
            ("no hits, profile", quiet, sigma),
            ("hits", spoilt, None),
            ("hits, profile", spoilt, sigma),
            ("hits, in time", spoilt.tso.flag_outliers(), None),
            ("hits, in time and profile", spoilt.tso.flag_outliers(), sigma),
        ):
            flux = white(ds.tso.extract(reject=reject))
            lines.setdefault(name, []).append(depth_and_scatter(flux, truth))
    first = np.array(lines["no hits"])
    out = []
    for name, found in lines.items():
        change = 1e6 * (np.array(found) - first)[:, 0]
        scatter = np.median(np.array(found)[:, 1]) / np.median(first[:, 1])
        mean, error = change.mean(), change.std() / np.sqrt(max(len(change) - 1, 1))
        out.append([mode, name, f"{mean:+.1f} +- {error:.1f}", f"{scatter:.3f}"])
    return out


def white(spectra: xr.Dataset) -> np.ndarray:
    """Return the sum over wavelength, columns of little light left out."""
    median = spectra.flux.median("time")
    lit = (median > 0.05 * median.max()).values
    return np.nansum(spectra.flux.values[:, lit].astype(float), axis=1)


def depth_and_scatter(flux: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the depth in units of the true one's fit times 2 %, and the scatter of the residual."""
    dip = (1 - truth) / (1 - truth).max()
    design = np.stack([np.ones_like(dip), -dip], axis=1)
    level, drop = np.linalg.lstsq(design, flux, rcond=None)[0]
    return drop / level, float(np.std(flux / level - design @ [1, drop / level]))


def speed(shape: tuple[int, int, int]) -> list[str]:
    """Return seconds of extraction without and with rejection."""
    mode = "niriss-soss" if shape[1] == 256 else "nirspec-g395h"
    made = tsoxr.simulation.exposure(
        mode, seed=1, noise=("photon", "read"), n_integrations=shape[0]
    )
    ds = made.rates().tso.find_trace().tso.assign_wavelength()
    row = [f"{shape[0]} x {shape[1]} x {shape[2]}"]
    for reject in (None, 6.0):
        took = []
        for _ in range(4):
            start = time.process_time()
            ds.tso.extract(method="optimal", reject=reject)
            took.append(time.process_time() - start)
        row.append(f"{min(took):.3f}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("hits", "depth", "speed"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sigma", type=float, default=6.0)
    parser.add_argument("--method", default="optimal")
    parser.add_argument("--integrations", type=int, help="instead of those of each mode")
    parser.add_argument("modes", nargs="*", default=SPECTRA)
    given = parser.parse_args()
    seeds = range(1, 1 + given.seeds)
    if given.hits:
        n = {} if given.integrations is None else {"n_integrations": given.integrations}
        rows = [r for m in given.modes for r in hits(m, seeds, given.sigma, given.method, **n)]
        print(table(["mode", "search", *(f"{s:g}" for s in SIZES), "false"], rows))
    if given.depth:
        rows = [r for m in given.modes for r in depth(m, seeds, given.sigma)]
        print(table(["mode", "case", "depth, ppm", "scatter"], rows))
    if given.speed:
        rows = [speed(shape) for shape in ((200, 32, 2048), (30, 256, 2048))]
        print(table(["cube", "extract, s", "with reject, s"], rows))


if __name__ == "__main__":
    main()
