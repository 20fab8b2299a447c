"""Outliers and bad pixels: how many are found, how many good samples are flagged, and at what cost.

`--hits`: simulated rates of every mode without hits (photons, reads, jitter, dark, sky, flat, bad
pixels, a transit), then the same with a hit in one sample of a thousand, of so many times the
pixel's own noise; `flag_outliers()` with its defaults. `--cleaned`: the same from raw ramps with 1/f
noise that passed the chain. `--jwst PYTHON`, an interpreter that has jwst and tsoxr, measures the
outlier detection of the STScI pipeline for time series (running median of 25 integrations) on the same
cubes, its threshold set so that it flags as many samples of the cube without hits; processor time of one
thread each and the peak of memory above the input. `--pixels`: hot, dead and telegraph pixels of
simulated ramps that are not told to `flag_bad_pixels()`. `--replace`: scatter and depth of extracted
light curves with masked pixels, and with replaced ones, beside the same exposure without bad pixels.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from _peers import table

import tsoxr
from tsoxr import dq

CASES = {
    "nirspec-prism": {"n_integrations": 120},
    "nirspec-g395h": {"n_integrations": 40},
    "nirspec-g395m": {"n_integrations": 40},
    "niriss-soss": {"n_integrations": 24, "subarray": "SUBSTRIP96"},
    "nircam-grism": {"n_integrations": 30},
    "nircam-imaging": {"n_integrations": 60, "subarray": "SUB160P"},
    "miri-lrs": {"n_integrations": 60},
    "miri-imaging": {"n_integrations": 60, "subarray": "SUB128"},
}
QUIET = ("photon", "read", "jitter", "dark", "background", "contaminants", "flat", "bad_pixels")
SIZES = np.array([5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0])
SHARE = 1e-3
JWST_WINDOW = 25
REPEATS = 4
"""How often the exposure is repeated where time and memory are measured."""


def flagged(ds: xr.Dataset) -> np.ndarray:
    """Return the samples that carry OUTLIER."""
    return dq.has_flag(ds["dq"], "OUTLIER").values


def usable(ds: xr.Dataset) -> np.ndarray:
    return ~dq.has_flag(ds["dq"], *dq.UNUSABLE_RATE).values & np.isfinite(ds["rate"].values)


def pixel_noise(ds: xr.Dataset) -> np.ndarray:
    """Return the standard deviation of each pixel from one integration to the next (y, x)."""
    rate = ds["rate"].values
    pair = (rate[1:] - rate[:-1])[:, None] / np.sqrt(2.0)
    own = 1.4826 * np.nanmedian(np.abs(pair), axis=(0, 1))
    predicted = np.nanmedian(ds["rate_error"].values, axis=0)
    return np.maximum(own, predicted)


def put_hits(ds: xr.Dataset, seed: int) -> tuple[xr.Dataset, np.ndarray]:
    """Return rates with hits in single samples, and the size of each in pixel noise."""
    rng = np.random.default_rng(seed)
    hit = rng.random(ds["rate"].shape) < SHARE
    size = np.where(hit, rng.choice(SIZES, hit.shape), 0.0).astype("f4")
    return ds.assign(rate=ds["rate"] + size * pixel_noise(ds).astype("f4")), size


def quiet_rates(mode: str, seed: int, **given: object) -> xr.Dataset:
    """Return rates with the noise that errors know, jitter and bad pixels."""
    return tsoxr.simulation.exposure(mode, seed=seed, noise=QUIET, **CASES[mode] | given).rates()


def cleaned_rates(mode: str, seed: int) -> xr.Dataset:
    """Return rates from raw ramps with the standard noise but hits, through the chain."""
    from first_light import RAMPS

    from tsoxr.simulation.noise import STANDARD

    noise = tuple(n for n in STANDARD if n != "hits")
    ds = tsoxr.simulation.exposure(mode, seed=seed, noise=noise, **CASES[mode]).ramps()
    for name in RAMPS:
        ds = getattr(tsoxr.steps, name)(ds)
    return ds


def counts(ds: xr.Dataset, seed: int, **given: object) -> np.ndarray:
    """Return found and all hits of each size, and false flags and good samples in and out of transit."""
    tested, inside = usable(ds), ds["in_transit"].values if "in_transit" in ds.coords else None
    if inside is None:
        inside = np.zeros(ds.sizes["time"], bool)
    clean = flagged(tsoxr.steps.flag_outliers(ds, **given)) & tested
    with_hits, size = put_hits(ds, seed)
    found = flagged(tsoxr.steps.flag_outliers(with_hits, **given)) & tested
    rows = []
    for where in (inside, ~inside):
        part = tested[where]
        hits = [part & (size[where] == np.float32(s)) for s in SIZES]
        rows.append([(h & found[where]).sum() for h in hits] + [clean[where].sum()])
        rows.append([h.sum() for h in hits] + [part.sum()])
    return np.array(rows, float)


def hits(mode: str, seeds: range, make: object, **given: object) -> list[str]:
    """Return a line of the table of hits: shares found, false rate, in over out of transit."""
    all_rates = []
    total = np.zeros((4, SIZES.size + 1))
    for seed in seeds:
        one = counts(make(mode, seed), seed, **given)
        total += one
        all_rates.append((one[0, -1] + one[2, -1]) / (one[1, -1] + one[3, -1]))
    found, n = total[0] + total[2], total[1] + total[3]
    above = slice(1, SIZES.size)
    inside, outside = (total[k, above].sum() / total[k + 1, above].sum() for k in (0, 2))
    false_in, false_out = (total[k, -1] / max(total[k + 1, -1], 1) for k in (0, 2))
    return [
        mode,
        *(f"{100 * f / m:.2f}" for f, m in zip(found[:-1], n[:-1], strict=True)),
        f"{100 * found[above].sum() / n[above].sum():.2f}",
        f"{found[-1] / n[-1]:.1e} ({max(all_rates):.1e})",
        f"{100 * inside:.2f} / {100 * outside:.2f}",
        f"{false_in:.1e} / {false_out:.1e}",
    ]


HEAD = [
    "mode", *(f"{s:g}" for s in SIZES), "6 to 20", "false (worst seed)", "found in / out of transit, %",
    "false in / out",
]  # fmt: skip


def ask_jwst(python: str, ds: xr.Dataset, with_hits: xr.Dataset, target: float) -> dict:
    """Return what the pipeline's search finds at a false rate, its time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        np.savez(
            path / "given.npz",
            clean=ds["rate"].values, hit=with_hits["rate"].values, err=ds["rate_error"].values,
            dq=ds["dq"].values, tested=usable(ds), target=target,
        )  # fmt: skip
        subprocess.run([python, "-W", "ignore", __file__, "--serve", folder], check=True)
        return dict(np.load(path / "out.npz"))


def serve(folder: Path) -> None:
    """Run the pipeline's search, in the interpreter that has it."""
    import logging
    import tracemalloc

    from jwst import datamodels
    from jwst.outlier_detection import tso

    logging.disable(logging.CRITICAL)
    given = dict(np.load(folder / "given.npz"))

    def run(name: str, snr: float, size: str = "") -> tuple[np.ndarray, float]:
        data, flags = given[size + name].copy(), given[f"{size}dq"].copy()
        model = datamodels.CubeModel(data=data, err=given[f"{size}err"].copy(), dq=flags)
        begin = time.process_time()
        out = tso.detect_outliers(model, False, 0, 0.7, JWST_WINDOW, snr, None)
        spent = time.process_time() - begin
        return (out.dq & 16) > 0, spent

    for name in ("err", "dq", "clean"):
        given[f"long {name}"] = np.tile(given[name], (REPEATS, 1, 1))
    run("clean", 5.0)
    spent = run("clean", 5.0, "long ")[1]
    tracemalloc.start()
    run("clean", 5.0, "long ")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    low, high = 3.5, 6.0
    for _ in range(8):
        middle = 0.5 * (low + high)
        rate = run("clean", middle)[0][given["tested"]].mean()
        low, high = (middle, high) if rate > given["target"] else (low, middle)
    found = run("hit", high)[0]
    five = run("clean", 5.0)[0][given["tested"]].mean()
    np.savez(folder / "out.npz", found=found, spent=spent, snr=high, peak=peak, five=five)


def against_jwst(mode: str, python: str, seed: int) -> list[list[str]]:
    """Return two lines, ours and theirs, for the same cube and the same rate of false flags."""
    import tracemalloc

    n_least = max(CASES[mode]["n_integrations"], JWST_WINDOW + 5)
    ds = quiet_rates(mode, seed, n_integrations=n_least)
    tested = usable(ds)
    with_hits, size = put_hits(ds, seed)
    # neighbours of hits are no false flags of a search for charge, but of this count of samples
    clean = flagged(tsoxr.steps.flag_outliers(ds, grow=0.0))
    target = max(clean[tested].mean(), 1.0 / tested.sum())
    found = flagged(tsoxr.steps.flag_outliers(with_hits, grow=0.0))
    peer = ask_jwst(python, ds, with_hits, target)
    ds = ds.isel(time=np.tile(np.arange(n_least), REPEATS)).drop_vars("time")
    spent = []
    for _ in range(3):
        begin = time.process_time()
        tsoxr.steps.flag_outliers(ds)
        spent.append(time.process_time() - begin)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    out = tsoxr.steps.flag_outliers(ds)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    del out
    n = ds["rate"].size
    nbytes = sum(ds[k].nbytes for k in ("rate", "rate_error", "dq"))
    lines = []
    for name, each, cost, top in (
        ("tsoxr", found, min(spent), peak),
        (
            f"jwst, snr {float(peer['snr']):.2f}",
            peer["found"],
            float(peer["spent"]),
            float(peer["peak"]),
        ),
    ):
        shares = [each[tested & (size == np.float32(s))].mean() for s in SIZES]
        lines.append([
            mode, name, *(f"{100 * s:.1f}" for s in shares), f"{target:.1e}", f"{n / cost / 1e6:.1f}",
            f"{top / nbytes:.2f}",
        ])  # fmt: skip
    lines[0][-2] += f" (x {float(peer['spent']) / min(spent):.1f})"
    return lines


# ------------------------------------------------------------------------ bad pixels


PIXELS_HEAD = [
    "mode", "hot", "hot off the spectrum", "dead, lit", "dead, dark", "telegraph, noise x 1.5 to 2.5",
    "above", "false", "false on the spectrum",
]  # fmt: skip


def blind(ds: xr.Dataset) -> xr.Dataset:
    """Return rates whose flags tell of no bad pixel."""
    flags = ds["dq"].copy(data=ds["dq"].values & np.uint32(dq.FLAGS["REFERENCE_PIXEL"]))
    return ds.assign(dq=flags)


def telegraph_noise(ds: xr.Dataset, exposure: object) -> np.ndarray:
    """Return the standard deviation of telegraph pixels in time over their error, 0 for others."""
    ratio = np.std(ds["rate"].values, axis=0) / np.median(ds["rate_error"].values, axis=0)
    return np.where(exposure.maps.telegraph > 0, ratio, 0.0)


def with_telegraph(ds: xr.Dataset, exposure: object, seed: int) -> xr.Dataset:
    """Return rates to which telegraph pixels add what their jumps do to a slope of equal weights."""
    from tsoxr.simulation.pixels import telegraph

    clock, rate = exposure.clock, ds["rate"].values.copy()
    y, x = np.nonzero(exposure.maps.telegraph)
    centred = clock.group_time - clock.group_time.mean()
    weights = centred / (centred**2).sum()
    for t in range(rate.shape[0]):
        raised = (
            telegraph(clock, y.size, seed, t).reshape(exposure.n_groups, -1, y.size).mean(axis=1)
        )
        rate[t, y, x] += exposure.maps.telegraph[y, x] * (weights @ raised)
    return ds.assign(rate=ds["rate"].copy(data=rate))


def pixels(mode: str, seeds: range) -> list[str]:
    """Return how many bad pixels of each kind are found, and how many good ones flagged."""
    found, total = np.zeros((2, 8))
    for seed in seeds:
        exposure = tsoxr.simulation.exposure(
            mode, seed=seed, noise=(*QUIET, "telegraph"), **CASES[mode]
        )
        ds = with_telegraph(exposure.rates(), exposure, seed)
        verdict = tsoxr.steps.flag_bad_pixels(blind(ds))["flag_bad_pixels_verdict"].values > 0
        flags, error = exposure.maps.dq, np.median(ds["rate_error"].values, axis=0)
        sight = exposure.scene
        star, light = (a / exposure.maps.gain / error for a in (sight.star, sight.star + sight.sky))
        hot, dead = (flags & dq.FLAGS["HOT"]) > 0, (flags & dq.FLAGS["DEAD"]) > 0
        noise = telegraph_noise(ds, exposure) * (flags == dq.FLAGS["TELEGRAPH"])
        kinds = (
            hot, hot & (star < 10), dead & (light > 3), dead & (light <= 3),
            (noise > 1.5) & (noise < 2.5), noise >= 2.5, flags == 0, (flags == 0) & (star > 10),
        )  # fmt: skip
        found += [verdict[k].sum() for k in kinds]
        total += [k.sum() for k in kinds]
    shares = [
        f"{100 * f / n:.1f} % of {n:.0f}" if n else "none"
        for f, n in zip(found[:6], total[:6], strict=True)
    ]
    false = [f"{f / n:.1e} of {n:.1e}" for f, n in zip(found[6:], total[6:], strict=True)]
    return [mode, *shares, *false]


# ----------------------------------------------------------------------- replacement


REPLACE_HEAD = [
    "mode", "samples without a value", "extraction", "white light scatter", "channel scatter, median",
    "channel scatter, 95 %", "error of depth without noise, channels hit, rms",
]  # fmt: skip
LOST = 2e-3
"""Share of pixels that are bad for good, and of samples that are lost at times."""


def spectra_of(ds: xr.Dataset, truth: xr.Dataset, method: str) -> xr.Dataset:
    """Return spectra with the true trace and wavelengths, so that only the values differ."""
    space = str(ds.attrs["spatial_dim"])
    center = truth["trace_center"].drop_vars(list(truth["trace_center"].coords))
    along = center.dims[0]
    center = center.interpolate_na(along, fill_value="extrapolate").transpose(along)
    ds = ds.assign_coords(trace_center=center)
    ds["trace_center"].attrs.update(units="pix", long_name=f"centre of the spectrum along {space}")
    return tsoxr.steps.extract(ds, method=method)


def curves_of(spectra: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, ...]:
    """Return flux over its model (time, channel), bright channels only, which they are, and transit."""
    flux, at = spectra["flux"].values.astype(float), spectra["dispersion_pixel"].values
    pixel = truth["dispersion_pixel"].values
    order = np.argsort(pixel)
    where = order[np.clip(np.searchsorted(pixel, at, sorter=order), 0, pixel.size - 1)]
    star = np.nanmedian(flux, axis=0)
    kept = (pixel[where] == at) & (star > 0.2 * np.nanmax(star))
    model = truth["flux"].values[:, where[kept]]
    return flux[:, kept] / model, at[kept], model.mean(axis=1) < 1 - 1e-5


def scatter(spectra: xr.Dataset, truth: xr.Dataset) -> list[float]:
    """Return the scatter from one integration to the next of white light and of channels, ppm."""
    flux, _, _ = curves_of(spectra, truth)
    white = np.nansum(flux, axis=1)
    each = np.diff(flux / np.nanmedian(flux, axis=0), axis=0) / np.sqrt(2)
    channel = 1e6 * np.nanstd(each, axis=0)
    return [
        1e6 * np.std(np.diff(white) / np.sqrt(2)) / np.mean(white),
        float(np.nanmedian(channel)), float(np.nanpercentile(channel, 95)),
    ]  # fmt: skip


def depths(spectra: xr.Dataset, truth: xr.Dataset, bad: np.ndarray) -> np.ndarray:
    """Return the depth less the true one, as parts of the light, of channels with a bad pixel."""
    flux, at, inside = curves_of(spectra, truth)
    ratio = flux / np.nanmean(flux[~inside], axis=0)
    return (1.0 - np.nanmean(ratio[inside], axis=0))[np.isin(at, np.flatnonzero(bad))]


def versions(ds: xr.Dataset, lost: np.ndarray) -> dict[str, xr.Dataset]:
    """Return rates as they were, with lost samples masked, and with these replaced."""
    flags = dq.set_flag(ds["dq"], xr.DataArray(lost, dims=ds["rate"].dims), "DO_NOT_USE")
    spoiled = ds.assign(rate=ds["rate"].where(~lost, np.nan), dq=flags)
    made = {"all good": ds, "masked": spoiled}
    for method in ("profile", "space", "time"):
        new = tsoxr.steps.replace_bad_pixels(spoiled, method=method)
        made[f"replaced, {method}"] = new.assign(dq=ds["dq"])
    return made


def replaced(mode: str, seeds: range) -> list[list[str]]:
    """Return lines for masked and replaced samples, with the exposure without bad pixels first."""
    made: dict[tuple[str, str], list[list[float]]] = {}
    for seed in seeds:
        quiet = tuple(n for n in QUIET if n not in ("bad_pixels", "contaminants"))
        exposure = tsoxr.simulation.exposure(mode, seed=seed, noise=quiet, **CASES[mode])
        still = exposure.replace(noise=tuple(n for n in quiet if n not in ("photon", "read")))
        ds, truth = exposure.rates(), exposure.truth(stripes=False)
        rng = np.random.default_rng(seed)
        always = rng.random(ds["rate"].shape[1:]) < LOST
        lost = always | (rng.random(ds["rate"].shape) < LOST)
        profile = truth["profile"].values > 0.05
        bad = (always & profile).any(axis=0 if ds.attrs["spatial_dim"] == "y" else 1)
        noisy, clean = versions(ds, lost), versions(still.rates(), lost)
        for how in ("optimal", "box"):
            best = depths(spectra_of(clean["all good"], truth, how), truth, bad)
            for name in noisy:
                found = scatter(spectra_of(noisy[name], truth, how), truth)
                off = depths(spectra_of(clean[name], truth, how), truth, bad) - best
                bias = 1e6 * np.sqrt(np.nanmean(off**2)) if off.size else np.nan
                made.setdefault((name, how), []).append([*found, bias])
    return [
        [mode, name, how, *(f"{v:.0f}" for v in np.nanmedian(values, axis=0)[:3]),
         f"{np.nanmedian(values, axis=0)[3]:.1f}"]
        for (name, how), values in made.items()
    ]  # fmt: skip


def show(head: list[str], rows: object) -> None:
    """Print a table, each line when it is there."""
    print(table(head, []), flush=True)
    for row in rows:
        print(table(row, []).splitlines()[0], flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", nargs="+", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hits", action="store_true")
    parser.add_argument("--cleaned", action="store_true")
    parser.add_argument("--jwst", help="interpreter that has jwst")
    parser.add_argument("--pixels", action="store_true")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    tsoxr.set_options(progress=False)
    warnings.simplefilter("ignore", tsoxr.errors.TsoWarning)
    for asked, make in ((given.hits, quiet_rates), (given.cleaned, cleaned_rates)):
        if asked:
            show(HEAD, (hits(mode, range(given.seeds), make) for mode in given.mode))
    if given.jwst:
        head = [
            "mode", "search", *(f"{s:g}" for s in SIZES), "false", "million samples / s",
            "memory / input",
        ]  # fmt: skip
        show(head, (line for mode in given.mode for line in against_jwst(mode, given.jwst, 1)))
    if given.pixels:
        show(PIXELS_HEAD, (pixels(mode, range(given.seeds)) for mode in given.mode))
    if given.replace:
        spectral = [m for m in given.mode if "imaging" not in m]
        rows = (row for mode in spectral for row in replaced(mode, range(given.seeds)))
        show(REPLACE_HEAD, rows)


if __name__ == "__main__":
    main()
