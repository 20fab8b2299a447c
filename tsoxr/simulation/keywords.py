"""Where the archive's data models keep what a FITS keyword says.

The headers of JWST name their values in eight letters; the ASDF document that travels with
them names the same values by a path below ``meta``. The table lists the keywords that the
simulator writes, in the order of the headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PATHS", "meta"]

PATHS = {
    "DATE": "date",
    "ORIGIN": "origin",
    "TIMESYS": "time_sys",
    "TIMEUNIT": "time_unit",
    "FILENAME": "filename",
    "DATAMODL": "model_type",
    "TELESCOP": "telescope",
    "HGA_MOVE": "hga_move",
    "TITLE": "program.title",
    "CATEGORY": "program.category",
    "DATE-OBS": "observation.date",
    "TIME-OBS": "observation.time",
    "DATE-BEG": "observation.date_beg",
    "DATE-END": "observation.date_end",
    "OBS_ID": "observation.obs_id",
    "VISIT_ID": "observation.visit_id",
    "PROGRAM": "observation.program_number",
    "OBSERVTN": "observation.observation_number",
    "VISIT": "observation.visit_number",
    "VISITGRP": "observation.visit_group",
    "SEQ_ID": "observation.sequence_id",
    "ACT_ID": "observation.activity_id",
    "EXPOSURE": "observation.exposure_number",
    "BKGDTARG": "observation.bkgdtarg",
    "TEMPLATE": "observation.template",
    "ENG_QUAL": "visit.engineering_quality",
    "VISITYPE": "visit.type",
    "VSTSTART": "visit.start_time",
    "NEXPOSUR": "visit.total_exposures",
    "INTARGET": "visit.internal_target",
    "TARGOOPP": "visit.too_visit",
    "TSOVISIT": "visit.tsovisit",
    "EXP_ONLY": "visit.exp_only",
    "CROWDFLD": "visit.crowded_field",
    "TARGPROP": "target.proposer_name",
    "TARGNAME": "target.catalog_name",
    "TARGTYPE": "target.type",
    "TARG_RA": "target.ra",
    "TARG_DEC": "target.dec",
    "TARGURA": "target.ra_uncertainty",
    "TARGUDEC": "target.dec_uncertainty",
    "MU_RA": "target.proper_motion_ra",
    "MU_DEC": "target.proper_motion_dec",
    "MU_EPOCH": "target.proper_motion_epoch",
    "PROP_RA": "target.proposer_ra",
    "PROP_DEC": "target.proposer_dec",
    "SRCTYAPT": "target.source_type_apt",
    "SRCTYPE": "target.source_type",
    "INSTRUME": "instrument.name",
    "DETECTOR": "instrument.detector",
    "MODULE": "instrument.module",
    "CHANNEL": "instrument.channel",
    "FILTER": "instrument.filter",
    "PUPIL": "instrument.pupil",
    "PILIN": "instrument.pupil_imaging_lens",
    "GRATING": "instrument.grating",
    "FXD_SLIT": "instrument.fixed_slit",
    "CCCSTATE": "instrument.ccc_state",
    "LAMP": "instrument.lamp_state",
    "OPMODE": "instrument.lamp_mode",
    "FWCPOS": "instrument.filter_position",
    "PWCPOS": "instrument.pupil_position",
    "EXPCOUNT": "exposure.count",
    "EXPRIPAR": "exposure.prime_parallel",
    "EXP_TYPE": "exposure.type",
    "EXPSTART": "exposure.start_time",
    "EXPMID": "exposure.mid_time",
    "EXPEND": "exposure.end_time",
    "MJD-BEG": "exposure.start_time_mjd",
    "MJD-AVG": "exposure.mid_time_mjd",
    "MJD-END": "exposure.end_time_mjd",
    "TDB-BEG": "exposure.start_time_tdb",
    "TDB-MID": "exposure.mid_time_tdb",
    "TDB-END": "exposure.end_time_tdb",
    "READPATT": "exposure.readpatt",
    "EXSEGNUM": "exposure.segment_number",
    "EXSEGTOT": "exposure.segment_total",
    "NOUTPUTS": "exposure.noutputs",
    "NINTS": "exposure.nints",
    "INTSTART": "exposure.integration_start",
    "INTEND": "exposure.integration_end",
    "NGROUPS": "exposure.ngroups",
    "NFRAMES": "exposure.nframes",
    "FRMDIVSR": "exposure.frame_divisor",
    "GROUPGAP": "exposure.groupgap",
    "DRPFRMS1": "exposure.drop_frames1",
    "DRPFRMS3": "exposure.drop_frames3",
    "NSAMPLES": "exposure.nsamples",
    "TSAMPLE": "exposure.sample_time",
    "TFRAME": "exposure.frame_time",
    "TGROUP": "exposure.group_time",
    "EFFINTTM": "exposure.integration_time",
    "EFFEXPTM": "exposure.exposure_time",
    "XPOSURE": "exposure.effective_exposure_time",
    "TMEASURE": "exposure.measurement_time",
    "DURATION": "exposure.duration",
    "TELAPSE": "exposure.elapsed_exposure_time",
    "NRSTSTRT": "exposure.nresets_at_start",
    "NRESETS": "exposure.nresets_between_ints",
    "ZEROFRAM": "exposure.zero_frame",
    "DATAPROB": "exposure.data_problem",
    "GAINFACT": "exposure.gain_factor",
    "SUBARRAY": "subarray.name",
    "SUBSTRT1": "subarray.xstart",
    "SUBSTRT2": "subarray.ystart",
    "SUBSIZE1": "subarray.xsize",
    "SUBSIZE2": "subarray.ysize",
    "FASTAXIS": "subarray.fastaxis",
    "SLOWAXIS": "subarray.slowaxis",
    "PATT_NUM": "dither.position_number",
    "NUMDTHPT": "dither.total_points",
    "XOFFSET": "dither.x_offset",
    "YOFFSET": "dither.y_offset",
    "APERNAME": "aperture.name",
    "PPS_APER": "aperture.pps_name",
    "BARTDELT": "time.barycentric_correction",
    "BSTRTIME": "time.barycentric_expstart",
    "BMIDTIME": "time.barycentric_expmid",
    "BENDTIME": "time.barycentric_expend",
    "PCS_MODE": "guidestar.gs_pcs_mode",
    "BUNIT": "bunit_data",
    "RADESYS": "coordinates.reference_frame",
    "DISPAXIS": "wcsinfo.dispersion_direction",
}
"""Path below ``meta`` of each keyword that belongs to the archive's model."""


def meta(cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree of what cards say; keywords without a path are left out.

    Parameters
    ----------
    cards : mapping of str to value
        Keywords and their values.

    Returns
    -------
    dict
        Nested by the parts of the paths.
    """
    tree: dict[str, Any] = {}
    for keyword, path in PATHS.items():
        if keyword in cards:
            *branches, leaf = path.split(".")
            place = tree
            for branch in branches:
                place = place.setdefault(branch, {})
            place[leaf] = cards[keyword]
    return tree
