"""Photometry of simulated images against the limit of photons and reads, over many seeds.

    python benchmarks/photometry.py                   # table of all cases, 20 seeds
    python benchmarks/photometry.py --case "SUB64P in focus" --seeds 4
    python benchmarks/photometry.py --from-ramps      # through the detector level, 1/f noise on
    python benchmarks/photometry.py --bound           # what the best estimator makes of 1/f noise
    python benchmarks/photometry.py --centroids       # centroids beside those of photutils
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
from scipy.fft import irfft, next_fast_len, rfft
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import sici

import tsoxr
from tsoxr import simulation
from tsoxr.simulation.pink import amplitude
from tsoxr.simulation.sampling import of_pixels

SOURCES = ("photon", "read", "flat", "background", "jitter", "bad_pixels", "hits")
RAMPS = (
    "flag_groups",
    "flag_saturation",
    "subtract_bias",
    "subtract_reset_anomaly",
    "correct_reference_pixels",
    "clean_1overf",
    "linearize",
    "subtract_dark",
    "flag_jumps",
    "fit_ramps",
)
ALL_GROUPS = {"first": 0, "last": 0, "first_integration": 0}
WIDEST = 640
DEFAULT, OPTIMAL, CIRCLE = {}, {"method": "optimal"}, {"shape": "circle"}
HEXAGON, FOLLOW, SURFACE = {"shape": "hexagon"}, {"follow": True}, {"background": "2d"}
IN_FOCUS = {"default": DEFAULT, "optimal": OPTIMAL, "follow": FOLLOW, "2d": SURFACE}
DEFOCUSED = {"default": DEFAULT, "hexagon": HEXAGON, "optimal": OPTIMAL, "follow": FOLLOW}
FROM_RAMPS = {"default": DEFAULT, "aperture": {"method": "aperture"}}
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

    Nothing but defaults, except that MIRI keeps all groups, whose signal after the reset is taken off.
    """
    ds = made.replace(noise=noise_of_ramps(case)).ramps()
    for name in RAMPS:
        if name not in ("flag_groups", "subtract_reset_anomaly") or "MIRI" in case:
            ds = getattr(tsoxr.steps, name)(ds, **(ALL_GROUPS if name == "flag_groups" else {}))
    return ds


def noise_of_ramps(case: str) -> tuple[str, ...]:
    """Return the noise that is on: with MIRI's signal after the reset."""
    return (*simulation.SETS["standard"], *(("reset_anomaly",) if "MIRI" in case else ()))


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
    ways = FROM_RAMPS if ramps else CASES[case][3]
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


def best_with_drifts(case: str) -> float:
    """Return the error of the best linear sum of images with 1/f noise over the limit without.

    The sum knows the covariance of all pixels: photons and reads, 1/f noise at the tick of each
    pixel in the first and the last group, and a pedestal of each group; and uses reference
    pixels, which are blind and quieter. Image and sky are known. One output; solved by
    conjugate gradients, with the covariance on the clock applied by Fourier transform.
    """
    made = exposure(case, 1).replace(noise=simulation.SETS["standard"], n_integrations=8)
    truth, levels, readout = made.truth(stripes=False), made.setup.electronics, made.setup.readout
    ideal = made.replace(noise=SOURCES).rates()
    span = made.clock.n_groups - 1
    seconds, apart = span * float(ideal.attrs["frame_time"]), span * readout.frame_clocks
    blind = tsoxr.dq.has_flag(ideal["dq"].isel(time=0), "REFERENCE_PIXEL").values
    quiet = 2.0 * (levels.reference_noise * made.setup.constants.read_noise / seconds) ** 2
    white = np.where(blind, quiet, np.median(ideal["rate_error"].values.astype(float) ** 2, 0))
    light = np.where(blind, 0.0, (truth["rate"] - truth["background"]).values.astype(float))
    bad = tsoxr.dq.has_flag(ideal["dq"], "DO_NOT_USE").all("time").values
    used = np.isfinite(white) & (white > 0.0) & np.isfinite(light) & ~bad
    white, light, ticks = white[used], light[used], of_pixels(readout).ticks[used]
    n = next_fast_len(2 * readout.frame_clocks)
    lag = np.minimum(np.arange(n), n - np.arange(n)).astype(float)
    density = amplitude(levels.one_over_f, readout.frame_clocks) ** 2
    change = _variogram(lag + apart) + _variogram(lag - apart) - 2.0 * _variogram(lag)
    power = rfft(density * change / seconds**2)
    pedestal = 2.0 * (levels.pedestal / seconds) ** 2

    def covariance(image: np.ndarray) -> np.ndarray:
        on_clock = np.zeros(n)
        on_clock[ticks] = image
        return white * image + irfft(rfft(on_clock) * power, n)[ticks] + pedestal * image.sum()

    shape = (light.size, light.size)
    solved, failed = cg(
        LinearOperator(shape, covariance), light, rtol=1e-8, maxiter=3000,
        M=LinearOperator(shape, lambda image: image / white),
    )  # fmt: skip
    if failed:
        raise RuntimeError(f"{case}: conjugate gradients did not converge")
    return float(1e6 / np.sqrt(light @ solved) / float(truth["white_flux_error"]))


def _variogram(ticks: np.ndarray) -> np.ndarray:
    """Return half the mean square difference of 1/f noise of unit density, by ticks apart."""
    x = np.maximum(np.pi * np.abs(ticks), 1e-12)
    return np.euler_gamma + np.log(x) - sici(x)[1]


def centroids(seeds: range) -> None:
    """Print noise, response to motion and noise over response of centroids along y, SUB64P.

    The star jitters by 0.02 pixels; photutils sees 13 x 13 pixels about it, its sky taken off.
    """
    from photutils import centroids as other

    names = ("centroid_com", "centroid_quadratic", "centroid_1dg", "centroid_2dg")
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        wander = simulation.Telescope(jitter_drift=0.0, jitter=0.02)
        made = exposure("SUB64P in focus", seed).replace(
            noise=("photon", "read", "background", "jitter"), telescope=wander, n_integrations=60
        )
        rates, shift = made.rates().tso.track(), made.truth(stripes=False)["shift"].values
        images = rates["rate"].values[:, 23:36, 23:36].astype(float)
        images -= np.median(rates["rate"].values[:, :8, :8])
        places = {"track": rates["trace_shift"].values}
        places |= {n: np.array([getattr(other, n)(image)[1] for image in images]) for n in names}
        for name, place in places.items():
            response, start = np.polyfit(shift, place, 1)
            noise = np.std(place - response * shift - start, ddof=2)
            found.setdefault(name, []).append((noise, response))
    print(
        "| centroid along y | noise [mpix] | response to motion | noise over response |\n|---|---|---|---|"
    )
    for name, values in found.items():
        noise, response = np.sqrt(np.mean(np.square(values), axis=0))
        print(f"| {name} | {1e3 * noise:.2f} | {response:.2f} | {1e3 * noise / response:.2f} |")


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
    parser.add_argument("--bound", action="store_true")
    parser.add_argument("--centroids", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    if given.moves:
        print(f"| step of the light, ppm | sum | {' | '.join(MOVES)} |\n|---|---|---|---|")
        for case in STEPPED:
            print("\n".join(moves(case)), flush=True)
        return
    if given.centroids:
        centroids(range(given.first, given.first + min(given.seeds, 4)))
        return
    if given.bound:
        print("| images, raw ramps | best possible scatter over limit |\n|---|---|")
        for case in given.case:
            if exposure(case, 1).setup.readout.n_outputs == 1:
                print(f"| {case} | {best_with_drifts(case):.3f} |", flush=True)
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
