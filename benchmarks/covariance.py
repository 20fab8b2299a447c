"""Weights for correlated noise against those of Horne: scatter, error bars and depth.

Simulated exposures with the standard noise, reduced from raw ramps with nothing but defaults up
to `extract`. Cases leave out steps, are faint, or take a wider aperture. Columns: scatter of the
white light and median scatter of the channels over photon and read noise alone; the same scatter
over the stated errors (below 1: errors too large); and mean and standard deviation over the seeds
of the depth's deviation in units of its error.

With ``--level rates`` rates are drawn at once, with photon, read and 1/f noise, many seeds in little
time; nothing has taken their stripes off.

``--bound`` prints what no linear unbiased estimate can go below: the noise of generalised least squares
with the covariance of 1/f noise, over photon and read noise alone. For the white light of the NIRCam grism it
is taken between blocks of the read-out, for lines across the spectrum within each of them, as if
wavelengths were independent.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from first_light import RAMPS, RATES, depth
from stripes import SETUPS

import tsoxr
from tsoxr.simulation.pink import amplitude
from tsoxr.simulation.sampling import of_pixels

OPTIMAL = {"method": "optimal"}
COVARIANCE = {"method": "covariance"}
CHAIN = tuple(name for name in RAMPS + RATES if name != "extract")


@dataclass(frozen=True)
class Case:
    """An exposure, what is left out of its reduction, and the extractions to compare."""

    mode: str
    ways: tuple[dict[str, Any], ...] = (OPTIMAL, COVARIANCE)
    exposure: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


WIDE = (OPTIMAL, COVARIANCE, COVARIANCE | {"half_width": 30.0})
ROWS = (OPTIMAL, *(COVARIANCE | {"bin_pixels": n} for n in (1.0, None, 1600.0)))
FAINT = {"brightness": 0.02}
CASES = {
    "prism": Case("nirspec-prism"),
    "prism, faint": Case("nirspec-prism", exposure=FAINT),
    "prism, faint, no clean_1overf": Case(
        "nirspec-prism", exposure=FAINT, without=("clean_1overf",)
    ),
    "prism, faint, stripes left": Case(
        "nirspec-prism", exposure=FAINT, without=("clean_1overf", "subtract_background")
    ),
    "g395h": Case("nirspec-g395h"),
    "soss": Case("niriss-soss", WIDE),
    "grism": Case("nircam-grism", ROWS),
    "grism, no clean_1overf": Case("nircam-grism", ROWS, without=("clean_1overf",)),
    "miri-lrs": Case("miri-lrs"),
}


def rates_of(
    case: Case, seed: int, n_integrations: int, level: str
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return rates as `extract` takes them, and the truth."""
    given = SETUPS[case.mode] | case.exposure | {"seed": seed, "n_integrations": n_integrations}
    if level == "rates":
        given["noise"] = ("photon", "read", "one_over_f", "background", "flat")
        exposure = tsoxr.simulation.exposure(case.mode, **given)
        return exposure.rates().tso.find_trace().tso.assign_wavelength(), exposure.truth()
    exposure = tsoxr.simulation.exposure(case.mode, **given)
    ds = exposure.ramps()
    for name in CHAIN:
        if name not in case.without:
            ds = getattr(tsoxr.steps, name)(ds)
    return ds, exposure.truth()


def figures(spectra: xr.Dataset, truth: xr.Dataset) -> tuple[float, ...]:
    """Return scatter over the limit and over the error, of white light and channels, and z."""
    white = spectra.tso.white_light()
    model = (truth["white_flux"] / truth["white_flux"].median()).values
    flux = white["flux"].values[:, 0]
    scatter = float(np.std(flux - model * np.median(flux / model)))
    exact = white.assign(flux=(("time", "wavelength"), model[:, None], white["flux"].attrs))
    found, put_in = depth(white, truth), depth(exact, truth)
    z = ((found["depth"] - put_in["depth"]) / found["depth_error"]).item()
    seen = spectra.isel(wavelength=np.isfinite(spectra["flux"]).any("time").values)
    size = np.nanmedian(seen["flux"].values, axis=0)
    rest = seen["flux"].values / size - model[:, None]
    rest = 1.4826 * np.nanmedian(abs(rest - np.nanmedian(rest, axis=0)), axis=0)
    error = np.nanmedian(seen["flux_error"].values, axis=0) / size
    at = truth["dispersion_pixel"].values
    order = np.argsort(at)
    limit = np.interp(seen["dispersion_pixel"].values, at[order], truth["flux_error"].values[order])
    return (
        1e6 * scatter / float(truth["white_flux_error"]),
        float(np.nanmedian(1e6 * rest / limit)),
        scatter / float(white["flux_error"].median()),
        float(np.nanmedian(rest / error)),
        z,
    )


def table(name: str, seeds: range, n_integrations: int, level: str) -> str:
    """Return the figures of a case as a Markdown table."""
    case = CASES[name]
    found: list[list[tuple[float, ...]]] = [[] for _ in case.ways]
    for seed in seeds:
        rates, truth = rates_of(case, seed, n_integrations, level)
        for way, values in zip(case.ways, found, strict=True):
            values.append(figures(rates.tso.extract(**way), truth))
    columns = "white / limit | channels / limit | white / error | channels / error | z"
    what = f"{name}, {len(seeds)} seeds, {n_integrations} integrations, from {level}"
    rows = [f"| {what} | {columns} |", "|---|---|---|---|---|---|"]
    for way, values in zip(case.ways, found, strict=True):
        each = np.array(values)
        mean, spread = each.mean(axis=0), each.std(axis=0, ddof=1)
        label = ", ".join(f"{k}={v}" for k, v in way.items())
        rows.append(
            f"| {label} | {mean[0]:.3f} ± {spread[0] / np.sqrt(len(each)):.3f} | {mean[1]:.3f} "
            f"| {mean[2]:.3f} | {mean[3]:.3f} | {mean[4]:+.2f}, {spread[4]:.2f} |"
        )
    return "\n".join(rows)


def _covariance_of_blocks(exposure: Any, size: int) -> tuple[np.ndarray, float]:
    """Return the covariance of the mean of blocks of a read-out line, slopes of the least squares.

    And the variance of a pixel about its block; both DN2 s-2.
    """
    samples = of_pixels(exposure.setup.readout)
    ticks = np.asarray(samples.ticks)
    outputs = np.broadcast_to(samples.outputs, ticks.shape)
    levels, clock = exposure.setup.electronics, exposure.clock
    scale = amplitude(levels.one_over_f, exposure.setup.readout.frame_clocks)
    step = round(clock.group_interval / clock.frame_time * exposure.setup.readout.frame_clocks)
    t = np.arange(exposure.n_groups) * clock.group_interval
    weight = (t - t.mean()) / ((t - t.mean()) ** 2).sum()
    n = 1 << 24
    frequency = np.fft.rfftfreq(n)
    response = sum(w * np.exp(-2j * np.pi * frequency * step * g) for g, w in enumerate(weight))
    power = np.abs(response) ** 2 * scale**2 / np.where(frequency > 0, frequency, np.inf)
    pixel = np.fft.irfft(power / 2.0, n)
    triangle = np.convolve(np.ones(size), np.ones(size)) / size**2
    middle = ticks.reshape(-1, size).mean(axis=1)
    apart = np.rint(np.abs(middle[:, None] - middle)).astype(int)
    reach = np.arange(apart.max() + 1)
    smooth = sum(
        w * pixel[np.abs(reach + lag)]
        for w, lag in zip(triangle, range(1 - size, size), strict=True)
    )
    own = outputs.reshape(-1, size)[:, 0]
    common = levels.one_over_f_common
    share = common + (1 - common) * (own[:, None] == own)
    return smooth[apart] * share, float(pixel[0] - smooth[0])


def bound(mode: str, size: int) -> str:
    """Return the least white-light noise that linear estimates can have, over the limit.

    The light of each wavelength is free (`free`), or all follow one light curve (`one`).
    """
    exposure = tsoxr.simulation.exposure(mode, **SETUPS[mode], seed=0, n_integrations=4)
    covariance, within = _covariance_of_blocks(exposure, size)
    truth, gain = exposure.truth(), exposure.maps.gain
    photon, read = tsoxr.simulation.prediction.pixel_variance(exposure)
    good = ~tsoxr.dq.has_flag(exposure.maps.dq, "DO_NOT_USE", "REFERENCE_PIXEL")
    inverse = good / ((photon + read) / gain**2 + within)
    light = exposure.scene.star * exposure.maps.response / gain
    light = np.where(light.sum(axis=0) > 1e-3 * light.sum(axis=0).max(), light, 0.0)

    def blocks(image: np.ndarray) -> np.ndarray:
        return image.reshape(image.shape[0], -1, size).sum(axis=2).ravel()

    prior = np.linalg.inv(covariance + 1e-7 * np.eye(len(covariance)))
    inner = prior + np.diag(blocks(inverse))
    norm = (light**2 * inverse).sum(axis=0)
    lit = np.flatnonzero(norm > 0)
    shared = np.zeros((lit.size, len(inner)))
    n_blocks = light.shape[1] // size
    for y in range(light.shape[0]):
        shared[np.arange(lit.size), y * n_blocks + lit // size] = (light * inverse)[y, lit]
    one = norm.sum() - blocks(light * inverse) @ np.linalg.solve(inner, blocks(light * inverse))
    flux = light.sum(axis=0)[lit]
    free_inner = inner - shared.T @ (shared / norm[lit][:, None])
    taken = (shared * (flux / norm[lit])[:, None]).sum(axis=0)
    free = (flux**2 / norm[lit]).sum() + taken @ np.linalg.solve(free_inner, taken)
    limit = float(truth["white_flux_error"])
    free_rms, one_rms = 1e6 * np.sqrt(free) / flux.sum(), 1e6 / np.sqrt(one)
    return (
        f"{mode}, blocks of {size} pixels: white light / limit at least {free_rms / limit:.3f} (free), "
        f"{one_rms / limit:.3f} (one light curve)"
    )


def bound_of_columns(mode: str, given: dict[str, Any]) -> str:
    """Return the least noise of channels and white light, each column by itself, over the limit."""
    setup = SETUPS[mode] | given
    exposure = tsoxr.simulation.exposure(mode, **setup, seed=0, n_integrations=4)
    covariance = _covariance_in_time(exposure) * float(np.median(exposure.maps.gain)) ** 2
    variance = sum(tsoxr.simulation.prediction.pixel_variance(exposure))
    good = ~tsoxr.dq.has_flag(exposure.maps.dq, "DO_NOT_USE", "REFERENCE_PIXEL")
    light = exposure.component.share() * exposure.maps.response
    lags = np.arange(len(light))
    shared = covariance[np.abs(lags[:, None] - lags)]
    least, alone = [], []
    for column in exposure.truth(stripes=False)["dispersion_pixel"].values:
        use = good[:, column]
        own, profile = variance[use, column], light[use, column]
        whole = np.diag(own) + shared[np.ix_(use, use)]
        least.append(1 / (profile @ np.linalg.solve(whole, profile)))
        alone.append(1 / (profile @ (profile / own)))
    channels = np.median(np.sqrt(np.divide(least, alone)))
    white = np.sqrt(np.sum(least) / np.sum(alone))
    named = ", ".join(f"{k}={v}" for k, v in setup.items())
    return f"{mode}, {named}: channels / limit at least {channels:.3f}, white light {white:.3f}"


def _covariance_in_time(exposure: tsoxr.simulation.Exposure) -> np.ndarray:
    """Return the covariance of 1/f noise in slopes, DN2 s-2, by distance in ticks of the read-out."""
    clock = exposure.clock
    frame = exposure.setup.readout.frame_clocks
    pink = amplitude(exposure.setup.electronics.one_over_f, frame)
    when = np.arange(exposure.n_groups) * clock.group_interval
    weight = (when - when.mean()) / ((when - when.mean()) ** 2).sum()
    ticks = round(clock.group_interval / clock.frame_time * frame)
    n = 1 << 22
    frequency = np.fft.rfftfreq(n)
    slopes = sum(w * np.exp(-2j * np.pi * frequency * ticks * g) for g, w in enumerate(weight))
    density = pink**2 / np.where(frequency > 0, frequency, np.inf) / 2
    return np.fft.irfft(abs(slopes) ** 2 * density, n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--integrations", type=int, default=60)
    parser.add_argument("--level", choices=("ramps", "rates"), default="ramps")
    parser.add_argument("--bound", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    if given.bound:
        for size in (512, 128):
            print(bound("nircam-grism", size), flush=True)
        for mode, own in (("niriss-soss", {}), ("nirspec-prism", FAINT), ("nirspec-prism", {})):
            print(bound_of_columns(mode, own), flush=True)
        return
    for name in given.cases:
        print(
            table(name, range(given.seeds), given.integrations, given.level), end="\n\n", flush=True
        )


if __name__ == "__main__":
    main()
