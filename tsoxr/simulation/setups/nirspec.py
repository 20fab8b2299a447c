"""NIRSpec bright-object time series."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.simulation.clock import nir_readout
from tsoxr.simulation.instruments import Choice, Electronics, Setup, Spectrograph, Trace, pick

__all__ = ["nirspec_prism"]

ELECTRONICS = Electronics(
    bias=6700.0,
    bias_structure=700.0,
    quadratic=9e-7,
    cubic=4e-12,
    one_over_f=3.5,
    pedestal=1.5,
    reset=20.0,
    hit_rate=1.587e-5,
)


def nirspec_prism(choice: Choice) -> Setup:
    """Return the PRISM on NRS1."""
    mode = "nirspec-prism"
    subarray = str(pick(mode, "subarray", choice.subarray, ("SUB512",)))
    pick(mode, "detector", choice.detector, ("NRS1",))
    pick(mode, "filter", choice.filter, ("CLEAR",))
    pick(mode, "n_outputs", choice.n_outputs, (1,))
    return Setup(
        mode=mode,
        detector="NRS1",
        subarray=subarray,
        shape=(32, 512),
        origin=(1025, 959),
        readout=nir_readout(fast=("y", 32, +1), slow=("x", 512, +1), n_outputs=1),
        optics=Spectrograph(
            (
                Trace(
                    wavelength=lambda pixel: wavelength_at(NOMINAL["nirspec-prism"], pixel),
                    center=_prism_center,
                    width=lambda wave: np.hypot(0.6, 0.15 * wave),
                    throughput=_prism_throughput,
                ),
            )
        ),
        electronics=ELECTRONICS,
        n_groups=5,
        n_integrations=100,
        background=0.8,
        pixel_scale=0.1,
        pattern="NRSRAPID",
        star_temperature=3000.0,
        keywords={
            "EXP_TYPE": "NRS_BRIGHTOBJ",
            "FILTER": "CLEAR",
            "GRATING": "PRISM",
            "FXD_SLIT": "S1600A1",
        },
    )


def _prism_center(pixel: np.ndarray) -> np.ndarray:
    u = (pixel - 255.5) / 256.0
    return 15.4 + 0.35 * u - 0.45 * u**2


def _prism_throughput(wave: np.ndarray) -> np.ndarray:
    blue = 1.0 / (1.0 + np.exp(-(wave - 0.75) / 0.09))
    red = 1.0 / (1.0 + np.exp((wave - 5.3) / 0.12))
    return blue * red * wave * (1.0 + 0.08 * np.sin(2.2 * wave))
