"""How well `track` measures motion: simulated exposures with known motion, several seeds.

    python benchmarks/motion.py                      # table of all modes, 20 seeds
    python benchmarks/motion.py --tilt               # a tilt of three sigma
    python benchmarks/motion.py --methods            # the three methods

The bound is that of Cramer and Rao for the noise of the simulator, with derivatives that the
simulator itself paints, and with the same free amplitudes and terms as the fit. "beside width":
the same scatter without what is in proportion to the true change of the width; a widening about
another centre than the simulator's is also a shift.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

import tsoxr
from tsoxr import simulation
from tsoxr.kernels import motion, motion_model
from tsoxr.simulation import Telescope, Tilt
from tsoxr.simulation.telescope import Pose

CASES = {
    "nirspec-prism": ("nirspec-prism", {}),
    "nirspec-g395h": ("nirspec-g395h", {}),
    "nirspec-g395m": ("nirspec-g395m", {}),
    "niriss-soss": ("niriss-soss", {"subarray": "SUBSTRIP96"}),
    "nircam-grism": ("nircam-grism", {}),
    "miri-lrs": ("miri-lrs", {}),
    "nircam-imaging": ("nircam-imaging", {"subarray": "SUB64P"}),
    "weak lens": ("nircam-imaging", {"subarray": "SUBGRISM256"}),
    "miri-imaging": ("miri-imaging", {}),
}
BREATHING = 0.004
SOURCES = ("photon", "read", "jitter")
STEP = 0.01


def exposure(
    case: str, seed: int, n_integrations: int, breathing: float = BREATHING
) -> simulation.Exposure:
    """Return an exposure whose breathing has two periods, whatever its length."""
    mode, own = CASES[case]
    made = simulation.exposure(mode, n_integrations=n_integrations, seed=seed, noise=SOURCES, **own)
    hours = 24.0 * float(np.ptp(made.clock.tdb(0.5)))
    telescope = Telescope(breathing=breathing, breathing_period=hours / 2.0)
    return made.replace(telescope=telescope)


def bound(made: simulation.Exposure, half_width: float) -> dict[str, float]:
    """Return the least possible error of shift, shift along dispersion and width."""
    truth, rates = made.truth(stripes=False), made.rates()
    turned = made.setup.dispersion_dim == "y" and not made.setup.imaging

    def oriented(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(image.T if turned else image)

    def frame(**pose: float) -> np.ndarray:
        out = np.zeros(made.setup.shape)
        for each in made.scene.components:
            n = each.wavelength.size
            each.paint(out, np.ones(n), np.zeros(n), Pose(**pose))
        return oriented(out / made.maps.gain)

    still, usual = frame(), np.median(rates["rate_error"].values, axis=0)
    flags = rates["dq"].values[0] & tsoxr.dq.bits(*tsoxr.dq.UNUSABLE_RATE)
    error = oriented(np.where(flags == 0, usual, 0.0).astype(float))
    change = {
        k: (frame(**{k: STEP}) - frame(**{k: -STEP})) / (2 * STEP)
        for k in ("across", "along", "focus")
    }
    none = np.zeros((0, *still.shape))
    if made.setup.imaging:
        model = motion_model.image_model(still, 0 * still, error, 0.0, ("width", "constant"), none)
        order = [change["across"], change["along"], change["focus"]]
        where = {"shift": 1, "shift_dispersion": 2, "width": 3}
    else:
        centre = (
            truth["trace_center"]
            .interpolate_na(
                made.setup.dispersion_dim, fill_value="extrapolate", use_coordinate=False
            )
            .values
        )
        model = motion_model.spectrum_model(
            still, 0 * still, error, centre, half_width, ("roll", "width", "constant"), none, 5
        )
        order = [change["across"], model.parts[2], change["focus"]]
        where = {"shift": 1, "width": 3, "shift_dispersion": 5}
        light = np.where(model.weight > 0, still, 0).sum(axis=0)
        moved = np.where(model.weight > 0, change["along"], 0).sum(axis=0)
        known = np.isfinite(model.design[-1])  # the ends of the spectrum are left out
        model.design[-1] = np.where(known, moved / np.where(light > 0, light, 1), np.nan)
    parts = np.stack([still, *order, np.ones_like(still)])
    good = np.zeros((1, *still.shape), dtype=bool)
    found = motion.fit_motion(
        still[None], good, parts, model.weight, model.design, 0 * model.noise, made.setup.imaging
    )[0]
    half = found.size // 2
    return {name: found[half + i] for name, i in where.items()}


def compared(made: simulation.Exposure, best: dict[str, float], method: str) -> dict[str, float]:
    """Return recovered over true, scatter over bound, correlation, and leak of the transit."""
    truth = made.truth(stripes=False)
    out = made.rates().tso.track(method=method)
    light = truth["white_flux"].values - 1.0
    light = light - light.mean()
    found: dict[str, float] = {}
    pairs = {
        "shift": ("trace_shift", truth["shift"]),
        "shift_dispersion": ("trace_shift_dispersion", truth["shift_dispersion"]),
        "width": ("trace_fwhm", truth["focus"]),
    }
    for name, (covariate, put_in) in pairs.items():
        if covariate not in out.coords:
            continue
        scale = float(out[covariate].median()) if name == "width" else 1.0
        value, true = out[covariate].values / scale, put_in.values - put_in.values.mean()
        off = value - value.mean() - true
        found[f"{name} ratio"] = float(true @ (value - value.mean()) / (true @ true))
        found[f"{name} scatter"] = float(np.std(off) / best[name])
        focus = truth["focus"].values - truth["focus"].values.mean()
        beside = off - (off @ focus) / max(focus @ focus, 1e-300) * focus
        found[f"{name} beside"] = float(np.std(beside) / best[name])
        found[f"{name} pull"] = float(np.std(off) / np.median(out[f"{covariate}_error"]) * scale)
        found[f"{name} correlation"] = float(np.corrcoef(value, true)[0, 1])
        found[f"{name} leak"] = float(light @ off / (light @ light))
    return found


def table(case: str, seeds: range, n: int, method: str, breathing: float) -> str:
    """Return the row of one case: the median over seeds."""
    made = exposure(case, 1, n, breathing)
    width = tsoxr.modes.step_defaults(made.mode, "track")["half_width"].value
    best = bound(made, float(width))
    rows = [compared(exposure(case, seed, n, breathing), best, method) for seed in seeds]
    text = f"| {case} |"
    for name in ("shift", "shift_dispersion", "width"):
        if f"{name} ratio" not in rows[0]:
            text += " - | - | - | - | - | - |"
            continue
        each = {
            k: np.array([r[f"{name} {k}"] for r in rows])
            for k in ("ratio", "scatter", "beside", "correlation", "leak")
        }
        ratio, error = each["ratio"].mean(), each["ratio"].std() / np.sqrt(len(rows))
        leak, unsure = 10 * each["leak"].mean(), 10 * each["leak"].std() / np.sqrt(len(rows))
        text += (
            f" {1e3 * best[name]:.3g} | {ratio:.3f} +- {error:.3f} | {np.median(each['scatter']):.2f} | {np.median(each['beside']):.2f} |"
            f" {np.median(each['correlation']):.3f} | {leak:.3g} +- {unsure:.2g} |"
        )
    return text


HEAD = "| case |" + "".join(
    f" {name}: bound, {unit} | recovered/true | scatter/bound | beside width | correlation | leak, {unit} per % |"
    for name, unit in (("across", "mpix"), ("along", "mpix"), ("width", "1e-3"))
)


def tilts(case: str, seeds: range, n: int) -> str:
    """Return how often a tilt of three sigma across dispersion is found, and false ones."""
    exact, near, false, quiet = 0, 0, 0, 0
    still = Telescope(jitter_drift=0.0, jitter=0.0)
    for seed in seeds:
        made = exposure(case, seed, n).replace(telescope=still)
        sigma = float(np.median(made.rates().tso.track()["trace_shift_error"]))
        place = n // 3
        when = made.clock.tdb(0.0)[place] - 1e-9
        moved = made.replace(events=(Tilt(time=float(when), across=3 * sigma, duration=0.01),))
        found = np.flatnonzero(moved.rates().tso.track()["track_step"].values)
        exact += place in found
        near += bool(np.any(np.abs(found - place) <= 1))
        false += int(np.sum(np.abs(found - place) > 1))
        quiet += int(made.rates().tso.track()["track_step"].values.sum())
    return f"| {case} | {exact} | {near} | {false} | {quiet} | {len(seeds)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="+", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--integrations", type=int, default=40)
    parser.add_argument("--breathing", type=float, default=BREATHING, help="amplitude of the width")
    parser.add_argument("--methods", action="store_true")
    parser.add_argument("--tilt", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    warnings.simplefilter("ignore", tsoxr.errors.TsoWarning)
    seeds = range(1, given.seeds + 1)
    if given.tilt:
        print(
            "| case | at its integration | within one | elsewhere | without tilt | of |\n|---|---|---|---|---|---|"
        )
        for case in given.case:
            print(tilts(case, seeds, given.integrations), flush=True)
        return
    for method in (
        ("decomposition", "correlation", "moments") if given.methods else ("decomposition",)
    ):
        print(f"\nmethod {method!r}, {given.seeds} seeds of {given.integrations} integrations\n")
        print(HEAD + "\n" + "|---" * (HEAD.count("|") - 1) + "|")
        for case in given.case:
            print(table(case, seeds, given.integrations, method, given.breathing), flush=True)


if __name__ == "__main__":
    main()
