"""NIRISS single-object slitless spectroscopy (SOSS).

The shape of the light is that of `tsoxr.simulation.setups.soss`. Levels of the electronics
are those of public simulators and handbooks: superbias 13 kDN, reset noise 29 electrons and
pedestals of 10 to 20 electrons. The scatter of the superbias is two thirds of the published
3.3 kDN, so that its tail stays above zero.
"""

from __future__ import annotations

from functools import partial

from tsoxr.kernels.trace_nominal import VISIT_WHEEL
from tsoxr.simulation.clock import nir_readout
from tsoxr.simulation.instruments import Choice, Electronics, Setup, Spectrograph, pick
from tsoxr.simulation.setups import soss

__all__ = ["niriss_soss"]

ELECTRONICS = Electronics(
    bias=13000.0,
    bias_structure=2000.0,
    quadratic=1.0e-6,
    cubic=3e-12,
    one_over_f=4.0,
    pedestal=6.0,
    reset=18.0,
    hit_rate=1.587e-5,
)

WINDOWS = {"SUBSTRIP256": (256, 0, 4, 5, 30), "SUBSTRIP96": (96, 10, 0, 10, 50)}
"""Rows, first row within SUBSTRIP256, reference rows at the top, default groups and integrations."""

SKY = {"CLEAR": 8.0, "F277W": 1.1}
"""Mean light of the sky, electron/s and pixel: WASP-39 in CLEAR, a guess for F277W."""

FIRST_ROW = 1793
F277W_INTEGRATIONS = 10


def niriss_soss(choice: Choice) -> Setup:
    """Return the orders 1 to 3 through CLEAR, or the red end of order 1 through F277W."""
    mode = "niriss-soss"
    subarray = str(pick(mode, "subarray", choice.subarray, tuple(WINDOWS)))
    pick(mode, "detector", choice.detector, ("NIS",))
    band = str(pick(mode, "filter", choice.filter, ("CLEAR", "F277W")))
    pick(mode, "n_outputs", choice.n_outputs, (1,))
    n_rows, first_row, top, n_groups, n_integrations = WINDOWS[subarray]
    return Setup(
        mode=mode,
        detector="NIS",
        subarray=subarray,
        shape=(n_rows, 2048),
        origin=(1, FIRST_ROW + first_row),
        readout=nir_readout(fast=("y", n_rows, -1), slow=("x", 2048, -1), n_outputs=1),
        optics=Spectrograph(
            tuple(
                soss.order_trace(order, band, first_row, n_rows - top)
                for order in _orders(subarray, band)
            )
        ),
        electronics=ELECTRONICS,
        n_groups=n_groups,
        n_integrations=n_integrations if band == "CLEAR" else F277W_INTEGRATIONS,
        background=SKY[band],
        pixel_scale=0.065,
        pattern="NISRAPID",
        filter=band,
        border=(4, 4, 0, top),
        sky=soss.sky_pattern,
        contaminants=partial(soss.field_stars, first_row=first_row, contrast=soss.CONTRAST[band]),
        keywords={
            "EXP_TYPE": "NIS_SOSS",
            "FILTER": band,
            "PUPIL": "GR700XD",
            "PWCPOS": VISIT_WHEEL,
        },
    )


def _orders(subarray: str, band: str) -> tuple[int, ...]:
    """Return the orders that reach the subarray through a filter."""
    if band == "F277W":
        return (1,)
    return (1, 2, 3) if subarray == "SUBSTRIP256" else (1, 2)
