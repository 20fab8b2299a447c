"""Fixed and moved extraction when the light moves: scatter over the limit of photons and reads.

    python benchmarks/moving.py                    # all cases, 3 seeds
    python benchmarks/moving.py --mode nirspec-prism --seeds 10
    TSOXR_DATA=DIR python benchmarks/moving.py --mode "nirspec-prism, real frame"
    python benchmarks/moving.py --sensitivity      # what a shift does to the flux, no noise

Simulated rates with photon and read noise, no flat, a transit, and the motion named: "usual" is
the simulator's default (drift of 3 mpix and white jitter of 1 mpix rms), "jitter" is 50 mpix rms
white, "drift" 0.4 pixels over the exposure, "tilt" a step of 0.2 pixels. `track` measures it.
Scatter is that of flux over the injected light curve, in white light and as the median of
wavelengths with more than a tenth of the brightest one's light, over the prediction of an optimal sum of a still exposure;
"trend" is the slope of white light with the true shift, ppm per pixel.
"""

from __future__ import annotations

import argparse
import os
import warnings

import numpy as np
from _real_scene import REAL, real_scene

import tsoxr
from tsoxr.simulation import Telescope, Tilt

CASES = {
    "nirspec-prism": {},
    "nirspec-prism, faint": {"brightness": 0.02},
    "nirspec-g395h": {},
    "nircam-grism": {},
    "miri-lrs": {},
    "niriss-soss": {"subarray": "SUBSTRIP96"},
}
MOTIONS = ("usual", "jitter", "drift", "tilt")
METHODS = ("box", "optimal", "psf")
MOVES = ("none", "shift")
PPM = 1e6
DRIFT, JITTER, TILT = 0.4, 0.05, 0.2
STILL = {"jitter_drift": 0.0, "jitter": 0.0}


def exposure(case: str, motion: str, seed: int, n_integrations: int) -> tsoxr.simulation.Exposure:
    """Return an exposure that moves."""
    noise = ("photon", "read", "jitter")
    mode = case.partition(",")[0]
    own = real_scene() if case == REAL else CASES[case]
    made = tsoxr.simulation.exposure(
        mode, n_integrations=n_integrations, seed=seed, noise=noise, **own
    )
    hours = 24.0 * float(np.ptp(made.clock.tdb(0.5)))
    if motion == "drift":
        start = Tilt(
            time=made.moment(-0.1), across=-0.5 * DRIFT
        )  # the errors are those of the middle
        telescope = Telescope(**STILL, drift_across=DRIFT / hours)
        return made.replace(telescope=telescope, events=(start,))
    if motion == "jitter":
        return made.replace(telescope=Telescope(**{**STILL, "jitter": JITTER}))
    if motion == "tilt":
        start = Tilt(time=made.moment(-0.1), across=-TILT)
        return made.replace(events=(start, Tilt(time=made.moment(0.3), across=TILT)))
    return made


def scatter(spectra, truth, lit: np.ndarray) -> tuple[float, float, float]:
    """Return scatter of white light and of wavelengths, ppm, and the trend with the shift."""
    pixel = spectra["dispersion_pixel"].values
    order = np.argsort(pixel)
    place = np.searchsorted(pixel[order], truth["dispersion_pixel"].values)
    flux = spectra["flux"].values[:, order[place]][:, lit]
    curve = truth["flux"].values[:, lit]
    star = np.nanmean(flux / curve, axis=0)
    white = np.nansum(flux, axis=1) / (curve @ star)
    single = np.nanstd(flux / curve / star, axis=0, ddof=1)
    slope = np.polyfit(truth["shift"].values, white, 1)[0] if np.ptp(truth["shift"].values) else 0.0
    return PPM * float(white.std(ddof=1)), PPM * single, PPM * slope


def compared(case: str, motion: str, seed: int, n_integrations: int) -> dict[tuple[str, str], list]:
    """Return for each method and move: scatter of white light and of wavelengths over the limit, trend."""
    made = exposure(case, motion, seed, n_integrations)
    truth = made.truth(stripes=False)
    star = truth["stellar_spectrum"].values
    lit = star > 0.1 * star.max()
    limit = truth["flux_error"].values[lit]
    white_limit = np.sqrt(((limit * star[lit]) ** 2).sum()) / star[lit].sum()
    rates = made.rates().tso.find_trace().tso.track()
    out = {}
    for method in METHODS:
        for move in MOVES:
            spectra = rates.tso.extract(method=method, move=move)
            white, single, slope = scatter(spectra, truth, lit)
            out[method, move] = [white / white_limit, np.median(single / limit), slope, white_limit]
    return out


def sensitivity(case: str) -> None:
    """Print what a shift of the light does to flux extracted with fixed weights, without noise."""
    quiet = exposure(case, "drift", 1, 40).replace(noise=("jitter",))
    truth = quiet.truth(stripes=False)
    shift = truth["shift"].values - np.median(truth["shift"].values)
    star = truth["stellar_spectrum"].values
    lit = star > 0.1 * star.max()
    rates = quiet.rates().tso.find_trace()
    for method in METHODS:
        spectra = rates.tso.extract(method=method)
        pixel = spectra["dispersion_pixel"].values
        order = np.argsort(pixel)
        found = order[np.searchsorted(pixel[order], truth["dispersion_pixel"].values)]
        flux = (spectra["flux"].values[:, found] / truth["flux"].values)[:, lit]
        relative = flux / np.median(flux, axis=0)
        both = np.polynomial.polynomial.polyfit(shift, relative, 2)
        white = np.polynomial.polynomial.polyfit(
            shift, flux.sum(axis=1) / np.median(flux.sum(axis=1)), 2
        )
        print(
            f"{case:22s} {method:8s} d ln F / dy per pixel: columns rms {both[1].std():.4f}, "
            f"white {white[1]:+.5f}; second order {np.median(both[2]):+.4f}, white {white[2]:+.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    cases = [*CASES, *([REAL] if "TSOXR_DATA" in os.environ else [])]
    parser.add_argument("--mode", choices=cases)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--integrations", type=int, default=120)
    parser.add_argument("--sensitivity", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for case in [given.mode] if given.mode else cases:
        if given.sensitivity:
            sensitivity(case)
            continue
        for motion in MOTIONS:
            each = [compared(case, motion, s, given.integrations) for s in range(given.seeds)]
            head = f"{case:22s} {motion:7s}"
            for method in METHODS:
                line = f"{head} {method:8s}"
                for move in MOVES:
                    mean = np.mean([e[method, move] for e in each], axis=0)
                    line += f"  {move}: white {mean[0]:7.3f} single {mean[1]:7.3f} trend {mean[2]:+8.0f}"
                print(f"{line}  (limit {mean[3]:.0f} ppm)", flush=True)


if __name__ == "__main__":
    main()
