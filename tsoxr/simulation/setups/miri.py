"""MIRI low-resolution slitless time series."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.simulation.clock import miri_readout
from tsoxr.simulation.instruments import Choice, Electronics, Setup, Spectrograph, Trace, pick

__all__ = ["miri_lrs"]

ELECTRONICS = Electronics(
    bias=9000.0,
    bias_structure=350.0,
    quadratic=2.5e-6,
    cubic=8e-12,
    one_over_f=1.5,
    pedestal=1.0,
    reset=8.0,
    hit_rate=3.06e-5,
)


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
