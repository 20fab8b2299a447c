"""What each method of clean_1overf leaves of the stripes, and of the light curves.

Simulated exposures with the standard noise. Columns: the noise left in the rise of a line from
the first to the last group (truth minus what was removed, time-median taken out, rms over
lines, outputs and integrations) over that of an oracle, which knows the scene without noise
and weights each pixel with its inverse variance, but knows nothing about neighbouring lines;
scatter of the white light and median scatter of the channels over photon and read noise; and
the mean over the seeds of the depth's deviation in units of its error. "none" is the same
chain without the step.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import xarray as xr
from first_light import RAMPS, RATES, depth

import tsoxr
from tsoxr.steps._stripes import BAD

SETUPS = {
    "nirspec-prism": {"n_groups": 5},
    "nirspec-g395h": {"n_groups": 6},
    "niriss-soss": {"subarray": "SUBSTRIP96", "n_groups": 4},
    "nircam-grism": {"subarray": "SUBGRISM64", "n_groups": 6},
    "miri-lrs": {"n_groups": 8},
}
METHODS = {
    "none": None,
    "mean": {"method": "mean"},
    "median": {"method": "median"},
    "polynomial": {"method": "polynomial"},
    "odd_even": {"method": "odd_even"},
    "scaled, white": {"method": "scaled", "scaled_by": "white"},
    "scaled": {"method": "scaled"},
    "fourier": {"method": "fourier"},
    "gp": {"method": "gp"},
}
UNKNOWN = ("photon", "read", "one_over_f", "pedestal", "hits", "quantization")
"""What the oracle does not know of an exposure."""


def line_means(ramp: xr.DataArray, weight: xr.DataArray, n_outputs: int) -> np.ndarray:
    """Return weighted means (time, slow, output) of an image (time, y, x)."""
    slow, fast = ramp.attrs["slow_dim"], ramp.attrs["fast_dim"]
    order = ("time", slow, fast)
    size = ramp.sizes[fast] // n_outputs
    w = weight.transpose(slow, fast).values.reshape(-1, n_outputs, size)
    values = ramp.transpose(*order).values.reshape(ramp.sizes["time"], -1, n_outputs, size)
    total = np.nansum(w * values, axis=-1)
    return total / np.maximum(np.sum(w * np.isfinite(values), axis=-1), 1e-30)


def rise(ds: xr.Dataset) -> xr.DataArray:
    """Return the rise from the first to the last group, (time, y, x) float64."""
    ends = ds["ramp"].isel(group=[0, -1]).astype("f8")
    return (ends.isel(group=1) - ends.isel(group=0)).assign_attrs(ds.attrs)


def varying(levels: np.ndarray) -> np.ndarray:
    """Return levels without their median in time."""
    return levels - np.median(levels, axis=0)


class Case:
    """One exposure, what was put in, and the reach of the oracle."""

    def __init__(self, mode: str, seed: int, n_integrations: int) -> None:
        given = SETUPS[mode] | {"seed": seed, "n_integrations": n_integrations}
        self.exposure = tsoxr.simulation.exposure(mode, **given)
        self.ramps, self.truth = self.exposure.ramps(), self.exposure.truth()
        stripe = self.truth["stripe"]
        n_outputs = self.n_outputs = stripe.sizes.get("output", 1)
        stripe = (stripe.isel(group=-1) - stripe.isel(group=0)).astype("f8").values
        self.stripe = varying(stripe.reshape(*stripe.shape[:2], n_outputs))
        known = self.exposure.replace(noise=tuple(self.exposure.sources - set(UNKNOWN)))
        seen = rise(self.ramps) - rise(known.ramps())
        ds, clock = self.ramps, self.ramps["group_time"]
        photons = self.truth["rate"].clip(min=0) * float(clock[-1] - clock[0]) / ds["gain"]
        variance = 2 * ds["read_noise"] ** 2 + photons
        good = ~tsoxr.dq.has_flag(ds["dq_pixel"], *BAD)
        good = good & np.isfinite(variance)
        middle = seen.median(("y", "x"))
        hit = abs(seen - middle) > 6 * np.sqrt(variance) + 40
        weight = xr.where(good, 1 / variance, 0.0)
        seen = seen.where(~hit).assign_attrs(ds.attrs)
        self.oracle = self.left(line_means(seen, weight, n_outputs))

    def left(self, removed: np.ndarray) -> float:
        """Return the rms of the stripes that stay."""
        return float(np.sqrt(np.mean((self.stripe - varying(removed)) ** 2)))

    def stripes_left(self, how: dict | None) -> float:
        """Return the noise that a method leaves in the stripes over that of the oracle."""
        ramps = self.ramps
        for name in RAMPS[: RAMPS.index("clean_1overf")]:
            ramps = getattr(tsoxr.steps, name)(ramps)
        before = tsoxr.steps.subtract_bias(self.ramps)
        after = ramps if how is None else tsoxr.steps.clean_1overf(ramps, **how)
        taken = (rise(before) - rise(after)).assign_attrs(self.ramps.attrs)
        one = xr.ones_like(taken.isel(time=0, drop=True))
        return self.left(line_means(taken, one, self.n_outputs)) / self.oracle

    def light_curves(self, how: dict | None) -> tuple[float, float, float]:
        """Return scatter of white light and channels over the limit, and z of the depth."""
        ds = self.ramps
        for name in RAMPS + RATES:
            if name != "clean_1overf":
                ds = getattr(tsoxr.steps, name)(ds)
            elif how is not None:
                ds = tsoxr.steps.clean_1overf(ds, **how)
        white, truth = ds.tso.white_light(), self.truth
        model = (truth["white_flux"] / truth["white_flux"].median()).values
        flux = white["flux"].values[:, 0]
        scatter = 1e6 * np.std(flux - model * np.median(flux / model))
        ds = ds.isel(wavelength=np.isfinite(ds["flux"]).any("time").values)
        channel = ds["flux"].values / np.nanmedian(ds["flux"].values, axis=0) - model[:, None]
        channel = 1e6 * 1.4826 * np.nanmedian(abs(channel - np.nanmedian(channel, axis=0)), axis=0)
        name = "dispersion_pixel" if "dispersion_pixel" in ds.variables else "wavelength"
        limit = np.interp(ds[name].values, *self._limit(name))
        exact = white.assign(flux=(("time", "wavelength"), model[:, None], white["flux"].attrs))
        found, put_in = depth(white, truth), depth(exact, truth)
        z = ((found["depth"] - put_in["depth"]) / found["depth_error"]).item()
        return scatter / float(truth["white_flux_error"]), float(np.nanmedian(channel / limit)), z

    def _limit(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        at = self.truth[name].values
        order = np.argsort(at)
        return at[order], self.truth["flux_error"].values[order]


def table(mode: str, n_integrations: int, seeds: range, methods: dict[str, dict | None]) -> str:
    """Return the figures of a mode as a Markdown table."""
    found = {name: [] for name in methods}
    for seed in seeds:
        case = Case(mode, seed, n_integrations)
        for name, how in methods.items():
            found[name].append((case.stripes_left(how), *case.light_curves(how)))
    n = len(seeds)
    columns = "stripes left / oracle | white / limit | channels / limit | mean z | z x sqrt(n)"
    title = f"| {mode}, {n} seeds, {n_integrations} integrations | {columns} |"
    head = [title, "|---|---|---|---|---|---|"]
    rows = []
    for name, values in found.items():
        stripes, white, channels, z = np.mean(values, axis=0)
        rows.append(
            f"| {name} | {stripes:.3f} | {white:.3f} | {channels:.3f} "
            f"| {z:+.2f} | {z * np.sqrt(n):+.2f} |"
        )
    return "\n".join([*head, *rows])


def speed(mode: str) -> str:
    """Return the time that the methods take on one exposure in memory, one thread."""
    case = tsoxr.simulation.exposure(mode, **SETUPS[mode], seed=1, n_integrations=30)
    ramps = tsoxr.steps.subtract_bias(case.ramps())
    size = ramps["ramp"].size / 1e6
    out = [f"{mode}: {size:.1f} million samples"]
    for name, how in METHODS.items():
        if how is not None:
            tsoxr.steps.clean_1overf(ramps.isel(time=slice(0, 4)), **how)  # compiles
            begin = time.perf_counter()
            tsoxr.steps.clean_1overf(ramps, **how)
            spent = time.perf_counter() - begin
            out.append(f"  {name}: {1e3 * spent / size:.1f} ms per million samples")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", nargs="+", default=list(SETUPS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--integrations", type=int, default=60)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    methods = {name: METHODS[name] for name in given.methods}
    for mode in given.mode:
        if given.speed:
            print(speed(mode), end="\n\n", flush=True)
        else:
            print(
                table(mode, given.integrations, range(given.seeds), methods), end="\n\n", flush=True
            )


if __name__ == "__main__":
    main()
