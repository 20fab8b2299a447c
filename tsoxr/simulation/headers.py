"""FITS keywords of a simulated exposure, as the archive's files have them.

Every value follows from the parameters: ``DATE`` is the end of the exposure, not the day of
writing, so that the same exposure gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsoxr.simulation.clock import SECONDS_PER_DAY

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Segment", "file_name", "fits_header", "primary_cards", "science_cards", "segments"]

PROGRAM, OBSERVATION, VISIT = "01234", "001", "001"
TARGET_RA, TARGET_DEC = 217.32667, -3.44449
TARGET = "SIMULATED-STAR"

TEMPLATES = {
    "NRS_BRIGHTOBJ": "NIRSpec Bright Object Time Series",
    "NIS_SOSS": "NIRISS Single-Object Slitless Spectroscopy",
    "NRC_TSGRISM": "NIRCam Grism Time Series",
    "NRC_TSIMAGE": "NIRCam Time Series",
    "MIR_LRS-SLITLESS": "MIRI Low Resolution Spectroscopy",
    "MIR_IMAGE": "MIRI Imaging",
}
"""Names of the observing templates by type of exposure."""

MECHANISMS: dict[str, dict[str, Any]] = {
    "NIRSPEC": {"LAMP": "NONE", "OPMODE": "BRIGHTOBJ"},
    "NIRISS": {"PWCPOS": 245.76},
    "NIRCAM": {"PILIN": False},
    "MIRI": {"CCCSTATE": "OPEN", "LAMP": "OFF"},
}
"""State of the mechanisms in a time series, by instrument; nominal positions in degrees."""


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
    name = file_name(exposure, segment)
    return {
        "DATE": _text(clock.utc(1.0)[-1]),
        "ORIGIN": "tsoxr simulation",
        "TIMESYS": "UTC",
        "TIMEUNIT": "s",
        "FILENAME": name,
        "FILETYPE": "raw",
        "DATAMODL": "Level1bModel",
        "TELESCOP": "JWST",
        "HGA_MOVE": False,
        **_visit(exposure),
        **_target(),
        "INSTRUME": exposure.instrument,
        "DETECTOR": setup.detector,
        **_instrument(exposure),
        "READPATT": exposure.readout_pattern,
        "GAINFACT": 1.0,
        **_timing(exposure),
        **_barycentre(exposure),
        "EXSEGNUM": segment.number,
        "EXSEGTOT": segment.n_segments,
        "INTSTART": segment.first + 1,
        "INTEND": segment.last,
        "NINTS": clock.n_integrations,
        **geometry_cards(exposure),
    }


def _text(mjd: float) -> str:
    """Return a date and time as FITS writes them, to the millisecond."""
    from astropy.time import Time

    return str(Time(mjd, format="mjd", scale="utc", precision=3).isot)


def _visit(exposure: Exposure) -> dict[str, Any]:
    start, end = _text(exposure.start), _text(exposure.clock.utc(1.0)[-1])
    return {
        "TITLE": "Simulated time series",
        "CATEGORY": "GO",
        "DATE-OBS": start[:10],
        "TIME-OBS": start[11:],
        "DATE-BEG": start,
        "DATE-END": end,
        "OBS_ID": f"V{PROGRAM}{OBSERVATION}{VISIT}P0000000004101",
        "VISIT_ID": f"{PROGRAM}{OBSERVATION}{VISIT}",
        "PROGRAM": PROGRAM,
        "OBSERVTN": OBSERVATION,
        "VISIT": VISIT,
        "VISITGRP": "04",
        "SEQ_ID": "1",
        "ACT_ID": "01",
        "EXPOSURE": "00001",
        "BKGDTARG": False,
        "TEMPLATE": TEMPLATES.get(str(exposure.setup.keywords["EXP_TYPE"]), "UNKNOWN"),
        "ENG_QUAL": "OK",
        "TSOVISIT": True,
        "VISITYPE": "PRIME_TARGETED_FIXED",
        "VSTSTART": start.replace("T", " "),
        "NEXPOSUR": 1,
        "INTARGET": False,
        "TARGOOPP": False,
        "EXP_ONLY": False,
        "CROWDFLD": False,
        "EXPCOUNT": 1,
        "EXPRIPAR": "PRIME",
        "DATAPROB": False,
        "PATT_NUM": 1,
        "NUMDTHPT": 1,
        "XOFFSET": 0.0,
        "YOFFSET": 0.0,
        "PCS_MODE": "FINEGUIDE",
    }


def _target() -> dict[str, Any]:
    return {
        "TARGNAME": TARGET,
        "TARGPROP": TARGET,
        "TARGTYPE": "FIXED",
        "TARG_RA": TARGET_RA,
        "TARG_DEC": TARGET_DEC,
        "TARGURA": 0.1,
        "TARGUDEC": 0.1,
        "MU_RA": 0.0,
        "MU_DEC": 0.0,
        "MU_EPOCH": "2000-01-01 00:00:00.000",
        "PROP_RA": TARGET_RA,
        "PROP_DEC": TARGET_DEC,
        "SRCTYAPT": "POINT",
    }


def _instrument(exposure: Exposure) -> dict[str, Any]:
    """Return the mechanisms and the aperture; what the mode's setup says comes first."""
    setup = exposure.setup
    usual: dict[str, Any] = dict(MECHANISMS[exposure.instrument])
    if exposure.instrument == "NIRCAM":
        usual["MODULE"] = setup.detector[3]
        usual["CHANNEL"] = "LONG" if setup.detector.endswith("LONG") else "SHORT"
    aperture = _aperture(setup.detector, setup.subarray, setup.filter)
    return {**usual, "APERNAME": aperture, "PPS_APER": aperture, **setup.keywords}


def _aperture(detector: str, subarray: str, filter_name: str) -> str:
    """Return the name of the aperture in the telescope's list."""
    if detector.startswith("NRS"):
        return "NRS_S1600A1_SLIT"
    if not detector.startswith("NRC"):
        return f"{detector if detector == 'NIS' else 'MIRIM'}_{subarray}"
    camera = detector.replace("LONG", "5")
    if subarray.startswith("SUBGRISM"):
        return f"{camera}_{subarray.removeprefix('SUB')}_{filter_name}"
    return f"{camera}_{subarray}"


def _timing(exposure: Exposure) -> dict[str, Any]:
    clock = exposure.clock
    utc = (clock.utc(0.0)[0], clock.utc(1.0)[-1])
    integration = clock.integration_time
    return {
        "NGROUPS": clock.n_groups,
        "NFRAMES": clock.n_frames,
        "FRMDIVSR": clock.n_frames,
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
    }


def _barycentre(exposure: Exposure) -> dict[str, Any]:
    """Return the exposure's times at the barycentre, as the clock states them."""
    first, last = exposure.clock.tdb(0.0)[0], exposure.clock.tdb(1.0)[-1]
    return {
        "BARTDELT": SECONDS_PER_DAY * (first - exposure.clock.utc(0.0)[0]),
        "BSTRTIME": first,
        "BMIDTIME": 0.5 * (first + last),
        "BENDTIME": last,
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
    clock = exposure.clock
    tdb = (clock.tdb(0.0)[0], clock.tdb(1.0)[-1])
    utc = (clock.utc(0.0)[0], clock.utc(1.0)[-1])
    dispersed = {"DISPAXIS": 1 if exposure.setup.dispersion_dim == "x" else 2}
    return {
        "EXTNAME": "SCI",
        "BUNIT": "DN",
        **({} if exposure.setup.imaging else dispersed),
        "SRCTYPE": "POINT",
        "MJD-BEG": utc[0],
        "MJD-AVG": 0.5 * (utc[0] + utc[1]),
        "MJD-END": utc[1],
        "TDB-BEG": tdb[0],
        "TDB-MID": 0.5 * (tdb[0] + tdb[1]),
        "TDB-END": tdb[1],
        "XPOSURE": clock.integration_time * clock.n_integrations,
        "TELAPSE": SECONDS_PER_DAY * (utc[1] - utc[0]),
        "RADESYS": "ICRS",
    }


def fits_header(exposure: Exposure) -> str:
    """Return both headers as the JSON text that Datasets carry."""
    first = segments(exposure.n_integrations, 1)[0]
    return json.dumps({"PRIMARY": primary_cards(exposure, first), "SCI": science_cards(exposure)})
