"""Speed of ramp fits against the STScI pipeline's, and how far their results can be trusted.

One run, the same data, one thread, best of several; processor time, which other work on the
machine disturbs less than elapsed time. Ratios first: how many times faster than
the pipeline's OLS_C and LIKELY (in memory, float32 already; their reading and set-up of models
is not counted), and how many passes that convert the raw cube to float32 a fit takes, into a
new array and into one that exists. "kernel": fitting with known weights. "step": `fit_ramps`
on raw integers in memory with everything that it adds, the sample and its statistics
included. Ramps carry photon and read noise; 2 % of them have a hit, flagged for OLS_C and
gls, and to be found by LIKELY and likelihood. The pipeline is fitted to as many integrations
as hold `--samples`. The second table needs no pipeline: bias, width of the pulls and
chi-squared of simulated ramps of 10 groups at three levels of light.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 -- after the number of threads
import xarray as xr  # noqa: E402 -- after the number of threads
from _peers import ran, table  # noqa: E402 -- after the number of threads

import tsoxr  # noqa: E402 -- after the number of threads
from tsoxr import dq  # noqa: E402 -- after the number of threads
from tsoxr.kernels import ramp_fit, ramp_likelihood, ramps  # noqa: E402 -- after the number of threads

CASES = {
    "NIRSpec PRISM": (200, 10, 32, 512),
    "NIRISS SOSS": (20, 5, 256, 2048),
    "MIRI LRS": (100, 40, 416, 72),
}
GAIN, READ_NOISE, INTERVAL = 1.5, 6.0, 1.0
SIGMA = 4.5
LEVELS = {"faint, 2 e- per group": (2.0, 3_000_000), "medium, 100": (100.0, 600_000),
          "bright, 3000": (3000.0, 600_000)}  # fmt: skip
"""Electrons per group, and number of ramps."""

METHODS = ("gls", "likelihood", "ols", "last_minus_first", "differences")

PEER = """
import json, logging, sys, time
import numpy as np
logging.disable(logging.CRITICAL)
from jwst.datamodels import dqflags
from stcal.ramp_fitting.ramp_fit import ramp_fit_data
from stcal.ramp_fitting.ramp_fit_class import RampData
folder, gain, noise, sigma, repeat = sys.argv[1], *map(float, sys.argv[2:6])
cube, flags = np.load(folder + "/ramp.npy"), np.load(folder + "/flags.npy")
size = cube.shape[2:]
def once(algorithm):
    data = RampData()
    seen = flags.copy() if algorithm == "OLS_C" else np.zeros_like(flags)
    data.set_arrays(cube.astype("f4"), seen, np.zeros(size, "u4"), np.zeros(size, "f4"))
    data.set_meta("NIRSPEC", 1.0, 1.0, 0, 1)
    data.set_dqflags(dqflags.pixel)
    data.start_row, data.num_rows, data.suppress_one_group_ramps = 0, size[0], True
    data.algorithm, data.rejection_threshold = algorithm, sigma
    maps = np.full(size, noise, "f4"), np.full(size, gain, "f4")
    start = time.process_time()
    ramp_fit_data(data, False, *maps, algorithm, "optimal", "none")
    return time.process_time() - start
print(json.dumps({a: min(once(a) for _ in range(int(repeat))) / cube.size for a in ("OLS_C", "LIKELY")}))
"""

COMPILE = """
import time, tsoxr
ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=8, seed=1)
import numba, scipy.special
used = time.process_time()
ramps.tso.fit_ramps(method={method!r})
first = time.process_time() - used
used = time.process_time()
ramps.tso.fit_ramps(method={method!r})
print(first - time.process_time() + used)
"""


def simulated(shape: tuple[int, ...], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return raw ramps (time, group, y, x) uint16 and flags with the hits that they hold."""
    rng = np.random.default_rng(seed)
    n_times, n_groups, n_y, n_x = shape
    light = np.geomspace(3.0, 0.6 * 60000 * GAIN / n_groups, n_x).astype("f4")
    ramp, flags = np.empty(shape, "u2"), np.zeros(shape, "u1")
    for t in range(n_times):
        electrons = rng.poisson(light, shape[1:]).cumsum(axis=0) / GAIN + 3000.0
        hit = rng.random((n_y, n_x)) < 0.02
        first = rng.integers(1, n_groups, (n_y, n_x))
        after = hit & (np.arange(n_groups)[:, None, None] >= first)
        noisy = electrons + rng.normal(0.0, READ_NOISE, shape[1:]) + 2000.0 * after
        ramp[t] = np.clip(np.round(noisy), 0, 65535)
        flags[t] = np.where(after & (np.arange(n_groups)[:, None, None] == first), 4, 0)
    return ramp, flags


def dataset(ramp: np.ndarray, flags: np.ndarray) -> xr.Dataset:
    """Return ramps as the step takes them."""
    n_times, n_groups, n_y, n_x = ramp.shape
    data = {
        "ramp": (("time", "group", "y", "x"), ramp, {"units": "DN"}),
        "dq_group": (("time", "group", "y", "x"), flags, dq.flag_attrs("u1")),
        "dq_pixel": (("y", "x"), np.zeros((n_y, n_x), "u4"), dq.flag_attrs("u4")),
        "gain": ((), np.float32(GAIN), {"units": "electron DN-1"}),
        "read_noise": ((), np.float32(READ_NOISE), {"units": "DN"}),
    }
    coords = {
        "time": ("time", 60000.0 + np.arange(n_times) * 1e-4, {"units": "d"}),
        "group": ("group", np.arange(1, n_groups + 1, dtype="i2"), {"units": "1"}),
        "group_time": ("group", INTERVAL * np.arange(1.0, n_groups + 1), {"units": "s"}),
    }
    axes = {"spatial_dim": "y", "dispersion_dim": "x", "fast_dim": "y", "slow_dim": "x"}
    return xr.Dataset(data, coords, {"tso_kind": "ramps", "n_frames": 1, **axes})


def best(functions: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Return the shortest time of each, s; they take turns, so that all see the same machine."""
    found = dict.fromkeys(functions, np.inf)
    for turn in range(repeat + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken = time.process_time() - start
            found[name] = min(found[name], taken) if turn else np.inf  # the first turn compiles
    return found


def ours(ramp: np.ndarray, flags: np.ndarray, repeat: int) -> dict[str, float]:
    """Return seconds per sample of the conversion and of each fit."""
    _, n_groups, n_y, n_x = ramp.shape
    times = ramps.readout(INTERVAL * np.arange(1.0, n_groups + 1))
    rate = np.median((ramp[:32, -1] - ramp[:32, 0].astype("f4")) / (n_groups - 1), axis=0)
    noise = np.stack([np.maximum(rate, 0.0) / GAIN, np.full((n_y, n_x), READ_NOISE**2)])
    detector = np.stack([np.full((n_y, n_x), 1.0 / GAIN), np.zeros((n_y, n_x))])
    pattern = np.zeros((n_groups, n_y, n_x), "u1")
    flat = [a.reshape(a.shape[0], -1) for a in (pattern, noise)]
    weights, variance = ramps.ramp_weights(flat[0], flat[1][0], flat[1][1], times)
    static = weights.astype("f4").reshape(pattern.shape), pattern, variance.reshape(noise.shape)
    unflagged, rule = np.zeros_like(flags), ramp_likelihood.thresholds(SIGMA)
    into = np.empty(ramp.shape, "f4")
    known, searched = dataset(ramp, flags), dataset(ramp, unflagged)
    searching = {"method": "likelihood", "sigma": SIGMA}
    functions = {
        "into existing": lambda: np.copyto(into, ramp, casting="unsafe"),
        "into new": lambda: ramp.astype("f4"),
        "gls kernel": lambda: ramp_fit.fit(ramp, flags, *static, noise, readout=times),
        "gls step": lambda: tsoxr.steps.fit_ramps(known),
        "likelihood kernel": lambda: ramp_likelihood.fit(
            ramp, unflagged, noise, detector, pattern, readout=times, rule=rule
        ),
        "likelihood step": lambda: tsoxr.steps.fit_ramps(searched, **searching),
        "ols step": lambda: tsoxr.steps.fit_ramps(known, method="ols"),
    }
    return {n: s / ramp.size for n, s in best(functions, repeat).items()}


def pipeline(python: str, ramp: np.ndarray, flags: np.ndarray, samples: float) -> dict[str, Any]:
    """Return seconds per sample of the pipeline's fits, measured by another interpreter."""
    kept = max(1, min(ramp.shape[0], int(samples / ramp[0].size)))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "ramp.npy", ramp[:kept])
        np.save(Path(folder) / "flags.npy", flags[:kept])
        cds = READ_NOISE * np.sqrt(2.0)  # its reference files hold the noise of a difference
        numbers = [str(v) for v in (GAIN, cds, SIGMA, 2)]
        return ran(python, PEER, folder, *numbers, STPIPE_DISABLE_CRDS_STEPPARS="true")


def speed(python: str | None, repeat: int, samples: float) -> str:
    """Return the tables of ratios and of nanoseconds per sample."""
    ratios, absolute = [], []
    for name, shape in CASES.items():
        ramp, flags = simulated(shape)
        t = ours(ramp, flags, repeat)
        peer = pipeline(python, ramp, flags, samples) if python else {}
        t |= peer
        per = {n: f"{1e9 * s:.2f}" for n, s in t.items()}
        row = [f"{name} {'x'.join(map(str, shape))}"]
        if peer:
            row += [f"{t['OLS_C'] / t[f'gls {k}']:.0f}" for k in ("kernel", "step")]
            row += [f"{t['LIKELY'] / t[f'likelihood {k}']:.0f}" for k in ("kernel", "step")]
            row += [f"{t['OLS_C'] / t['likelihood step']:.1f}"]
        row += [
            f"{t[f'gls {k}'] / t['into new']:.1f} / {t[f'gls {k}'] / t['into existing']:.1f}"
            for k in ("kernel", "step")
        ]
        ratios.append(row)
        absolute.append([name, *per.values()])
    header = ["case"]
    if python:
        header += ["OLS_C / gls kernel", "OLS_C / gls step", "LIKELY / likelihood kernel"]
        header += ["LIKELY / likelihood step", "OLS_C / likelihood step"]
    header += ["gls kernel, passes (new / existing array)", "gls step, passes"]
    plain = table(["ns per sample", *per], absolute)
    return table(header, ratios) + "\n\n" + plain


def accuracy() -> str:
    """Return bias, pulls and chi-squared of each method at three levels of light."""
    rows = []
    n_times = 60
    for label, (electrons, n_ramps) in LEVELS.items():
        rng = np.random.default_rng(5)
        shape = (n_times, 10, 20, n_ramps // n_times // 20)
        ramp = np.empty(shape, "f4")
        for one in ramp:
            light = rng.poisson(electrons, shape[1:]).cumsum(axis=0) / GAIN
            one[:] = light + rng.normal(0.0, READ_NOISE, shape[1:])
        ds = dataset(ramp, np.zeros(shape, "u1"))
        true = electrons / GAIN / INTERVAL
        for method in METHODS:
            rates = tsoxr.steps.fit_ramps(ds, method=method, statistics=True)
            rate, error = rates["rate"].values.astype("f8"), rates["rate_error"].values
            chance = rate.std() / np.sqrt(rate.size)
            bias = f"{100 * (rate.mean() / true - 1):+.3f} +- {100 * chance / true:.3f}"
            pull = ((rate - true) / error).std()
            freedom = np.maximum(rates["n_used"].values - 1.0, 1.0)
            chi2 = float((rates["chi2"].values / freedom).mean())
            rows.append([label, method, bias, f"{pull:.4f}", f"{chi2:.4f}"])
    header = ["light", "method", "bias, %", "scatter of pulls", "chi-squared over freedom"]
    return table(header, rows)


def compile_times() -> str:
    """Return the processor time that first calls take with an empty cache, s."""
    rows = []
    for method in ("gls", "likelihood"):
        with tempfile.TemporaryDirectory() as cache:
            code = COMPILE.format(method=method)
            found = [ran(sys.executable, code, NUMBA_CACHE_DIR=cache) for _ in range(2)]
        rows.append([method, *(f"{seconds:.1f}" for seconds in found)])
    return table(["first call, s", "empty cache", "full cache"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jwst", help="a Python that has the jwst package (see `make golden`)")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--samples", type=float, default=1.5e7)
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    print(speed(given.jwst, given.repeat, given.samples), end="\n\n", flush=True)
    print(accuracy(), end="\n\n", flush=True)
    print(compile_times())


if __name__ == "__main__":
    main()
