"""Modes of the instruments: what each is, and what a proposer asks of it.

The modes themselves come from the table `modes.toml` (`tsoxr.mode_table`); from it and from the
clocks, dispersions and efficiencies in `tsoxr.kernels` follow frame times, wavelengths and throughput.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsoxr.kernels import readout_clock
from tsoxr.kernels.throughput import THROUGHPUTS, efficiency_at
from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.mode_table import (
    Default,
    Detector,
    Mode,
    detector,
    get,
    match,
    names,
    step_defaults,
    table,
)

__all__ = [
    "Default",
    "Detector",
    "Mode",
    "detector",
    "dispersion",
    "get",
    "match",
    "names",
    "step_defaults",
    "table",
    "throughput",
    "timing",
]


def timing(mode: str) -> list[dict[str, Any]]:
    """Return how fast a mode is read and how much its pixels hold, for planning.

    Parameters
    ----------
    mode : str
        Name of a mode.

    Returns
    -------
    list of dict
        One row for each subarray and number of outputs: ``subarray``, ``n_outputs``,
        ``frame_time`` (s, from the clocks of the read-out), ``line_time`` (s), and for the
        mode's first detector ``detector``, ``saturation`` (DN) and ``full_well`` (electron,
        saturation times gain).

    Raises
    ------
    ModeError
        For an unknown mode.

    Notes
    -----
    An integration of G groups of one frame takes G + 1 frame times, of which G - 1 are
    measured by the slope.

    Examples
    --------
    >>> row = timing("nirspec-prism")[0]
    >>> row["subarray"], round(row["frame_time"], 5)
    ('SUB512', 0.22616)
    """
    known = get(mode)
    constants = detector(known.detectors[0])
    rows = []
    for subarray, (n_fast, n_slow, *outputs) in known.reads.items():
        for n in outputs:
            line, frame = _clocks(known, subarray, n_fast, n_slow, n)
            rows.append(
                {
                    "subarray": subarray,
                    "n_outputs": n,
                    "frame_time": frame * readout_clock.CLOCK,
                    "line_time": line * readout_clock.CLOCK,
                    "detector": constants.name,
                    "saturation": constants.saturation,
                    "full_well": constants.saturation * constants.gain,
                }
            )
    return rows


def _clocks(mode: Mode, subarray: str, n_fast: int, n_slow: int, n_outputs: int) -> tuple[int, int]:
    if mode.instrument == "MIRI":
        row = readout_clock.MIRI_ROW_CLOCKS[subarray]
        return row, readout_clock.miri_frame_clocks(n_slow, row)
    line = n_fast // n_outputs + readout_clock.LINE_OVERHEAD
    return line, readout_clock.near_infrared_frame_clocks(n_fast, n_slow, n_outputs)


def dispersion(mode: str) -> list[dict[str, Any]]:
    """Return which wavelengths a mode sees and how finely, for planning.

    Parameters
    ----------
    mode : str
        Name of a mode.

    Returns
    -------
    list of dict
        One row for each detector, order or filter with a built-in relation: ``setting``,
        ``first`` and ``last`` (um) of the wavelengths that fall on the detector,
        ``n_pixels`` between them, ``um_per_pixel`` and ``pixel_pairs`` (the wavelength over
        that of two pixels) at the first, middle and last wavelength, and ``basis``, the
        calibration behind it. Empty for imaging.

    Raises
    ------
    ModeError
        For an unknown mode.

    Notes
    -----
    ``pixel_pairs`` is an upper limit of the resolving power: that of an instrument whose
    lines are two pixels wide. The lines' true widths are not in this table.

    Examples
    --------
    >>> row = dispersion("nirspec-prism")[0]
    >>> round(row["first"], 2), [round(r) for r in row["pixel_pairs"]]
    (0.5, [99, 155, 404])
    """
    rows, name = [], get(mode).name
    for key, relation in NOMINAL.items():
        if key.split("/")[0] != name:
            continue
        pixel = np.arange(2048 if not relation.subarrays else 512)
        seen = wavelength_at(relation, pixel)
        lit = np.flatnonzero(np.isfinite(seen))
        wave = np.sort(seen[lit])
        step = np.gradient(wave)
        places = [0, wave.size // 2, wave.size - 1]
        rows.append(
            {
                "setting": key,
                "first": float(wave[0]),
                "last": float(wave[-1]),
                "n_pixels": int(lit.size),
                "um_per_pixel": tuple(float(step[i]) for i in places),
                "pixel_pairs": tuple(float(wave[i] / (2 * step[i])) for i in places),
                "basis": relation.basis,
            }
        )
    return rows


def throughput(mode: str) -> list[dict[str, Any]]:
    """Return which part of the photons a mode turns into electrons, where that is known.

    Parameters
    ----------
    mode : str
        Name of a mode.

    Returns
    -------
    list of dict
        One row for each order or filter with a published calibration in flight: ``setting``,
        ``wavelength`` (um) and ``efficiency`` (numpy arrays), ``absolute``, True for electrons per
        photon that reaches the telescope and False for a curve over its peak, ``peak``, where it
        lies (``peak_wavelength``) and between which wavelengths it exceeds half of it
        (``above_half``), ``accuracy`` (relative) and ``basis``. Empty where nothing is known here:
        NIRSpec, MIRI and imaging.

    Raises
    ------
    ModeError
        For an unknown mode.

    Examples
    --------
    >>> row = throughput("niriss-soss")[0]
    >>> row["setting"], round(row["peak"], 2), row["peak_wavelength"]
    ('niriss-soss/1', 0.55, 1.2)
    """
    rows, name = [], get(mode).name
    for key, known in THROUGHPUTS.items():
        if key.split("/")[0] != name:
            continue
        wavelength, efficiency = np.array(known.table).T
        fine = np.linspace(wavelength[0], wavelength[-1], 2001)
        high = fine[efficiency_at(known, fine) >= 0.5 * efficiency.max()]
        rows.append(
            {
                "setting": key,
                "wavelength": wavelength,
                "efficiency": efficiency,
                "absolute": known.absolute,
                "peak": float(efficiency.max()),
                "peak_wavelength": float(wavelength[efficiency.argmax()]),
                "above_half": (float(high[0]), float(high[-1])),
                "accuracy": known.accuracy,
                "basis": known.basis,
            }
        )
    return rows
