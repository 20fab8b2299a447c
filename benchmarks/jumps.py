"""How many hits each search finds, at the same rate of false flags, and how long it takes.

Simulated exposures with the standard noise but no hits pass the chain up to `flag_jumps`. Into
2 % of the ramps one hit is put, in one difference of one pixel, of so many times the predicted
noise of that difference (photons at the true rate, and two reads). Every search gets the
threshold at which it flags one of 1e5 differences of the exposure without hits, and no
neighbours are flagged. "bound" is the most powerful test there is for one pixel, which knows the
ramp without noise: no search of single pixels can do better.

With `--jwst PYTHON`, an interpreter that has stcal and tsoxr, the searches of the STScI
pipeline are measured on the same arrays. `--speed` prints processor times instead (one thread
each, data in memory), `--events` what the defaults find of simulated particles that cross the detector,
deposits of 5 to 10 and from 10 sigma, `--false` what the defaults flag in exposures without any, in
transit and out of it. `--draw` makes
the figure of the documentation from `results/jumps.txt`; `--dark`, run by the interpreter with stcal,
shows what its likelihood search finds in ramps without light.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.stats import norm

CASES = {
    "nirspec-prism": {"n_groups": 5, "n_integrations": 150},
    "nirspec-g395h": {"n_groups": 16, "n_integrations": 20},
    "niriss-soss": {"n_groups": 4, "n_integrations": 24, "subarray": "SUBSTRIP96"},
    "miri-lrs": {"n_groups": 40, "n_integrations": 18},
}
FALSE_CASES = {
    **{mode: (mode, given) for mode, given in CASES.items()},
    "nirspec-prism, two groups": ("nirspec-prism", {"n_groups": 2, "n_integrations": 600}),
    "nircam-grism": ("nircam-grism", {"n_groups": 8, "n_integrations": 20}),
}
FALSE_TESTED = 1e7
"""Differences in transit, and out of it, that are looked at: 100 false flags at `FALSE_RATE`."""
FIRST_FALSE_SEED = 300
"""No other table has seen these seeds."""
SIZES = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0])
FALSE_RATE = 1e-5
REPEATS = 4
"""How often the exposure is repeated where tsoxr is timed: its look at a sample has a fixed cost."""
OURS = ("temporal", "two_point", "likelihood")
PEERS = ("stcal two-point", "stcal likelihood")
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "jumps.png"
RESULTS = Path(__file__).parent / "results" / "jumps.txt"
Detect = Callable[[np.ndarray, float], np.ndarray]


def cleaned(mode: str, seed: int, *, hits: bool = False, **given: object) -> tuple:
    """Return an exposure and its ramps as they come to `flag_jumps`."""
    from first_light import RAMPS

    import tsoxr
    from tsoxr.simulation.noise import STANDARD

    noise = tuple(n for n in STANDARD if hits or n != "hits")
    given = CASES.get(mode, {}) | given
    exposure = tsoxr.simulation.exposure(mode, seed=seed, noise=noise, **given)
    ds = exposure.ramps()
    for name in RAMPS[: RAMPS.index("flag_jumps")]:
        ds = getattr(tsoxr.steps, name)(ds)
    return exposure, ds


def predicted(exposure: object, ds: xr.Dataset) -> np.ndarray:
    """Return the predicted noise of a difference (y, x), DN, from the truth."""
    truth, gain, read = exposure.truth(), ds["gain"].values, ds["read_noise"].values
    photons = np.clip(truth["rate"].values, 0, None) * exposure.clock.group_interval / gain
    return np.sqrt(photons + 2 * read**2)


def put_hits(ds: xr.Dataset, noise: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ramps with one hit in some, and the size of each hit (time, difference, y, x)."""
    ramp = ds["ramp"].values.astype("f4")
    n_time, n_groups, n_y, n_x = ramp.shape
    rng = np.random.default_rng(seed)
    t, y, x = np.nonzero(rng.random((n_time, n_y, n_x)) < 0.02)
    j = rng.integers(0, n_groups - 1, t.size)
    size = np.zeros((n_time, n_groups - 1, n_y, n_x), "f4")
    size[t, j, y, x] = rng.choice(SIZES, t.size)
    charge = size[t, j, y, x] * noise[y, x]
    for k in range(1, n_groups):
        late = j < k
        ramp[t[late], k, y[late], x[late]] += charge[late]
    return ramp, size


def usable(ds: xr.Dataset) -> np.ndarray:
    """Return where a difference can be tested (time, difference, y, x)."""
    from tsoxr import dq

    flags = ds["dq_group"].values & 3
    bad = dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL", "NON_SCIENCE").values
    return ((flags[:, 1:] | flags[:, :-1]) == 0) & ~bad


def matched(detect: Detect, clean: np.ndarray, tested: np.ndarray) -> tuple[float, float]:
    """Return the threshold with `FALSE_RATE`, found by bisection, and the rate that it has."""
    low, high = 3.0, 9.0
    for _ in range(10):
        middle = 0.5 * (low + high)
        rate = np.mean(detect(clean, middle)[tested])
        low, high = (middle, high) if rate > FALSE_RATE else (low, middle)
    return high, float(np.mean(detect(clean, high)[tested]))


def ours(ds: xr.Dataset, method: str) -> Detect:
    """Return one of the searches of tsoxr as a function of ramps and threshold."""
    import tsoxr

    def detect(ramp: np.ndarray, sigma: float) -> np.ndarray:
        given = ds.assign(ramp=ds["ramp"].copy(data=ramp))
        found = tsoxr.steps.flag_jumps(given, method=method, sigma=sigma, grow=0)
        return ((found["dq_group"].values & ~ds["dq_group"].values) & 4)[:, 1:] > 0

    return detect


def peer(name: str, flags: np.ndarray, gain: np.ndarray, read: np.ndarray, dt: float) -> Detect:
    """Return one of the searches of stcal; arrays in DN, single-read noise."""
    if name == "stcal two-point":
        return _peer_two_point(flags, gain, read, dt)
    return _peer_likelihood(flags, gain, read, dt)


def _peer_two_point(flags: np.ndarray, gain: np.ndarray, read: np.ndarray, dt: float) -> Detect:
    from stcal.jump.twopoint_difference import find_crs
    from stcal.jump.twopoint_difference_class import TwoPointParams

    given = TwoPointParams()
    given.nframes, given.flag_4_neighbors = 1, False
    given.max_jump_to_flag_neighbors, given.min_jump_to_flag_neighbors = 1000, 10
    given.fl_good, given.fl_dnu, given.fl_sat, given.fl_jump = 0, 1, 2, 4
    given.fl_ngv, given.fl_ref = 1 << 19, 1 << 31
    given.after_jump_flag_e1 = given.after_jump_flag_e2 = np.zeros(gain.shape)
    given.after_jump_flag_n1 = given.after_jump_flag_n2 = 0
    given.minimum_groups, given.minimum_sigclip_groups = 3, 10**6
    given.only_use_ints, given.min_diffs_single_pass = True, 10
    given.dt_group = np.full(flags.shape[1] - 1, dt)
    given.n_reads_groupdiff = np.ones(flags.shape[1] - 1)

    def detect(ramp: np.ndarray, sigma: float) -> np.ndarray:
        given.normal_rej_thresh = given.two_diff_rej_thresh = sigma
        given.three_diff_rej_thresh = sigma
        data = (ramp * gain).astype("f4")
        found = find_crs(data, flags.copy(), (read * gain).astype("f4"), given)[0]
        return ((found & ~flags) & 4)[:, 1:] > 0

    return detect


def _peer_likelihood(flags: np.ndarray, gain: np.ndarray, read: np.ndarray, dt: float) -> Detect:
    from scipy.special import erfc
    from scipy.stats import chi2
    from stcal.ramp_fitting.likely_algo_classes import Covar
    from stcal.ramp_fitting.likely_fit import mask_jumps

    n_time, n_groups, *detector = flags.shape
    covar = Covar([[dt * (k + 1)] for k in range(n_groups)])
    unusable = (flags & 3) > 0
    good = ~(unusable[:, 1:] | unusable[:, :-1])
    gain, read = (np.broadcast_to(a, detector).ravel().astype("f8") for a in (gain, read))

    def detect(ramp: np.ndarray, sigma: float) -> np.ndarray:
        single, double = sigma**2, chi2.isf(erfc(sigma / np.sqrt(2)), 2)
        found = np.zeros(good.shape, bool)
        for t in range(n_time):
            slopes = np.diff(ramp[t].reshape(n_groups, -1).astype("f8"), axis=0) / dt
            use = good[t].reshape(n_groups - 1, -1).astype("u1")
            kept, _ = mask_jumps(slopes, covar, read, gain, single, double, diffs2use=use.copy())
            found[t] = ((use > 0) & (np.asarray(kept) == 0)).reshape(good[t].shape)
        return found

    return detect


def serve(folder: Path) -> None:
    """Run the searches of stcal on arrays that the other interpreter has saved."""
    given = np.load(folder / "given.npz")
    for number, name in enumerate(PEERS):
        arrays = (given["flags"], given["gain"], given["read"], float(given["dt"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detect, ramp = peer(name, *arrays), given["ramp"]
            if "clean" not in given:
                spent = min(_timed(lambda: detect(ramp, 5.0)) for _ in range(2))  # noqa: B023
                np.savez(folder / f"peer{number}.npz", spent=spent)
                continue
            sigma, rate = matched(detect, given["clean"], given["tested"])
            found = detect(ramp, sigma)
        np.savez(folder / f"peer{number}.npz", found=found, sigma=sigma, rate=rate)


def ask_peers(python: str, arrays: dict[str, np.ndarray]) -> dict[str, dict]:
    """Return what the searches of stcal give back: finds, threshold, false rate, or seconds."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "given.npz", **arrays)
        subprocess.run([python, __file__, "--serve", folder], check=True)
        for number, name in enumerate(PEERS):
            out[name] = dict(np.load(Path(folder) / f"peer{number}.npz"))
    return out


def for_peers(ds: xr.Dataset, exposure: object, **more: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays that the searches of stcal take."""
    shape = ds["ramp"].shape[2:]
    return more | {
        "flags": ds["dq_group"].values,
        "gain": np.broadcast_to(ds["gain"].values, shape),
        "read": np.broadcast_to(ds["read_noise"].values, shape),
        "dt": np.array(exposure.clock.group_interval),
    }


def bound(exposure: object, ds: xr.Dataset, size: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the chance that the most powerful test finds each hit."""
    from tsoxr.kernels.jump_filter import usual_factors
    from tsoxr.steps import _ramps

    rate = np.clip(exposure.truth()["rate"].values, 0, None)
    static = np.zeros((6, *rate.shape))
    static[0] = rate / ds["gain"].values
    static[1] = ds["read_noise"].values ** 2
    flags = (ds["dq_group"].values & 3 > 0).mean(axis=0) > 0.5
    static[4] = np.where(flags.any(axis=0), flags.argmax(axis=0), flags.shape[0]) - 1
    readout = _ramps.timing(ds, "benchmark")
    by = usual_factors(static.reshape(6, -1), readout)
    unit = by.scale.reshape(-1, *rate.shape)  # one over the square root of (C^-1)_jj
    with np.errstate(divide="ignore", invalid="ignore"):
        gained = size * noise * np.where(unit > 0, 1.0 / unit, 0.0)
    return norm.cdf(gained - norm.isf(FALSE_RATE))


def curves(mode: str, python: str | None, seed: int) -> dict[str, tuple]:
    """Return for each search: threshold, false rate, and the share found at each of `SIZES`."""
    exposure, ds = cleaned(mode, seed)
    noise, tested = predicted(exposure, ds), usable(ds)
    ramp, size = put_hits(ds, noise, seed)
    clean = ds["ramp"].values.astype("f4")
    made = {}
    for name in OURS:
        detect = ours(ds, name)
        sigma, rate = matched(detect, clean, tested)
        made[name] = {"found": detect(ramp, sigma), "sigma": sigma, "rate": rate}
    if python is not None:
        made |= ask_peers(python, for_peers(ds, exposure, ramp=ramp, clean=clean, tested=tested))
    chosen = [tested & (size == np.float32(s)) for s in SIZES]
    chance = bound(exposure, ds, size, noise)
    found = {"bound": (np.nan, FALSE_RATE, [chance[c].mean() for c in chosen])}
    for name, one in made.items():
        found[name] = one["sigma"], one["rate"], [one["found"][c].mean() for c in chosen]
    return found


def table(mode: str, found: dict[str, tuple]) -> str:
    """Return the curves of a mode as a Markdown table, in percent."""
    given = ", ".join(f"{v} {k.removeprefix('n_')}" for k, v in CASES[mode].items() if "n_" in k)
    sizes = " | ".join(f"{s:g}" for s in SIZES)
    rows = [f"| {mode}, {given} | threshold | false | {sizes} |", "|---" * (SIZES.size + 3) + "|"]
    for name, (sigma, rate, shares) in found.items():
        each = " | ".join(f"{100 * s:.2f}" for s in shares)
        rows.append(f"| {name} | {sigma:.2f} | {rate:.1e} | {each} |")
    return "\n".join(rows)


def read(path: Path) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Return sizes and shares of each search of each mode from the tables of a file."""
    found, sizes, mode = {}, [], ""
    for line in path.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if cells[1:3] == ["threshold", "false"]:
            mode, sizes = cells[0], [float(c) for c in cells[3:]]
            found[mode] = {}
        elif mode and len(cells) == len(sizes) + 3 and not cells[0].startswith("-"):
            found[mode][cells[0]] = sizes, [float(c) for c in cells[3:]]
    return found


def draw(all_found: dict[str, dict[str, tuple[list[float], list[float]]]]) -> None:
    """Draw the curves of all modes and save the figure of the documentation."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(all_found), figsize=(3.1 * len(all_found), 3.3), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    looks = {
        "bound": ("#999999", "-", 5.0), "temporal": ("#D55E00", "o-", 1.6),
        "likelihood": ("#0072B2", "s-", 1.2), "two_point": ("#009E73", "^-", 1.2),
        "stcal likelihood": ("#0072B2", "s:", 1.2), "stcal two-point": ("#009E73", "^:", 1.2),
    }  # fmt: skip
    for ax, (mode, found) in zip(axes[0], all_found.items(), strict=True):
        for name, (color, style, width) in looks.items():
            if name in found:
                ax.plot(*found[name], style, color=color, lw=width, ms=3.5, label=name)
        ax.axvline(5, color="k", lw=0.6, alpha=0.4)
        ax.set(xscale="log", xticks=[3, 5, 7, 10, 20], xlabel="hit [noise of a difference]")
        ax.set_xticks([], minor=True)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_title(", ".join(mode.split(", ")[:2]), fontsize="medium")
    axes[0, 0].set_ylabel("found [%]")
    axes[0, -1].legend(fontsize="x-small", loc="lower right")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def events(mode: str, seeds: range) -> str:
    """Return what the defaults find of simulated particles."""
    found = np.zeros((2, 2))
    for seed in seeds:
        exposure, ds = cleaned(mode, seed, hits=True, n_hits=3000)
        noise, hits = predicted(exposure, ds), exposure.hits
        charge = np.zeros(ds["ramp"].shape, "f4")
        np.add.at(charge, (hits.integration, hits.read, hits.y, hits.x), hits.charge)
        size = charge[:, 1:] / ds["gain"].values / noise
        tested, new = usable(ds), new_flags(ds)
        for k, (least, most) in enumerate(((5, 10), (10, np.inf))):
            chosen = tested & (size >= least) & (size < most)
            found[k] += np.count_nonzero(new & chosen), np.count_nonzero(chosen)
    shares = " | ".join(f"{100 * a / b:.2f} of {b:.0f}" for a, b in found)
    return f"| {mode} | {shares} |"


def new_flags(ds: xr.Dataset) -> np.ndarray:
    """Return what the defaults flag (time, difference, y, x)."""
    import tsoxr

    done = tsoxr.steps.flag_jumps(ds)
    return ((done["dq_group"].values & ~ds["dq_group"].values) & 4)[:, 1:] > 0


def false_flags(case: str) -> str:
    """Return what the defaults flag in exposures without hits, in transit and out of it."""
    mode, given = FALSE_CASES[case]
    flags, tested = np.zeros(2), np.zeros(2)
    seed = FIRST_FALSE_SEED
    while tested.min() < FALSE_TESTED:
        exposure, ds = cleaned(mode, seed, **given)
        new, good = new_flags(ds), usable(ds)
        inside = exposure.truth()["white_flux"].values < 1.0 - 1e-5
        for k, chosen in enumerate((inside, ~inside)):
            flags[k] += np.count_nonzero((new & good)[chosen])
            tested[k] += np.count_nonzero(good[chosen])
        seed += 1
    counts = (flags.sum(), *flags), (tested.sum(), *tested)
    each = [
        f"{1e6 * n / of:.1f} ± {1e6 * np.sqrt(n) / of:.1f} of {of / 1e6:.0f}"
        for n, of in zip(*counts, strict=True)
    ]
    return f"| {case} | {given['n_groups']} | {' | '.join(each)} | {seed - FIRST_FALSE_SEED} |"


def speed(mode: str, python: str | None) -> str:
    """Return the time of each search over that of one copy of the raw data to float32."""
    import tsoxr

    exposure, ds = cleaned(mode, 1)
    raw = np.clip(ds["ramp"].values, 0, 65535).astype("u2")
    millions = ds["ramp"].size / 1e6
    copy = min(_timed(lambda: raw.astype("f4")) for _ in range(5)) / millions
    spent = {}
    if python is not None:
        asked = ask_peers(python, for_peers(ds, exposure, ramp=ds["ramp"].values))
        spent |= {name: float(one["spent"]) / millions for name, one in asked.items()}
    long = xr.concat(
        [ds] * REPEATS, "time", data_vars="minimal", compat="override", coords="minimal"
    )
    for name in OURS:
        best = min(_timed(lambda: tsoxr.steps.flag_jumps(long, method=name)) for _ in range(3))  # noqa: B023
        spent[name] = best / millions / REPEATS
    rows = [f"| {n} | {s / copy:.1f} | {1 / s:.1f} |" for n, s in spent.items()]
    head = f"| {mode}, {millions:.1f} million samples | copies | million samples / s |"
    return "\n".join([head, "|---|---|---|", *rows])


def dark() -> str:
    """Return what stcal's likelihood search finds in dark ramps; for an interpreter with stcal.

    Hits of 200 DN in ramps of read noise alone, with a first guess of the rate (the median
    difference) of zero or less, and with a positive one.
    """
    rng = np.random.default_rng(1)
    rows = ["| groups | found, guess of zero, % | found, positive guess, % |", "|---|---|---|"]
    for n_groups in range(4, 11):
        shape = (2, n_groups, 20, 200)
        gain, read = np.full(shape[2:], 4.0), np.full(shape[2:], 4.2)
        ramp = rng.normal(0, 4.2, shape).astype("f4")
        ramp[:, n_groups // 2 :] += np.float32(200.0)
        zero = np.median(np.diff(ramp, axis=1), axis=1) <= 0
        detect = _peer_likelihood(np.zeros(shape, "u1"), gain, read, 1.0)
        found = 100 * detect(ramp, 4.5)[:, n_groups // 2 - 1]
        rows.append(f"| {n_groups} | {found[zero].mean():.1f} | {found[~zero].mean():.1f} |")
    return "\n".join(rows)


def _timed(func: Callable[[], object]) -> float:
    begin = time.process_time()
    func()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", nargs="+", default=list(CASES))
    parser.add_argument("--jwst", help="interpreter that has stcal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="for --events")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--false", action="store_true", help="what is flagged without hits")
    parser.add_argument("--dark", action="store_true", help="for the interpreter with stcal")
    parser.add_argument("--draw", action="store_true", help="the figure, from the results file")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    if given.dark:
        print(dark())
        return
    if given.draw:
        draw(read(RESULTS))
        return
    import tsoxr

    tsoxr.set_options(progress=False)
    warnings.simplefilter("ignore", tsoxr.errors.TsoWarning)
    for text in tables(given):
        print(text, flush=True)


def tables(given: argparse.Namespace) -> Iterator[str]:
    """Give the lines of what was asked for."""
    if given.speed:
        for mode in given.mode:
            yield speed(mode, given.jwst) + "\n"
    elif given.events:
        yield "| mode | found of 5 to 10 sigma, % | found from 10 sigma, % |\n|---|---|---|"
        for mode in given.mode:
            yield events(mode, range(given.seeds))
    elif given.false:
        yield "| per million | groups | all | in transit | out of it | exposures |"
        yield "|---|---|---|---|---|---|"
        for case in FALSE_CASES:
            yield false_flags(case)
    else:
        for mode in given.mode:
            yield table(mode, curves(mode, given.jwst, given.seed)) + "\n"


if __name__ == "__main__":
    main()
