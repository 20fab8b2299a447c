"""MIRI time series: the low-resolution slitless prism, and images.

Levels of the sky in images are a rough table of the zodiacal light and the telescope's glow
at each filter, seen by 25 m2 with a throughput of 0.3; sizes and places of the subarrays are
those of the flight programmes.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.simulation.clock import miri_readout
from tsoxr.simulation.instruments import Choice, Electronics, Setup, Spectrograph, Trace, pick
from tsoxr.simulation.setups.imaging import Bands, imager

__all__ = ["miri_imaging", "miri_lrs"]

ELECTRONICS = Electronics(
    bias=9000.0,
    bias_structure=350.0,
    quadratic=2.5e-6,
    cubic=8e-12,
    one_over_f=1.5,
    pedestal=1.0,
    reset=8.0,
    hit_rate=3.06e-5,
    hit_depth=1.4,
    diffusion=0.2,
    snowball_rate=0.0,
    ipc=0.0285,
    ipc_corner=0.013,
    trap_fast=0.0005,
    trap_slow=0.0005,
    drift_fast=0.003,
    drift_slow=0.002,
    one_over_f_common=0.0,
    odd_even=0.3,
    emi=3.7,
    emi_slow=1.0,
    reset_anomaly=40.0,
    first_frame=15.0,
    last_frame=25.0,
)

IMAGE_SCALE = 0.1108
COLLECTING_AREA, THROUGHPUT = 25.4, 0.3
PLANCK = 6.62607e-34
FILTERS: Bands = {
    "F1500W": (15.0, 2.92),
    "F560W": (5.6, 1.0),
    "F770W": (7.7, 1.95),
    "F1000W": (10.0, 1.8),
    "F1130W": (11.3, 0.73),
    "F1280W": (12.8, 2.47),
    "F1800W": (18.0, 2.95),
    "F2100W": (21.0, 4.58),
    "F2550W": (25.5, 3.67),
}
SKY_BRIGHTNESS = {
    "F560W": 1.5, "F770W": 7.0, "F1000W": 20.0, "F1130W": 25.0, "F1280W": 30.0,
    "F1500W": 40.0, "F1800W": 80.0, "F2100W": 200.0, "F2550W": 900.0,
}  # fmt: skip
"""MJy/sr."""
WINDOWS = {
    "SUB256": ((256, 256), (413, 51), 96),
    "SUB64": ((64, 72), (1, 779), 28),
    "SUB128": ((128, 136), (1, 889), 44),
    "BRIGHTSKY": ((512, 512), (457, 51), 162),
    "FULL": ((1024, 1032), (1, 1), 271),
}
"""Rows and columns, first column and row on the detector, and clocks of a row."""
LENGTHS = {
    "SUB256": (10, 30), "SUB64": (10, 200), "SUB128": (10, 80), "BRIGHTSKY": (6, 12), "FULL": (5, 6),
}  # fmt: skip
"""Groups and integrations of default exposures."""


def miri_imaging(choice: Choice) -> Setup:
    """Return images through the filters of the imager."""
    mode = "miri-imaging"
    subarray = str(pick(mode, "subarray", choice.subarray, tuple(WINDOWS)))
    pick(mode, "detector", choice.detector, ("MIRIMAGE",))
    name = str(pick(mode, "filter", choice.filter, tuple(FILTERS)))
    pick(mode, "n_outputs", choice.n_outputs, (4,))
    shape, origin, row_clocks = WINDOWS[subarray]
    left = 4 if origin[0] == 1 else 0
    right = 4 if subarray == "FULL" else 0
    n_groups, n_integrations = LENGTHS[subarray]
    return Setup(
        mode=mode,
        detector="MIRIMAGE",
        subarray=subarray,
        shape=shape,
        origin=origin,
        readout=miri_readout(n_rows=shape[0], n_columns=shape[1], row_clocks=row_clocks),
        optics=imager(
            FILTERS[name], IMAGE_SCALE, shape, (shape[0] // 2, (left + shape[1] - right) // 2)
        ),
        electronics=ELECTRONICS,
        n_groups=n_groups,
        n_integrations=n_integrations,
        background=_sky_level(name),
        pixel_scale=IMAGE_SCALE,
        pattern="FASTR1",
        filter=name,
        border=(left, right, 0, 0),
        keywords={"EXP_TYPE": "MIR_IMAGE", "FILTER": name, "CHANNEL": "N/A"},
    )


def _sky_level(name: str) -> float:
    """Return the sky's light in one pixel, electron/s."""
    center, width = FILTERS[name]
    solid_angle = np.radians(IMAGE_SCALE / 3600.0) ** 2
    per_frequency = 1e-20 * SKY_BRIGHTNESS[name] * solid_angle * COLLECTING_AREA  # W/Hz
    return float(THROUGHPUT * per_frequency / PLANCK * width / center)


def miri_lrs(choice: Choice) -> Setup:
    """Return the slitless prism on the imager's detector."""
    mode = "miri-lrs"
    subarray = str(pick(mode, "subarray", choice.subarray, ("SLITLESSPRISM",)))
    pick(mode, "detector", choice.detector, ("MIRIMAGE",))
    pick(mode, "filter", choice.filter, ("P750L",))
    pick(mode, "n_outputs", choice.n_outputs, (4,))
    return Setup(
        mode=mode,
        detector="MIRIMAGE",
        subarray=subarray,
        shape=(416, 72),
        origin=(1, 529),
        readout=miri_readout(n_rows=416, n_columns=72, row_clocks=28),
        optics=Spectrograph(
            (
                Trace(
                    wavelength=lambda pixel: wavelength_at(NOMINAL["miri-lrs"], pixel),
                    center=_lrs_center,
                    width=lambda wave: 0.13 * wave,
                    throughput=_lrs_throughput,
                ),
            )
        ),
        electronics=ELECTRONICS,
        n_groups=8,
        n_integrations=60,
        background=70.0,
        pixel_scale=0.11,
        pattern="FASTR1",
        filter="P750L",
        border=(4, 0, 0, 0),
        keywords={"EXP_TYPE": "MIR_LRS-SLITLESS", "FILTER": "P750L", "CHANNEL": "N/A"},
    )


def _lrs_center(pixel: np.ndarray) -> np.ndarray:
    u = (pixel - 200.0) / 200.0
    return 36.2 + 0.25 * u - 0.15 * u**2


def _lrs_throughput(wave: np.ndarray) -> np.ndarray:
    blue = 1.0 / (1.0 + np.exp(-(wave - 4.95) / 0.12))
    red = 1.0 / (1.0 + np.exp((wave - 12.2) / 0.5))
    return blue * red * wave * (1.0 + 0.05 * np.sin(1.1 * wave))
