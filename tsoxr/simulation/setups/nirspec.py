"""NIRSpec bright-object time series through the aperture S1600A1.

Wavelengths are the nominal ones. Traces, widths and throughputs are formulae of our own of
the size of the real ones: profiles have a sigma of 0.5 to 0.8 pixel, the traces of the
gratings rise by a pixel in 600 to 700 columns and bend by a fraction of one, the blaze of
G395 peaks near 4 um. No calibration of the real traces stands behind them. The edge of
F290LP, half open at 2.80 um, follows from the errors of the published spectrum of WASP-39 b
(Carter and May 2024), taken as photon noise.

First rows of the gratings' subarrays are those of the pre-flight document
ESA-JWST-SCI-NRS-TN-2018-002; those of the PRISM moved by two rows in flight. SUB1024A holds
the blue half of NRS1 and the red half of NRS2, SUB1024B the others. NRS2 is read with the
levels of NRS1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.kernels.wavelength import NOMINAL, Dispersion, wavelength_at
from tsoxr.simulation.clock import Readout, nir_readout
from tsoxr.simulation.instruments import Choice, Electronics, Setup, Spectrograph, Trace, pick

__all__ = ["nirspec_g395h", "nirspec_g395m", "nirspec_prism"]

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

DIRECTIONS = {"NRS1": +1, "NRS2": -1}
"""Direction of both axes of the read-out."""

FULL_WIDTH, BORDER = 2048, 4

PRISM_ROWS = {"SUB512": (32, 0), "SUB512S": (16, 8)}
"""Rows, and the first of them within SUB512."""


def nirspec_prism(choice: Choice) -> Setup:
    """Return the PRISM on NRS1."""
    mode = "nirspec-prism"
    subarray = str(pick(mode, "subarray", choice.subarray, tuple(PRISM_ROWS)))
    pick(mode, "detector", choice.detector, ("NRS1",))
    pick(mode, "filter", choice.filter, ("CLEAR",))
    pick(mode, "n_outputs", choice.n_outputs, (1,))
    n_rows, first_row = PRISM_ROWS[subarray]
    return Setup(
        mode=mode,
        detector="NRS1",
        subarray=subarray,
        shape=(n_rows, 512),
        origin=(1025, 959 + first_row),
        readout=_readout("NRS1", n_rows, 512),
        optics=Spectrograph(
            (
                Trace(
                    wavelength=lambda pixel: wavelength_at(NOMINAL["nirspec-prism"], pixel),
                    center=lambda pixel: _prism_center(pixel) - first_row,
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
        keywords=_keywords("PRISM", "CLEAR"),
    )


def _prism_center(pixel: np.ndarray) -> np.ndarray:
    u = (pixel - 255.5) / 256.0
    return 15.4 + 0.35 * u - 0.45 * u**2


def _prism_throughput(wave: np.ndarray) -> np.ndarray:
    blue = 1.0 / (1.0 + np.exp(-(wave - 0.75) / 0.09))
    red = 1.0 / (1.0 + np.exp((wave - 5.3) / 0.12))
    return blue * red * wave * (1.0 + 0.08 * np.sin(2.2 * wave))


@dataclass(frozen=True)
class _Grating:
    """A grating on one detector: first row, length of exposures and the trace.

    ``trace`` holds the row at column 1024 of the full detector, its rise per 1024 columns and
    its bend, the coefficient of the square of that distance.
    """

    name: str
    detector: str
    first_row: int
    n_groups: int
    n_integrations: int
    trace: tuple[float, float, float]

    @property
    def wavelengths(self) -> Dispersion:
        return NOMINAL[f"nirspec-{self.name.lower()}/{self.detector}"]

    def center(self, column: np.ndarray) -> np.ndarray:
        """Return the row of the trace at a column of the full detector."""
        u = (column - 1024.0) / 1024.0
        middle, rise, bend = self.trace
        return middle + rise * u + bend * u**2


G395H = {
    "NRS1": _Grating("G395H", "NRS1", 963, 20, 60, (15.2, 1.6, -0.7)),
    "NRS2": _Grating("G395H", "NRS2", 1055, 20, 60, (14.6, -1.6, -0.7)),
}
G395M = {"NRS1": _Grating("G395M", "NRS1", 946, 12, 100, (15.6, 0.5, -0.4))}


def nirspec_g395h(choice: Choice) -> Setup:
    """Return G395H on NRS1 (2.75 to 3.72 um) or NRS2 (3.82 to 5.18 um)."""
    return _grating_setup("nirspec-g395h", choice, G395H)


def nirspec_g395m(choice: Choice) -> Setup:
    """Return G395M on NRS1."""
    return _grating_setup("nirspec-g395m", choice, G395M)


def _grating_setup(mode: str, choice: Choice, gratings: dict[str, _Grating]) -> Setup:
    grating = gratings[str(pick(mode, "detector", choice.detector, tuple(gratings)))]
    subarrays = ("SUB2048", "SUB1024A", "SUB1024B")
    subarray = str(pick(mode, "subarray", choice.subarray, subarrays))
    pick(mode, "filter", choice.filter, ("F290LP",))
    pick(mode, "n_outputs", choice.n_outputs, (1,))
    first, n_columns = _columns(subarray, grating.detector)
    return Setup(
        mode=mode,
        detector=grating.detector,
        subarray=subarray,
        shape=(32, n_columns),
        origin=(first + 1, grating.first_row),
        readout=_readout(grating.detector, 32, n_columns),
        optics=Spectrograph((_grating_trace(grating, first),)),
        electronics=ELECTRONICS,
        n_groups=grating.n_groups,
        n_integrations=grating.n_integrations,
        background=0.05,
        pixel_scale=0.1,
        pattern="NRSRAPID",
        filter="F290LP",
        border=(
            BORDER if first == 0 else 0,
            BORDER if first + n_columns == FULL_WIDTH else 0,
            0,
            0,
        ),
        keywords=_keywords(grating.name, "F290LP"),
    )


def _columns(subarray: str, detector: str) -> tuple[int, int]:
    """Return the first column, from 0, and the number of columns."""
    if subarray == "SUB2048":
        return 0, FULL_WIDTH
    left = (subarray == "SUB1024A") == (detector == "NRS1")
    return (0 if left else 1024), 1024


def _grating_trace(grating: _Grating, first: int) -> Trace:
    def wavelength(pixel: np.ndarray) -> np.ndarray:
        column = np.asarray(pixel) + first
        sees = (column >= BORDER) & (column < FULL_WIDTH - BORDER)
        return np.where(sees, wavelength_at(grating.wavelengths, column), np.nan)

    return Trace(
        wavelength=wavelength,
        center=lambda pixel: grating.center(pixel + first),
        width=lambda wave: np.hypot(0.4, 0.13 * wave),
        throughput=_g395_throughput,
    )


def _g395_throughput(wave: np.ndarray) -> np.ndarray:
    opens = 1.0 / (1.0 + np.exp(-(wave - 2.80) / 0.02))
    return (1e-4 + opens) * np.exp(-0.5 * ((wave - 4.0) / 1.0) ** 2)


def _readout(detector: str, n_rows: int, n_columns: int) -> Readout:
    way = DIRECTIONS[detector]
    return nir_readout(fast=("y", n_rows, way), slow=("x", n_columns, way), n_outputs=1)


def _keywords(grating: str, band: str) -> dict[str, object]:
    return {
        "EXP_TYPE": "NRS_BRIGHTOBJ",
        "FILTER": band,
        "GRATING": grating,
        "FXD_SLIT": "S1600A1",
    }
