"""FITS keywords of a simulated exposure, as the archive's files have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Segment", "file_name", "fits_header", "primary_cards", "science_cards", "segments"]

PROGRAM, OBSERVATION, VISIT = "01234", "001", "001"
TARGET_RA, TARGET_DEC = 217.32667, -3.44449
TARGET = "SIMULATED-STAR"


@dataclass(frozen=True)
class Segment:
    """One file of an exposure: integrations ``first`` to ``last``, counted from 0, last excluded."""

    number: int
    n_segments: int
    first: int
    last: int


def segments(n_integrations: int, n_segments: int) -> list[Segment]:
    """Share the integrations among files, the larger ones first.

    Raises
    ------
    ValueError
        For fewer integrations than files.
    """
    if not 1 <= n_segments <= n_integrations:
        raise ValueError(
            f"write: n_segments is {n_segments}; it must lie between 1 and the "
            f"{n_integrations} integrations"
        )
    size, more = divmod(n_integrations, n_segments)
    edges = np.cumsum([0] + [size + (i < more) for i in range(n_segments)])
    return [Segment(i + 1, n_segments, int(edges[i]), int(edges[i + 1])) for i in range(n_segments)]


def file_name(exposure: Exposure, segment: Segment) -> str:
    """Return the name of a raw file in the archive's scheme."""
    root = f"jw{PROGRAM}{OBSERVATION}{VISIT}_04101_00001-seg{segment.number:03d}"
    return f"{root}_{exposure.setup.detector.lower()}_uncal.fits"


def primary_cards(exposure: Exposure, segment: Segment) -> dict[str, Any]:
    """Return the primary header of one file; values as FITS holds them."""
    setup, clock = exposure.setup, exposure.clock
    return {
        "TELESCOP": "JWST",
        "ORIGIN": "tsoxr simulation",
        "FILENAME": file_name(exposure, segment),
        "FILETYPE": "raw",
        "DATAMODL": "Level1bModel",
        **_visit(exposure),
        "INSTRUME": exposure.instrument,
        "DETECTOR": setup.detector,
        **setup.keywords,
        "READPATT": exposure.readout_pattern,
        "GAINFACT": 1.0,
        **_timing(exposure),
        "EXSEGNUM": segment.number,
        "EXSEGTOT": segment.n_segments,
        "INTSTART": segment.first + 1,
        "INTEND": segment.last,
        "NINTS": clock.n_integrations,
        **geometry_cards(exposure),
    }


def _visit(exposure: Exposure) -> dict[str, Any]:
    from astropy.time import Time

    start = Time(exposure.start, format="mjd", scale="utc").isot
    return {
        "DATE-OBS": start[:10],
        "TIME-OBS": start[11:],
        "PROGRAM": PROGRAM,
        "OBSERVTN": OBSERVATION,
        "VISIT": VISIT,
        "TSOVISIT": True,
        "VISITYPE": "PRIME_TARGETED_FIXED",
        "TARGNAME": TARGET,
        "TARGPROP": TARGET,
        "TARG_RA": TARGET_RA,
        "TARG_DEC": TARGET_DEC,
    }


def _timing(exposure: Exposure) -> dict[str, Any]:
    clock = exposure.clock
    utc = (clock.utc(0.0)[0], clock.utc(1.0)[-1])
    integration = clock.integration_time
    return {
        "NGROUPS": clock.n_groups,
        "NFRAMES": clock.n_frames,
        "FRMDIVSR": 1,
        "GROUPGAP": clock.group_gap,
        "NSAMPLES": 1,
        "TSAMPLE": 10.0,
        "TFRAME": clock.frame_time,
        "TGROUP": clock.group_interval,
        "EFFINTTM": integration,
        "EFFEXPTM": integration * clock.n_integrations,
        "TMEASURE": integration * clock.n_integrations,
        "DURATION": clock.integration_interval * clock.n_integrations,
        "NRSTSTRT": 1,
        "NRESETS": 1,
        "DRPFRMS1": 0,
        "DRPFRMS3": 0,
        "ZEROFRAM": False,
        "NOUTPUTS": clock.readout.n_outputs,
        "EXPSTART": utc[0],
        "EXPMID": 0.5 * (utc[0] + utc[1]),
        "EXPEND": utc[1],
        "TIMESYS": "UTC",
    }


def geometry_cards(exposure: Exposure) -> dict[str, Any]:
    """Return the subarray's place on the detector and the axes of its read-out."""
    setup, readout = exposure.setup, exposure.setup.readout
    axis = {"x": 1, "y": 2}
    return {
        "SUBARRAY": setup.subarray,
        "SUBSTRT1": setup.origin[0],
        "SUBSTRT2": setup.origin[1],
        "SUBSIZE1": setup.shape[1],
        "SUBSIZE2": setup.shape[0],
        "FASTAXIS": readout.fast_direction * axis[readout.fast_dim],
        "SLOWAXIS": readout.slow_direction * axis[readout.slow_dim],
    }


def science_cards(exposure: Exposure) -> dict[str, Any]:
    """Return the cards of the science extension that describe the data, not their storage."""
    tdb = (exposure.clock.tdb(0.0)[0], exposure.clock.tdb(1.0)[-1])
    utc = (exposure.clock.utc(0.0)[0], exposure.clock.utc(1.0)[-1])
    return {
        "EXTNAME": "SCI",
        "BUNIT": "DN",
        "DISPAXIS": 1 if exposure.setup.dispersion_dim == "x" else 2,
        "SRCTYPE": "POINT",
        "MJD-BEG": utc[0],
        "MJD-AVG": 0.5 * (utc[0] + utc[1]),
        "MJD-END": utc[1],
        "TDB-BEG": tdb[0],
        "TDB-MID": 0.5 * (tdb[0] + tdb[1]),
        "TDB-END": tdb[1],
        "RADESYS": "ICRS",
    }


def fits_header(exposure: Exposure) -> str:
    """Return both headers as the JSON text that Datasets carry."""
    first = segments(exposure.n_integrations, 1)[0]
    return json.dumps({"PRIMARY": primary_cards(exposure, first), "SCI": science_cards(exposure)})
