"""NIRCam time series: the long-wave grism, and images in focus or through the weak lens.

The grism's throughputs are formulae fitted to in-flight calibrations: F322W2 to the curve that
M. Mansfield published for the early-release programme (rms 2.6%, 8% at the blue edge), F444W
to the sensitivity of module A by F. Sun (2022) times wavelength (rms 1.0%). Tilt and bend of
the traces (`tsoxr.kernels.trace_nominal`) are those that Sun's polynomials give for the field
point of the subarrays. The
profile across dispersion is diffraction at 4 um, stretched in proportion to wavelength. The sky
follows Sun's median backgrounds within 0.9%: the grism sends the light of the field outside
the subarray through the filter's edges, so it falls towards one side. Levels of the sky,
and the places of the point-source subarrays on their detectors, are nominal.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from tsoxr.kernels.trace_nominal import NOMINAL_TRACES, center_at
from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.simulation.clock import Readout, nir_readout
from tsoxr.simulation.instruments import (
    Choice,
    Electronics,
    Function,
    Setup,
    Spectrograph,
    Trace,
    pick,
)
from tsoxr.simulation.profiles import Profile, sampled_profile
from tsoxr.simulation.pupil import STAMP, point_spread
from tsoxr.simulation.setups.imaging import Bands, imager

__all__ = ["nircam_grism", "nircam_imaging"]

ELECTRONICS = Electronics(
    bias=8500.0,
    bias_structure=500.0,
    quadratic=8e-7,
    cubic=4e-12,
    one_over_f=4.0,
    pedestal=2.0,
    reset=15.0,
    hit_rate=1.587e-5,
    ipc=0.0059,
)
SHORT_ELECTRONICS = replace(ELECTRONICS, ipc=0.0053)
LONG_SCALE, SHORT_SCALE = 0.0629, 0.0311
DETECTOR_SIZE, BORDER = 2048, 4
STRIPES = {"SUBGRISM64": 64, "SUBGRISM128": 128, "SUBGRISM256": 256}
SQUARES = {"SUB64P": 64, "SUB160P": 160, "SUB400P": 400}
MODULE_B = ("NRCB1", "NRCBLONG")
WEAK_LENS = -8 * 2.12
"""Path of WLP8 from centre to edge of the pupil, um: eight waves."""

SHORT: Bands = {
    "F210M": (2.093, 0.205),
    "F212N": (2.120, 0.027),
    "F187N": (1.874, 0.024),
    "F182M": (1.845, 0.238),
    "F140M": (1.404, 0.142),
    "F150W": (1.501, 0.318),
    "F200W": (1.990, 0.461),
}
LONG: Bands = {
    "F444W": (4.421, 1.024),
    "F277W": (2.786, 0.672),
    "F322W2": (3.247, 1.339),
    "F356W": (3.563, 0.787),
}
LENGTHS = {"SUB64P": (3, 200), "SUB160P": (3, 100), "SUB400P": (3, 30)}
"""Groups and integrations of default exposures; stripes have 5 and 20."""


def nircam_grism(choice: Choice) -> Setup:
    """Return the long-wave grism R of module A."""
    mode = "nircam-grism"
    subarray = str(pick(mode, "subarray", choice.subarray, tuple(STRIPES)))
    detector = str(pick(mode, "detector", choice.detector, ("NRCALONG",)))
    name = str(pick(mode, "filter", choice.filter, ("F322W2", "F444W")))
    pick(mode, "pupil", choice.pupil, ("GRISMR",))
    outputs = int(pick(mode, "n_outputs", choice.n_outputs, (4, 1)))
    dispersion, trace = NOMINAL[f"{mode}/{name}"], NOMINAL_TRACES[f"{mode}/{name}"]
    shape = (STRIPES[subarray], DETECTOR_SIZE)
    return Setup(
        mode=mode,
        detector=detector,
        subarray=subarray,
        shape=shape,
        origin=(1, 1),
        readout=_readout(detector, shape, outputs),
        optics=Spectrograph(
            (
                Trace(
                    wavelength=lambda pixel: wavelength_at(dispersion, pixel),
                    center=lambda pixel: center_at(trace, pixel),
                    width=lambda wave: _line_at_4um()[1] * wave / 4.0,
                    throughput=_THROUGHPUTS[name],
                    profile=_line_at_4um()[0],
                ),
            )
        ),
        electronics=ELECTRONICS,
        n_groups=6,
        n_integrations=40,
        background=0.85 if name == "F322W2" else 0.9,
        pixel_scale=LONG_SCALE,
        pattern="RAPID",
        filter=name,
        border=_border((1, 1), shape),
        sky=_SKIES[name],
        keywords={
            "EXP_TYPE": "NRC_TSGRISM",
            "FILTER": name,
            "PUPIL": "GRISMR",
            "MODULE": "A",
            "CHANNEL": "LONG",
        },
    )


def nircam_imaging(choice: Choice) -> Setup:
    """Return images: through the weak lens on the short-wave stripes, else in focus."""
    mode = "nircam-imaging"
    detector, subarray = _window(mode, choice)
    stripe, long = subarray in STRIPES, detector.endswith("LONG")
    bands = LONG if long else SHORT
    name = str(pick(mode, f"filter on {detector}", choice.filter, tuple(bands)))
    lenses = ("CLEAR",) if long else ("WLP8", "CLEAR") if stripe else ("CLEAR", "WLP8")
    lens = str(pick(mode, f"pupil on {detector}", choice.pupil, lenses))
    outputs = int(
        pick(mode, f"n_outputs on {subarray}", choice.n_outputs, (4, 1) if stripe else (1,))
    )
    side = STRIPES.get(subarray) or SQUARES[subarray]
    shape = (side, DETECTOR_SIZE) if stripe else (side, side)
    corner = DETECTOR_SIZE - side + 1
    origin = (1, 1) if stripe else (corner, corner)
    scale = LONG_SCALE if long else SHORT_SCALE
    position = _position(subarray, shape, lens)
    n_groups, n_integrations = LENGTHS.get(subarray, (5, 20))
    return Setup(
        mode=mode,
        detector=detector,
        subarray=subarray,
        shape=shape,
        origin=origin,
        readout=_readout(detector, shape, outputs),
        optics=imager(bands[name], scale, shape, position, WEAK_LENS if lens == "WLP8" else 0.0),
        electronics=ELECTRONICS if long else SHORT_ELECTRONICS,
        n_groups=n_groups,
        n_integrations=n_integrations,
        background=0.5 if long else 0.15,
        pixel_scale=scale,
        pattern="RAPID",
        filter=name,
        border=_border(origin, shape),
        keywords={
            "EXP_TYPE": "NRC_TSIMAGE",
            "FILTER": name,
            "PUPIL": lens,
            "MODULE": "B" if detector in MODULE_B else "A",
            "CHANNEL": "LONG" if long else "SHORT",
        },
    )


def _window(mode: str, choice: Choice) -> tuple[str, str]:
    """Return detector and subarray: squares are read on module B, stripes on module A."""
    detectors = ("NRCA3", "NRCA1", *MODULE_B)
    subarrays = ("SUBGRISM256", "SUBGRISM64", "SUBGRISM128", *SQUARES)
    subarray = None
    if choice.subarray is not None:
        subarray = str(pick(mode, "subarray", choice.subarray, subarrays))
        detectors = MODULE_B if subarray in SQUARES else detectors[:2]
        where = f"detector with {subarray}"
    else:
        where = "detector"
    detector = str(pick(mode, where, choice.detector, detectors))
    if subarray is None:
        subarray = "SUB160P" if detector in MODULE_B else subarrays[0]
    return detector, subarray


def _readout(detector: str, shape: tuple[int, int], n_outputs: int) -> Readout:
    fast, slow = (1, -1) if detector in MODULE_B else (-1, 1)
    return nir_readout(("x", shape[1], fast), ("y", shape[0], slow), n_outputs)


def _border(origin: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return how many columns and rows lie on the detector's frame of reference pixels."""
    first_x, first_y = origin
    last_x, last_y = first_x + shape[1] - 1, first_y + shape[0] - 1
    return (
        max(BORDER + 1 - first_x, 0),
        max(last_x - (DETECTOR_SIZE - BORDER), 0),
        max(BORDER + 1 - first_y, 0),
        max(last_y - (DETECTOR_SIZE - BORDER), 0),
    )


def _position(subarray: str, shape: tuple[int, int], lens: str) -> tuple[float, float]:
    """Return where the star stands: in the stripes as the flight programmes have it."""
    if subarray == "SUBGRISM256":
        return 162.0, 1060.0
    if subarray in STRIPES:
        return 0.5 * shape[0] + (2.0 if lens == "WLP8" else 0.0), 1060.0
    middle = 0.5 * (shape[0] - BORDER) - 1.0
    return middle, middle


@lru_cache(maxsize=1)
def _line_at_4um() -> tuple[Profile, float]:
    """Return the profile in units of its width, and the width (FWHM / 2.3548), pixels."""
    spread = point_spread((4.0,), (1.0,), LONG_SCALE)
    distance = np.linspace(-0.5, 0.5, 8 * STAMP + 1) * STAMP * 0.99
    light = spread.line(distance)
    half = distance[light > 0.5 * light.max()]
    width = (half[-1] - half[0] + distance[1] - distance[0]) / 2.3548
    return sampled_profile(distance / width, light), float(width)


def _between(wave: np.ndarray, blue: tuple[float, float], red: tuple[float, float]) -> np.ndarray:
    """Return a window with soft edges: place and width of each, um."""
    return (
        1.0 / (1.0 + np.exp((blue[0] - wave) / blue[1])) / (1.0 + np.exp((wave - red[0]) / red[1]))
    )


def _throughput_f322w2(wave: np.ndarray) -> np.ndarray:
    top = np.polyval((0.0499, -0.4755, 0.0394, 0.9628), wave - 3.2)
    return top * _between(wave, (2.4183, 0.0095), (3.998, 0.0176))


def _throughput_f444w(wave: np.ndarray) -> np.ndarray:
    top = np.polyval((-0.2857, -0.2585, 0.9283), wave - 4.4)
    return top * _between(wave, (3.8938, 0.015), (5.0106, 0.02))


def _smaller(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    """Return the smaller of two with a rounded corner."""
    return -width * np.logaddexp(-first / width, -second / width)


def _sky_f322w2(shape: tuple[int, int]) -> np.ndarray:
    u = np.arange(shape[1]) / 1000.0
    left = 1.0144 + 0.0411 * u
    right = 1.0061 + 0.2633 * u - 0.2604 * u**2
    return np.broadcast_to(_smaller(left, right, 0.003), shape)


def _sky_f444w(shape: tuple[int, int]) -> np.ndarray:
    u = np.arange(shape[1]) / 1000.0
    left = 0.1773 + 0.6508 * u + 0.3526 * u**2
    return np.broadcast_to(_smaller(1.0009 + 0.0 * u, left, 0.037), shape)


_THROUGHPUTS: dict[str, Function] = {"F322W2": _throughput_f322w2, "F444W": _throughput_f444w}
_SKIES = {"F322W2": _sky_f322w2, "F444W": _sky_f444w}
