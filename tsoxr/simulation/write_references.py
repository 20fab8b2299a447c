"""Reference files of a simulated detector, in the layout of the JWST archive.

They hold the true properties, or what a calibration would measure of them (see
`tsoxr.simulation.calibration`). The true linearity polynomial is the one that the detector
model inverts, so it is exact up to the rounding of float32. ``readnoise`` holds the noise of
the difference of two reads, sqrt(2) times that of one, as the archive does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsoxr.dq import FLAGS
from tsoxr.simulation import calibration
from tsoxr.simulation.calibration import Calibration
from tsoxr.simulation.headers import geometry_cards

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["REFERENCE_TYPES", "write_references"]

REFERENCE_TYPES = (
    "superbias",
    "linearity",
    "saturation",
    "gain",
    "readnoise",
    "mask",
    "dark",
    "flat",
)
"""Types that are written, in the archive's names."""

OPTICS = ("FILTER", "PUPIL", "GRATING", "CHANNEL", "MODULE")
"""Keywords of the optics, which only the flat depends on."""


def write_references(exposure: Exposure, folder: Path, *, errors: bool = False) -> list[Path]:
    """Write one file for each of `REFERENCE_TYPES`; see `Exposure.write_references`.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    folder : Path
        Made where it does not exist.
    errors : bool
        Write what a calibration would measure instead of the truth.

    Returns
    -------
    list of Path
        The files, in the order of `REFERENCE_TYPES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = calibration.measured(exposure) if errors else calibration.true(exposure)
    contents = _extensions(exposure, known)
    what = "measured" if errors else "true"
    return [_write(exposure, folder, kind, what, contents[kind]) for kind in REFERENCE_TYPES]


def _write(
    exposure: Exposure, folder: Path, kind: str, what: str, contents: dict[str, np.ndarray]
) -> Path:
    from astropy.io import fits

    setup = exposure.setup
    place = f"{setup.detector}_{setup.subarray}".lower()
    name = f"jwst_{exposure.instrument.lower()}_{kind}_{place}_simulated.fits"
    primary = fits.PrimaryHDU()
    primary.header.update(_cards(exposure, kind, name))
    primary.header["DESCRIP"] = f"{what} {kind} of a simulated exposure, seed {exposure.seed}"
    parts = [fits.ImageHDU(data, name=extension, uint=True) for extension, data in contents.items()]
    flagged = [_flag_table(fits)] if "DQ" in contents else []
    fits.HDUList([primary, *parts, *flagged]).writeto(folder / name, overwrite=True)
    return folder / name


def _cards(exposure: Exposure, kind: str, name: str) -> dict[str, Any]:
    setup, clock = exposure.setup, exposure.clock
    own = OPTICS if kind == "flat" else ()
    frames = {"NGROUPS": clock.n_groups, "NFRAMES": clock.n_frames, "GROUPGAP": clock.group_gap}
    return {
        "TELESCOP": "JWST",
        "FILENAME": name,
        "REFTYPE": kind.upper(),
        "PEDIGREE": "SIMULATION",
        "DESCRIP": "",
        "AUTHOR": "tsoxr",
        "USEAFTER": "2022-01-01T00:00:00",
        "INSTRUME": exposure.instrument,
        "DETECTOR": setup.detector,
        "EXP_TYPE": setup.keywords["EXP_TYPE"],
        "READPATT": exposure.readout_pattern,
        **{k: setup.keywords[k] for k in own if k in setup.keywords},
        **(frames if kind == "dark" else {}),
        **geometry_cards(exposure),
    }


def _extensions(exposure: Exposure, known: Calibration) -> dict[str, dict[str, np.ndarray]]:
    """Return the extensions of the reference file of each type."""
    clean = np.zeros(exposure.setup.shape, dtype=np.uint32)
    bad = known.dq & ~np.uint32(FLAGS["REFERENCE_PIXEL"])
    dark = {"SCI": known.dark, "ERR": known.dark_error, "DQ": clean}
    if exposure.instrument == "MIRI":  # its darks have an axis of integrations
        dark = {name: data[None] for name, data in dark.items()}
        dark["DQ"] = dark["DQ"][None]
    return {
        "superbias": {"SCI": known.superbias, "ERR": known.superbias_error, "DQ": clean},
        "linearity": {"COEFFS": known.linearity, "DQ": clean},
        "saturation": {"SCI": known.saturation, "DQ": clean},
        "gain": {"SCI": known.gain},
        "readnoise": {"SCI": known.read_noise},
        "mask": {"DQ": known.dq},
        "dark": dark,
        "flat": {"SCI": known.flat, "ERR": known.flat_error, "DQ": bad},
    }


def _flag_table(fits: Any) -> Any:
    names = [name for name in FLAGS if not name.startswith("RESERVED")]
    columns = [
        fits.Column("BIT", "J", array=[FLAGS[n].bit_length() - 1 for n in names]),
        fits.Column(
            "VALUE", "J", bzero=2**31, array=np.array([FLAGS[n] for n in names], dtype=np.uint32)
        ),
        fits.Column("NAME", "40A", array=np.array(names)),
        fits.Column(
            "DESCRIPTION", "80A", array=np.array([n.replace("_", " ").lower() for n in names])
        ),
    ]
    return fits.BinTableHDU.from_columns(columns, name="DQ_DEF")
