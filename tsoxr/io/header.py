"""What the FITS headers of a JWST product say, as attributes of a Dataset."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

from tsoxr import modes, schema
from tsoxr.errors import SchemaError, TsoWarning
from tsoxr.io import readout

__all__ = ["TIME_SERIES_TYPES", "attributes", "cards", "check_time_series", "unit"]

TIME_SERIES_TYPES = ("NRS_BRIGHTOBJ", "NIS_SOSS", "NRC_TSGRISM", "NRC_TSIMAGE", "MIR_LRS-SLITLESS")
"""EXP_TYPE values that are time series whatever TSOVISIT says."""

_AXES = {1: "x", 2: "y"}

_UNITS = {
    "DN": "DN", "DN/S": "DN s-1", "ADU/S": "DN s-1", "DN S-1": "DN s-1", "COUNTS/S": "DN s-1",
    "ELECTRON/S": "electron s-1", "ELECTRONS/S": "electron s-1", "JY": "Jy", "ELECTRONS": "electron", "MJY/SR": "MJy sr-1",
}  # fmt: skip

_COPIED = {
    "instrument": "INSTRUME", "detector": "DETECTOR", "subarray": "SUBARRAY", "exp_type": "EXP_TYPE",
}  # fmt: skip

_NUMBERS = {
    "frame_time": ("TFRAME", float), "group_interval": ("TGROUP", float), "n_groups": ("NGROUPS", int),
    "n_frames": ("NFRAMES", int), "group_gap": ("GROUPGAP", int), "n_integrations": ("NINTS", int),
    "gain_factor": ("GAINFACT", float), "x_start": ("SUBSTRT1", int), "y_start": ("SUBSTRT2", int),
    "n_samples": ("NSAMPLES", int),
}  # fmt: skip


def cards(header: Any) -> dict[str, Any]:
    """Return the cards of an astropy header as plain numbers and texts.

    Comments, history and empty values are left out, so the result fits into JSON.
    """
    found: dict[str, Any] = {}
    for key, value in header.items():
        if key in ("", "COMMENT", "HISTORY"):
            continue
        if isinstance(value, bool | int | float | str) and not _unreadable(value):
            found[str(key)] = value
    return found


def _unreadable(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def unit(text: Any, fallback: str) -> str:
    """Return a FITS unit in tsoxr's spelling; an unknown one stays as it is.

    Examples
    --------
    >>> unit("DN/s", "1"), unit("MJy/sr", "1"), unit("mJy", "1"), unit(None, "DN s-1")
    ('DN s-1', 'MJy sr-1', 'mJy', 'DN s-1')
    """
    text = str(text if text is not None else "").strip()
    if not text:
        return fallback
    if text in ("MJy", "mJy"):
        return text
    return _UNITS.get(text.upper(), text)


def check_time_series(primary: Mapping[str, Any], where: str) -> None:
    """Raise unless the exposure is a time series.

    Raises
    ------
    SchemaError
        For an exposure whose type and TSOVISIT say otherwise, an acquisition image of a
        time-series visit, or a striped readout whose clocks tsoxr does not know.
    """
    exp_type, visit = str(primary.get("EXP_TYPE", "")).upper(), primary.get("TSOVISIT")
    n_integrations = primary.get("NINTS")
    named = exp_type in TIME_SERIES_TYPES
    said = f"EXP_TYPE={exp_type!r}, TSOVISIT={visit}, NINTS={n_integrations}"
    if not named and visit is not True:
        raise SchemaError(
            f"{where}: not a time series ({said}); tsoxr reads {', '.join(TIME_SERIES_TYPES)}, and "
            "other types where TSOVISIT is true; leave this file out"
        )
    if not named and n_integrations == 1:
        raise SchemaError(
            f"{where}: a single integration of a time-series visit ({said}), probably the target "
            "acquisition; leave this file out"
        )
    if "STRIPE" in str(primary.get("SUBARRAY", "")).upper():
        raise SchemaError(
            f"{where}: subarray {primary['SUBARRAY']!r} is read in stripes, at times that differ from "
            "stripe to stripe; tsoxr does not read such exposures"
        )


def attributes(
    primary: Mapping[str, Any],
    sci: Mapping[str, Any],
    *,
    kind: str,
    where: str,
    shape: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return the Dataset attributes that follow from the headers.

    Parameters
    ----------
    primary, sci : mapping
        Cards of the primary header and of the science extension.
    kind : str
        Product kind.
    where : str
        Name of the file, for messages.
    shape : (ny, nx), optional
        Size of the subarray; needed for products with detector axes.

    Returns
    -------
    dict
        Names of `tsoxr.schema.ATTRIBUTES`; what the header lacks is absent.

    Raises
    ------
    SchemaError
        For detector products whose header does not give the direction of reading.
    """
    attrs: dict[str, Any] = {
        "tso_kind": kind,
        "tso_schema": schema.SCHEMA_VERSION,
        "tso_history": "[]",
    }
    mode = modes.match(dict(primary))
    if mode is not None:
        attrs["tso_mode"] = mode.name
    attrs |= {
        name: str(primary[key]).strip().upper() for name, key in _COPIED.items() if primary.get(key)
    }
    attrs |= {
        n: cast(primary[k]) for n, (k, cast) in _NUMBERS.items() if primary.get(k) is not None
    }
    target = primary.get("TARGNAME") or primary.get("TARGPROP")
    if target:
        attrs["target"] = str(target).strip()
    if str(primary.get("S_GANSCL", "")).upper() == "COMPLETE":
        attrs["gain_scaled"] = 1
    if shape is not None:
        attrs |= _roles(mode, sci, where) | _reading(primary, shape, where)
    attrs["fits_header"] = json.dumps(
        {"PRIMARY": dict(primary), "SCI": dict(sci)}, ensure_ascii=False
    )
    return attrs


def _roles(mode: modes.Mode | None, sci: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return which axis is dispersion: the header's DISPAXIS where there is one, else the mode."""
    said = _AXES.get(int(sci.get("DISPAXIS") or 0))
    known = mode.dispersion_dim if mode is not None else None
    if mode is not None and mode.imaging:
        said = None
    if said is not None and known is not None and said != known:
        warnings.warn(
            f"{where}: DISPAXIS says that the dispersion runs along {said}, mode {mode.name} along {known}; "
            "the header is followed",
            TsoWarning,
            stacklevel=2,
        )
    if said is None and known is None:
        warnings.warn(
            f"{where}: none of tsoxr's modes, and no DISPAXIS; the dispersion is taken to run along x",
            TsoWarning,
            stacklevel=2,
        )
    dispersion = said or known or "x"
    return {"dispersion_dim": dispersion, "spatial_dim": "y" if dispersion == "x" else "x"}


def _reading(primary: Mapping[str, Any], shape: tuple[int, int], where: str) -> dict[str, Any]:
    fast, slow = int(primary.get("FASTAXIS") or 0), int(primary.get("SLOWAXIS") or 0)
    if {abs(fast), abs(slow)} != {1, 2}:
        raise SchemaError(
            f"{where}: FASTAXIS={primary.get('FASTAXIS')}, SLOWAXIS={primary.get('SLOWAXIS')} do not say in "
            "which direction the detector is read; one of them must be 1 or -1, the other 2 or -2"
        )
    sizes = {"y": shape[0], "x": shape[1]}
    fast_dim, slow_dim = _AXES[abs(fast)], _AXES[abs(slow)]
    return {
        "fast_dim": fast_dim,
        "slow_dim": slow_dim,
        "fast_direction": 1 if fast > 0 else -1,
        "slow_direction": 1 if slow > 0 else -1,
        "n_outputs": readout.n_outputs(primary, sizes[fast_dim], sizes[slow_dim]),
    }
