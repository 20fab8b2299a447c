"""The half width that `optimize_aperture` chooses against the best one, over many seeds.

    python benchmarks/aperture.py                        # table of all modes, 20 seeds
    python benchmarks/aperture.py --mode miri-lrs --seeds 4
    python benchmarks/aperture.py --stripes              # 1/f noise as it comes, never removed
    python benchmarks/aperture.py --speed                # one pass of all widths, 32 x 2048

The best setting is that of least scatter of all seeds together, whose error is that of 20 times as
many integrations. Each exposure is drawn with and without a transit of 2 % on the same noise,
and the steps are not told when the transit is.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
import xarray as xr

import tsoxr
from tsoxr import registry
from tsoxr.kernels.aperture_choice import choose
from tsoxr.steps import _optimize_aperture as aperture
from tsoxr.steps.extract import usual_half_width

SOURCES = ("photon", "read", "flat", "background", "jitter", "bad_pixels")
CASES = {
    "nirspec-prism": {"n_integrations": 200},
    "nirspec-g395h": {"n_integrations": 200},
    "nirspec-g395m": {"n_integrations": 200},
    "niriss-soss": {"n_integrations": 100, "subarray": "SUBSTRIP96"},
    "nircam-grism": {"n_integrations": 200},
    "miri-lrs": {"n_integrations": 200},
}
DEPTH = 0.02
RULES = (0.0, 1.0, 2.0)
SHAPE = (1000, 32, 2048)


def compared(mode: str, seed: int, depth: float, sources: tuple[str, ...], **parameters):
    """Return the planes of one exposure, its plan and the distance from the usual setting."""
    rates = tsoxr.simulate(
        mode, kind="rates", seed=seed, noise=sources, radius_ratio=np.sqrt(depth), **parameters
    )
    rates = rates.drop_vars("in_transit").tso.find_trace()
    usual = aperture.usual_of(rates, usual_half_width)
    spec = registry.STEPS["optimize_aperture"]
    given = registry.resolve(spec, rates, {})[0]
    plan = aperture.plan_of(rates, usual, given["half_widths"], None, None)
    light = aperture.light_of(rates, plan)["light"]
    planes = aperture.compared(rates, light, plan, usual)
    return planes.values.reshape(len(aperture.PLANES), -1), plan, aperture.distance_of(plan, usual)


def ensemble(mode: str, n_seeds: int, sources: tuple[str, ...]) -> str:
    """Return the rows of one mode: one for each rule."""
    quiet, transit, time_used = [], [], time.process_time()
    for seed in range(n_seeds):
        for held, depth in ((quiet, 1e-8), (transit, DEPTH)):
            planes, plan, distance = compared(mode, seed, depth, sources, **CASES[mode])
            held.append(planes)
    quiet, transit = np.array(quiet), np.array(transit)
    scatter, worse = (quiet[:, aperture.PLANES.index(n)] for n in ("scatter", "worse"))
    true = np.sqrt((scatter**2).mean(axis=0))
    best, n_regions = int(np.nanargmin(true)), len(plan.regions)

    def named(setting: int) -> str:
        return f"{plan.half_widths[setting // n_regions]:g}/{plan.regions[setting % n_regions]:g}"

    rows = []
    for rule in RULES:
        chosen = np.array([choose(w, distance, rule) for w in worse])
        other = np.array(
            [choose(p[aperture.PLANES.index("worse")], distance, rule) for p in transit]
        )
        loss = 100 * (true[chosen] / true[best] - 1)
        own = scatter[np.arange(n_seeds), chosen] / true[chosen] - 1
        widths = np.array(plan.half_widths)[chosen // n_regions]
        usual = int(distance.argmin())
        common = (
            scatter[:, usual] / true[usual] - 1
        )  # what the whole exposure scatters more or less
        rows.append(
            f"| {mode} | {named(usual)} | {named(best)} | {rule:g} | "
            f"{widths.min():g} to {widths.max():g} | {100 * (true[usual] / true[best] - 1):.2f} | "
            f"{loss.mean():.2f} ({loss.max():.2f}) | {100 * (own - common).mean():+.2f} | "
            f"{int((chosen == other).sum())} of {n_seeds} | {100 * (true[other] / true[best] - 1).mean():.2f} |"
        )
    print(f"<!-- {mode}: {time.process_time() - time_used:.0f} s -->", flush=True)
    return "\n".join(rows)


HEAD = """\
| mode | default | best | rule | chosen half widths | loss of the default, % | loss of the choice, % (worst seed) | \
its scatter against truth, % | same with transit | loss with transit, % |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def speed() -> None:
    """Print processor time and memory of all widths in one pass, beside those of `extract`."""
    rates = tsoxr.simulate("nirspec-g395h", kind="rates", n_integrations=20, seed=1, noise=SOURCES)
    rates = rates.tso.find_trace()
    n = SHAPE[0] // 20
    rates = xr.concat(
        [rates] * n, "time", data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs="override",
    ).assign_coords(time=rates.time.values[0] + 1e-5 * np.arange(SHAPE[0]))  # fmt: skip
    subtracted = rates.drop_vars("background_level", errors="ignore").assign_coords(
        background_level=("time", np.zeros(SHAPE[0], "f4"), {"units": "DN s-1"})
    )
    size = rates["rate"].size
    ways = {
        "one aperture, extract": lambda: rates.tso.extract(method="box"),
        "15 half widths, box": lambda: subtracted.tso.optimize_aperture(method="box"),
        "15 half widths, optimal": lambda: subtracted.tso.optimize_aperture(method="optimal"),
        "15 half widths x 3 regions, box": lambda: rates.tso.optimize_aperture(method="box"),
        "15 half widths x 3 regions, optimal": rates.tso.optimize_aperture,
    }
    for name, way in ways.items():
        way()
        used = []
        for _ in range(3):
            start = time.process_time()
            way()
            used.append(time.process_time() - start)
        tracemalloc.start()
        way()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"{name}: {min(used):.2f} s, {1e9 * min(used) / size:.2f} ns per sample, "
            f"peak {peak / 1e6:.0f} MB above a cube of {rates['rate'].nbytes / 1e6:.0f} MB"
        )


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--stripes", action="store_true")
    parser.add_argument("--speed", action="store_true")
    asked = parser.parse_args()
    if asked.speed:
        speed()
        return
    print(HEAD)
    sources = (*SOURCES, "one_over_f") if asked.stripes else SOURCES
    for mode in [asked.mode] if asked.mode else CASES:
        print(ensemble(mode, asked.seeds, sources), flush=True)


if __name__ == "__main__":
    main()
