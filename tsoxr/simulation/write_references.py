"""Reference files of a simulated detector, in the layout of the JWST archive.

They hold the true properties without noise. The linearity polynomial is the one that the
detector model inverts, so it is exact up to the rounding of float32. ``readnoise`` holds
the noise of the difference of two reads, sqrt(2) times that of one, as the archive does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsoxr.dq import FLAGS
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


def write_references(exposure: Exposure, folder: Path) -> list[Path]:
    """Write one file for each of `REFERENCE_TYPES`; see `Exposure.write_references`.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    folder : Path
        Made where it does not exist.

    Returns
    -------
    list of Path
        The files, in the order of `REFERENCE_TYPES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = _extensions(exposure)
    return [_write(exposure, folder, kind, contents[kind]) for kind in REFERENCE_TYPES]


def _write(exposure: Exposure, folder: Path, kind: str, contents: dict[str, np.ndarray]) -> Path:
    from astropy.io import fits

    setup = exposure.setup
    name = f"jwst_{exposure.instrument.lower()}_{kind}_simulated_{setup.subarray.lower()}.fits"
    primary = fits.PrimaryHDU()
    primary.header.update(_cards(exposure, kind, name))
    parts = [fits.ImageHDU(data, name=extension, uint=True) for extension, data in contents.items()]
    hdus = fits.HDUList([primary, *parts, _flag_table(fits)])
    hdus.writeto(folder / name, overwrite=True)
    return folder / name


def _cards(exposure: Exposure, kind: str, name: str) -> dict[str, Any]:
    setup = exposure.setup
    own = ("FILTER", "GRATING", "CHANNEL") if kind == "flat" else ()
    return {
        "TELESCOP": "JWST",
        "FILENAME": name,
        "REFTYPE": kind.upper(),
        "PEDIGREE": "SIMULATION",
        "DESCRIP": f"true {kind} of a simulated exposure, seed {exposure.seed}",
        "AUTHOR": "tsoxr",
        "USEAFTER": "2022-01-01T00:00:00",
        "INSTRUME": exposure.instrument,
        "DETECTOR": setup.detector,
        "EXP_TYPE": setup.keywords["EXP_TYPE"],
        "READPATT": exposure.readout_pattern,
        **{k: setup.keywords[k] for k in own if k in setup.keywords},
        **geometry_cards(exposure),
    }


def _extensions(exposure: Exposure) -> dict[str, dict[str, np.ndarray]]:
    """Return the extensions of the reference file of each type."""
    detector = exposure.maps
    clean = np.zeros(exposure.setup.shape, dtype=np.uint32)
    exact = np.zeros(exposure.setup.shape, dtype=np.float32)
    bad = detector.dq & ~np.uint32(FLAGS["REFERENCE_PIXEL"])
    dark = exposure.clock.group_time[:, None, None] * detector.dark / detector.gain
    flat = np.where(detector.response > 0, detector.response, 1.0).astype(np.float32)
    return {
        "superbias": {"SCI": detector.superbias, "ERR": exact, "DQ": clean},
        "linearity": {"COEFFS": detector.linearity, "DQ": clean},
        "saturation": {"SCI": detector.saturation, "DQ": clean},
        "gain": {"SCI": detector.gain},
        "readnoise": {"SCI": np.float32(math.sqrt(2.0)) * detector.read_noise},
        "mask": {"DQ": detector.dq},
        "dark": {"SCI": _by_integration(exposure, dark), "DQ": clean},
        "flat": {"SCI": flat, "ERR": exact, "DQ": bad},
    }


def _by_integration(exposure: Exposure, dark: np.ndarray) -> np.ndarray:
    """MIRI's darks have an axis of integrations, the others' have not."""
    dark = dark.astype(np.float32)
    return dark[None] if exposure.instrument == "MIRI" else dark


def _flag_table(fits: Any) -> Any:
    names = list(FLAGS)
    columns = [
        fits.Column("BIT", "J", array=np.arange(len(names))),
        fits.Column(
            "VALUE", "J", bzero=2**31, array=np.array(list(FLAGS.values()), dtype=np.uint32)
        ),
        fits.Column("NAME", "40A", array=np.array(names)),
        fits.Column(
            "DESCRIPTION", "80A", array=np.array([n.replace("_", " ").lower() for n in names])
        ),
    ]
    return fits.BinTableHDU.from_columns(columns, name="DQ_DEF")
