"""Nominal traces of the modes whose place on the detector is known: row against column.

Each is a Chebyshev series in the column. In NIRISS SOSS the pupil wheel does not come to rest
at the same angle in every visit, and the spectrum turns with it: a curve that is known at one
angle is known at all, turned about a pivot by the difference of the angles (Baines et al. 2023).

Those of SOSS come from one visit. Turned by one angle for all orders they meet the in-flight
reference SPECTRACE 0023, which rests on another one, within 0.08, 0.10 and 0.20 pixels rms for
orders 1, 2 and 3 (`tests/kernels/test_trace_nominal.py`).

The simulator puts its light where these curves are, so there is one truth for both. What each
curve was fitted to, and how far from it, stands beside it. The traces of NIRSpec and MIRI in
the simulator rest on no calibration and are not here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

__all__ = [
    "COMMANDED",
    "NOMINAL_TRACES",
    "VISIT_WHEEL",
    "NominalTrace",
    "center_at",
    "trace_key",
    "turned",
]

COMMANDED = 245.76
"""Angle at which the NIRISS pupil wheel is meant to stand, degrees."""


@dataclass(frozen=True)
class NominalTrace:
    """Where a spectrum lies: a Chebyshev series of row against (column - middle) / scale.

    Rows and columns count from 0 in the frame that begins at ``origin`` (x, y; 1-based pixel of
    the detector). ``wheel`` is the angle of the pupil wheel at which it holds, degrees, and
    ``pivot`` (x, y) the point about which it turns; both ``None`` where nothing turns.
    """

    coefficients: tuple[float, ...]
    middle: float
    scale: float
    columns: tuple[float, float]
    """First and last column that it was fitted to."""
    detectors: tuple[str, ...]
    origin: tuple[int, int]
    accuracy: float
    """Typical departure of its shape from what it was fitted to, pixels."""
    basis: str
    wheel: float | None = None
    pivot: tuple[float, float] | None = None


_VISIT = "traces of five teams on WASP-39 (programme 1366)"
VISIT_WHEEL = 245.745
"""Angle at which order 1 of that visit, turned about its pivot, meets the reference trace of
PASTASOSS, to 0.06 pixels rms on eight columns. The header of that visit was not at hand."""
_SUN = "in-flight trace polynomials of module A, grism R (F. Sun 2022), at the field point of the subarrays"

NOMINAL_TRACES: dict[str, NominalTrace] = {
    "niriss-soss/1": NominalTrace(
        coefficients=(61.124, -12.292, 16.726, 6.633, 2.524, 0.854, 0.278, 0.087, 0.061),
        middle=1024.0,
        scale=1024.0,
        columns=(4.0, 2043.0),
        detectors=("NIS",),
        origin=(1, 1793),
        accuracy=0.1,
        basis=_VISIT,
        wheel=VISIT_WHEEL,
        pivot=(1887.0, 54.0),
    ),
    "niriss-soss/2": NominalTrace(
        coefficients=(171.218, 121.82, 75.461, 28.992, 9.414, 2.501),
        middle=1024.0,
        scale=1024.0,
        columns=(4.0, 1790.0),
        detectors=("NIS",),
        origin=(1, 1793),
        accuracy=0.35,
        basis=_VISIT,
        wheel=VISIT_WHEEL,
        pivot=(1677.0, 200.0),
    ),
    "niriss-soss/3": NominalTrace(
        coefficients=(319.855, 252.037, 92.264, 15.105),
        middle=1024.0,
        scale=1024.0,
        columns=(4.0, 800.0),
        detectors=("NIS",),
        origin=(1, 1793),
        accuracy=0.3,
        basis=f"{_VISIT}, of which two have it",
        wheel=VISIT_WHEEL,
        pivot=(1444.0, 361.653),
    ),
    "nircam-grism/F322W2": NominalTrace(
        coefficients=(32.865, -3.38, -0.535),
        middle=1571.0,
        scale=1000.0,
        columns=(4.0, 2043.0),
        detectors=("NRCALONG",),
        origin=(1, 1),
        accuracy=0.1,
        basis=_SUN,
    ),
    "nircam-grism/F444W": NominalTrace(
        coefficients=(34.435, -2.0, -0.565),
        middle=945.0,
        scale=1000.0,
        columns=(4.0, 2043.0),
        detectors=("NRCALONG",),
        origin=(1, 1),
        accuracy=0.1,
        basis=_SUN,
    ),
}
"""The built-in traces by mode and order or filter."""


def trace_key(mode: str, *, detector: str, order: int, band: str) -> str | None:
    """Return the key of `NOMINAL_TRACES` for an exposure, ``None`` where there is none.

    Parameters
    ----------
    mode : str
        Observing mode.
    detector : str
        Detector, such as ``"NRCALONG"``; an empty string is taken for the right one.
    order : int
        Spectral order.
    band : str
        Filter in the light path.

    Examples
    --------
    >>> trace_key("niriss-soss", detector="NIS", order=2, band="CLEAR")
    'niriss-soss/2'
    >>> trace_key("nircam-grism", detector="NRCBLONG", order=1, band="F444W") is None
    True
    """
    by_order = f"{mode}/{order}"
    key = by_order if by_order in NOMINAL_TRACES else f"{mode}/{band}" if order == 1 else ""
    found = NOMINAL_TRACES.get(key)
    return key if found is not None and detector in ("", *found.detectors) else None


def center_at(trace: NominalTrace, column: np.ndarray, *, wheel: float | None = None) -> np.ndarray:
    """Return the row of a nominal trace.

    Parameters
    ----------
    trace : NominalTrace
        The trace.
    column : (...,) float
        Columns of the frame of the trace, from 0; not limited to those it was fitted to.
    wheel : float, optional
        Angle of the pupil wheel, degrees; that of the curve if not given.

    Returns
    -------
    (...,) float64
        Rows of the frame of the trace, from 0.

    Examples
    --------
    >>> soss = NOMINAL_TRACES["niriss-soss/1"]
    >>> at = np.array([4.0, 1887.0])
    >>> (center_at(soss, at, wheel=245.86) - center_at(soss, at, wheel=245.76)).round(1)
    array([-3.3,  0. ])
    """
    column = np.asarray(column, dtype=np.float64)

    def curve(place: np.ndarray) -> np.ndarray:
        return np.asarray(
            chebyshev.chebval((place - trace.middle) / trace.scale, trace.coefficients)
        )

    if wheel is None or trace.wheel is None or trace.pivot is None or wheel == trace.wheel:
        return curve(column)
    grid = np.arange(column.min() - 16.0, column.max() + 17.0)
    place, row = turned(grid, curve(grid), trace.pivot, wheel - trace.wheel)
    return np.interp(column, place, row)


def turned(
    place: np.ndarray, row: np.ndarray, pivot: tuple[float, float], angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points of a curve turned about a pivot.

    Parameters
    ----------
    place, row : (n,) float64
        Positions along and across dispersion, pixels.
    pivot : (float, float)
        Along and across dispersion.
    angle : float
        Degrees; positive from the first axis towards the second.

    Returns
    -------
    place, row : (n,) float64
    """
    u, v = place - pivot[0], row - pivot[1]
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    return pivot[0] + cosine * u - sine * v, pivot[1] + sine * u + cosine * v
