"""Photometry of simulated images against the limit of photons and reads, over many seeds.

    python benchmarks/photometry.py                   # table of all cases, 20 seeds
    python benchmarks/photometry.py --case "SUB64P in focus" --seeds 4
    python benchmarks/photometry.py --from-ramps      # through the detector level, 1/f noise on
    python benchmarks/photometry.py --moves           # what a shift and a change of width do
    python benchmarks/photometry.py --speed           # processor time of 10,000 integrations

The limit is the optimal sum of a known image with a known sky. The bound of the centroid is that
of Cramer and Rao, as in `benchmarks/motion.py`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import xarray as xr
from motion import bound

import tsoxr
from tsoxr import simulation

SOURCES = ("photon", "read", "flat", "background", "jitter", "bad_pixels", "hits")
RAMPS = (
    "flag_groups",
    "flag_saturation",
    "subtract_bias",
    "correct_reference_pixels",
    "clean_1overf",
    "linearize",
    "subtract_dark",
    "flag_jumps",
    "fit_ramps",
)
WIDEST = 640
APERTURE, OPTIMAL, CIRCLE = {}, {"method": "optimal"}, {"shape": "circle"}
HEXAGON, FOLLOW = {"shape": "hexagon"}, {"follow": True}
IN_FOCUS = {"default": APERTURE, "optimal": OPTIMAL, "follow": FOLLOW}
DEFOCUSED = {"default": APERTURE, "hexagon": HEXAGON, "optimal": OPTIMAL, "follow": FOLLOW}
CASES = {
    "SUB64P in focus": ("nircam-imaging", {"subarray": "SUB64P"}, 160, IN_FOCUS),
    "SUB64P in focus, 5 % of the light": (
        "nircam-imaging", {"subarray": "SUB64P", "brightness": 0.05}, 160, IN_FOCUS,
    ),
    "WLP8, SUBGRISM256": ("nircam-imaging", {"subarray": "SUBGRISM256"}, 24, DEFOCUSED),
    "WLP8, SUB160P": (
        "nircam-imaging", {"subarray": "SUB160P", "pupil": "WLP8"}, 60, DEFOCUSED | {"circle": CIRCLE},
    ),
    "WLP8, SUB64P": (
        "nircam-imaging", {"subarray": "SUB64P", "pupil": "WLP8"}, 160, DEFOCUSED | {"circle": CIRCLE},
    ),
    "MIRI F1500W, SUB256": ("miri-imaging", {"subarray": "SUB256", "filter": "F1500W"}, 60, IN_FOCUS),
    "MIRI F1500W, SUB256, 5 % of the light": (
        "miri-imaging", {"subarray": "SUB256", "filter": "F1500W", "brightness": 0.05}, 60, IN_FOCUS,
    ),
    "MIRI F770W, SUB64": ("miri-imaging", {"subarray": "SUB64", "filter": "F770W"}, 120, IN_FOCUS),
}  # fmt: skip


def exposure(case: str, seed: int) -> simulation.Exposure:
    """Return one exposure of a case."""
    mode, own, n_integrations, _ = CASES[case]
    given = {"n_integrations": n_integrations, "seed": seed, "noise": SOURCES, **own}
    return simulation.exposure(mode, **given)


def from_ramps(made: simulation.Exposure, case: str) -> xr.Dataset:
    """Return the rates that the detector level makes of raw ramps.

    Nothing but defaults, except that stripes are sought outside of the image where it is small:
    the default leaves out 100 pixels about the star, for the weak lens.
    """
    ds = made.replace(noise=simulation.SETS["standard"]).ramps()
    for name in RAMPS:
        small = name == "clean_1overf" and "in focus" in case
        ds = getattr(tsoxr.steps, name)(ds, **({"trace_half_width": 15} if small else {}))
    return ds


def around(rates: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Return the columns about the star: those of the stripes are 2048."""
    x = int(truth["profile"].sum("y").values.argmax())
    return rates.isel(x=slice(max(x - WIDEST // 2, 0), x + WIDEST // 2))


def score(curve: xr.Dataset, truth: xr.Dataset, best: dict[str, float]) -> dict[str, float]:
    """Return scatter over limit and over error, centroid noise over its bound, and z of the depth."""
    model = truth["white_flux"].values
    ratio = curve["flux"].values[:, 0] / model
    ratio = ratio / np.nanmedian(ratio)
    scatter, error = np.nanstd(ratio, ddof=1), np.nanmedian(curve["flux_error"].values)
    off = [
        (curve[f"centroid_{d}"].values - truth[s].values, best[s])
        for d, s in (("y", "shift"), ("x", "shift_dispersion"))
    ]
    when = {"t0": truth.attrs["t0"], "duration": truth.attrs["transit_duration"]}
    exact = curve.assign(flux=curve["flux"].copy(data=model[:, None] / np.median(model)))
    found, injected = (c.tso.mark_transit(**when).tso.spectrum() for c in (curve, exact))
    difference = (found["depth"] - injected["depth"]).item()
    return {
        "scatter": 1e6 * scatter / float(truth["white_flux_error"]),
        "error": error / scatter,
        "centroid": float(np.mean([np.nanstd(o, ddof=1) / b for o, b in off])),
        "z": difference / found["depth_error"].item(),
        "ppm": difference,
        "radius": float(curve["aperture_radius"]),
    }


def rows(case: str, seeds: range, *, ramps: bool) -> list[str]:
    """Return a line of the table for each way of summing."""
    ways = CASES[case][3]
    scores: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    best = bound(exposure(case, seeds[0]), 0.0)
    for seed in seeds:
        made = exposure(case, seed)
        truth = made.truth(stripes=False)
        rates = from_ramps(made, case) if ramps else made.rates()
        rates = around(rates, truth).tso.flag_outliers().tso.track()
        for way, given in ways.items():
            scores[way].append(score(rates.tso.photometry(**given), truth, best))
    out = []
    for way, found in scores.items():
        each = {k: np.array([f[k] for f in found]) for k in found[0]}
        n = np.sqrt(len(found))
        rms = np.sqrt((each["scatter"] ** 2).mean())
        unsure = each["scatter"].std(ddof=1) / n
        ratio = 1.0 / np.sqrt((1.0 / each["error"] ** 2).mean())
        out.append(
            f"| {case} | {way} | {np.median(each['radius']):.1f} | {rms:.3f} +- {unsure:.3f} |"
            f" {ratio:.3f} +- {each['error'].std(ddof=1) / n:.3f} |"
            f" {each['centroid'].mean():.2f} | {each['ppm'].mean():+.0f} +- {each['ppm'].std(ddof=1) / n:.0f} |"
            f" {each['z'].mean():+.2f} +- {1 / n:.2f} | {each['z'].std(ddof=1):.2f} |"
        )
    return out


HEAD = (
    "| images | sum | radius [pix] | scatter over limit | predicted over measured error | centroid"
    " noise over bound | depth - injected [ppm] | mean z | standard deviation of z |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def speed(n_integrations: int) -> None:
    """Print the processor time of one thread, seconds, for SUB64P; the best of three."""
    case = "SUB64P in focus"
    few = exposure(case, 1).replace(n_integrations=200).rates().tso.track()
    rates = xr.concat([few] * (n_integrations // 200), "time", data_vars="minimal", coords="minimal",
                      compat="override", join="override", combine_attrs="override")  # fmt: skip
    rates = rates.assign_coords(
        time=rates["time"].values[0] + 1e-6 * np.arange(rates.sizes["time"])
    )
    for way, given in (*IN_FOCUS.items(), ("median", {"background": "median"})):
        times = []
        for _ in range(4):  # the first one compiles
            start = time.process_time()
            rates.tso.photometry(**given)
            times.append(time.process_time() - start)
        print(f"{rates.sizes['time']} integrations of 64 x 64, {way}: {min(times[1:]):.2f} s")
    bare = rates.drop_vars([n for n in rates.variables if str(n).startswith(("track", "trace"))])
    start = time.process_time()
    bare.tso.track()
    print(f"track, which measures the centroids: {time.process_time() - start:.2f} s")


MOVES = {
    "shift of 0.03 pixels on each axis": {"across": 0.03, "along": 0.03},
    "wider by 0.2 %": {"focus": 0.002},
}
WAYS = {
    "circle": CIRCLE,
    "optimal": OPTIMAL,
    "follow": FOLLOW,
    "frame": {"shape": "frame"},
    "circle of 12 pixels": {"radius": 12.0},
}
STEPPED = ("SUB64P in focus", "WLP8, SUB64P", "MIRI F1500W, SUB256", "MIRI F770W, SUB64")


def moves(case: str, n: int = 40) -> list[str]:
    """Return the steps of light curves without noise when the star moves or widens at half time."""
    made = exposure(case, 1).replace(n_integrations=n, radius_ratio=1e-4, noise=())
    like = made.replace(noise=("photon", "read", "background")).rates()  # for its errors
    steps: dict[str, list[float]] = {way: [] for way in WAYS}
    for change in MOVES.values():
        tilt = simulation.Tilt(time=made.moment(0.5), **change)
        rates = like.assign(rate=made.replace(events=(tilt,)).rates()["rate"]).tso.track()
        for way, given in WAYS.items():
            curve = rates.tso.photometry(**given)
            flux = curve["flux"].values[:, 0]
            steps[way].append(1e6 * (flux[n // 2 + 2 :].mean() / flux[: n // 2 - 2].mean() - 1.0))
    return [
        f"| {case} | {way} | " + " | ".join(f"{v:+.0f}" for v in found) + " |"
        for way, found in steps.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="+", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--from-ramps", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--moves", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    if given.moves:
        print(f"| step of the light, ppm | sum | {' | '.join(MOVES)} |\n|---|---|---|---|")
        for case in STEPPED:
            print("\n".join(moves(case)), flush=True)
        return
    if given.speed:
        speed(10_000)
        return
    print(
        f"{given.seeds} seeds, {'raw ramps' if given.from_ramps else 'simulated rates'}\n\n{HEAD}"
    )
    for case in given.case:
        lines = rows(case, range(given.first, given.first + given.seeds), ramps=given.from_ramps)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
