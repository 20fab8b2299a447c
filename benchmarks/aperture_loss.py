"""The light outside of the aperture that `extract` reports, against the simulated profile.

    python benchmarks/aperture_loss.py                        # all modes, 20 seeds
    python benchmarks/aperture_loss.py --mode miri-lrs --seeds 4
    python benchmarks/aperture_loss.py --widths               # half width that loses 1 % in each mode

All of the rates' noise is on; background, trace and wavelengths are found by the steps with their
defaults. The truth is the profile on pixels without an end: also what falls beyond the frame.
Lines with a tenth of the brightest line's light count.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import tsoxr
from tsoxr import modes, simulation

CASES = {
    "nirspec-prism": {},
    "nirspec-g395h": {},
    "nirspec-g395m": {},
    "miri-lrs": {},
    "nircam-grism SUBGRISM64": {"subarray": "SUBGRISM64"},
    "nircam-grism SUBGRISM256": {"subarray": "SUBGRISM256"},
    "niriss-soss": {},
}
N_INTEGRATIONS = 40
REACH = 600


def true_loss(exposure: simulation.Exposure, half_width: float) -> np.ndarray:
    """Return the share of each pixel's light outside of the aperture, NaN without light."""
    light = exposure.component
    profile = light._trace.profile  # noqa: SLF001 -- the truth
    knots = profile.start + profile.step * np.arange(profile.cumulative.size)
    edge = np.arange(-REACH, exposure.setup.n_spatial + REACH + 1)[:, None] - 0.5
    below = np.interp((edge - light.center) / light.width, knots, profile.cumulative)
    upper = np.minimum(edge[1:], light.center + half_width)
    cover = np.clip(upper - np.maximum(edge[:-1], light.center - half_width), 0, 1)
    out = np.full(exposure.setup.n_dispersion, np.nan)
    out[light.pixel] = 1 - (cover * np.diff(below, axis=0)).sum(axis=0)
    return out


def measured(case: str, seed: int) -> dict[str, float]:
    """Return loss, its truth and what was off, in percent of the light."""
    exposure = simulation.exposure(
        case.split(maxsplit=1)[0], n_integrations=N_INTEGRATIONS, seed=seed, **CASES[case]
    )
    rates = exposure.rates().tso.subtract_background().tso.find_trace().tso.assign_wavelength()
    start = time.process_time()
    spectra = rates.tso.extract()
    loss, error = (spectra[n].values for n in ("aperture_loss", "aperture_loss_error"))
    used = time.process_time() - start
    true = true_loss(exposure, float(spectra.aperture_half_width))[spectra.dispersion_pixel.values]
    median = spectra.flux.median("time").values
    lit = np.isfinite(true) & (median > 0.1 * np.nanpercentile(median, 99.5))
    off = np.abs(loss - true)[lit]
    return {
        "true": 100 * np.median(true[lit]),
        "largest": 100 * true[lit].max(),
        "off": 100 * np.median(off),
        "worst": 100 * off.max(),
        "error": 100 * np.median(error[lit]),
        "pull": float(np.mean(off / error[lit] < 1)),
        "time": used,
    }


def table(cases: list[str], seeds: int) -> None:
    """Print the medians over the seeds, and the worst line of all."""
    print("light outside of the default aperture, % of all light; medians over seeds")
    print(f"{'':26s} true largest |off| worst  1 sigma  within")
    for case in cases:
        rows = [measured(case, seed) for seed in range(1, seeds + 1)]
        of = {k: np.median([r[k] for r in rows]) for k in rows[0]}
        worst = max(r["worst"] for r in rows)
        print(
            f"{case:26s} {of['true']:5.2f} {of['largest']:6.2f} {of['off']:6.3f} {worst:5.2f} "
            f"{of['error']:7.3f} {100 * of['pull']:6.0f} %",
            flush=True,
        )


def widths(cases: list[str]) -> None:
    """Print the half widths that lose 1 % in half of the lines, and in all."""
    print("half width, pixels: default, loses 1 % of the median line, and of the worst")
    for case in cases:
        mode = case.split(maxsplit=1)[0]
        exposure = simulation.exposure(mode, n_integrations=2, seed=1, **CASES[case])
        star = exposure.component.spectrum
        bright = exposure.component.pixel[star > 0.1 * star.max()]
        tried = np.arange(2.0, 120.0, 0.5)
        losses = [true_loss(exposure, w)[bright] for w in tried]
        enough = [
            next((w for w, x in zip(tried, losses, strict=True) if f(x) < 0.01), np.nan)
            for f in (np.median, np.max)
        ]
        default = modes.step_defaults(mode, "extract")["half_width"].value
        print(f"{case:26s} {default:5.1f} {enough[0]:6.1f} {enough[1]:6.1f}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", help="one mode")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--widths", action="store_true")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    cases = [c for c in CASES if given.mode in (None, c.split(maxsplit=1)[0])]
    widths(cases) if given.widths else table(cases, given.seeds)


if __name__ == "__main__":
    main()
