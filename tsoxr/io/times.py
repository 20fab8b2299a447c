"""Mid-integration times, from the best clock that a product holds.

In order of preference: ``int_mid_BJD_TDB`` of the INT_TIMES table; ``TDB-MID`` of
spectral tables; ``int_mid_MJD_UTC``; ``MJD-AVG`` of spectral tables; the start of the
exposure and the cadence; the cadence alone. A clock with zeros, NaN, repeated or
decreasing times is passed over with a warning. All segments of an exposure use the same clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.io.readout import integration_interval

__all__ = [
    "CLOCK_ACCURACY",
    "SOURCES",
    "Clock",
    "attributes",
    "clock",
    "column",
    "common_source",
    "coordinate",
    "utc_coordinate",
]

SOURCES = ("int_mid_BJD_TDB", "TDB-MID", "int_mid_MJD_UTC", "MJD-AVG", "EXPSTART", "cadence")
"""Where times may come from, best first; the Dataset's attribute ``time_source`` names it."""

_SCALES = {"int_mid_BJD_TDB": "tdb", "TDB-MID": "tdb", "cadence": "none"}
_NAMES = {
    "tdb": "BMJD_TDB, mid-integration",
    "utc": "MJD_UTC, mid-integration (not barycentric)",
    "none": "time since the start of the exposure, mid-integration",
}
CLOCK_ACCURACY = (0.12, "offset of the observatory's clock, Shaw et al. 2025 (AJ 169)")
"""How far times may be off in absolute terms, s, and who measured it."""

_UTC_SOURCES = ("int_mid_MJD_UTC", "MJD-AVG")
_DAY = 86400.0
_JULIAN_DATE_OF_MJD_0 = 2400000.5


@dataclass(frozen=True)
class Clock:
    """The times of one file from each source that has them, and why others were passed over."""

    times: dict[str, np.ndarray]
    faults: dict[str, str] = field(default_factory=dict)


def column(table: np.ndarray | None, name: str, integrations: np.ndarray) -> np.ndarray | str:
    """Return a column of INT_TIMES for these integrations, or a sentence about why not.

    Parameters
    ----------
    table : numpy structured array or None
        INT_TIMES, names in upper case: the rows of the segment, or of the whole exposure.
    name : str
        Column.
    integrations : numpy.ndarray
        Absolute integration numbers of the file, (time,).
    """
    if table is None:
        return "the file has no INT_TIMES table"
    if len(table) == 0:
        return "INT_TIMES has no rows"
    absent = [n for n in ("integration_number", name) if n.upper() not in (table.dtype.names or ())]
    if absent:
        return f"INT_TIMES has no column {absent[0]}"
    numbers = np.asarray(table["INTEGRATION_NUMBER"], dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    place = np.searchsorted(numbers[order], integrations)
    found = place < len(order)
    found[found] = numbers[order][place[found]] == integrations[found]
    if found.all():
        return np.asarray(table[name.upper()], dtype=np.float64)[order][place]
    if len(table) == len(integrations) and np.array_equal(
        numbers - numbers[0], integrations - integrations[0]
    ):
        return np.asarray(
            table[name.upper()], dtype=np.float64
        )  # numbered from the start of the segment
    absent = integrations[~found]
    return (
        f"INT_TIMES holds integrations {numbers.min()} to {numbers.max()} but not {absent.size} of those "
        f"in the file ({absent[0]} to {absent[-1]})"
    )


def clock(
    header: Mapping[str, Any], integrations: np.ndarray, columns: Mapping[str, np.ndarray | str]
) -> Clock:
    """Collect the usable times of one file.

    Parameters
    ----------
    header : mapping
        Cards of the primary header.
    integrations : numpy.ndarray
        Absolute integration numbers, (time,).
    columns : mapping
        Source to times in days, or to why there are none.
    """
    times: dict[str, np.ndarray] = {}
    faults: dict[str, str] = {}
    for name, values in columns.items():
        fault = values if isinstance(values, str) else _fault(values)
        if fault is None and not isinstance(values, str):
            offset = _JULIAN_DATE_OF_MJD_0 if np.median(values) > 2.4e6 else 0.0
            times[name] = np.asarray(values, dtype=np.float64) - offset
        else:
            faults[name] = str(fault)
    interval = integration_interval(header)
    frame = float(header.get("TFRAME") or 0)
    step = interval if interval is not None else 1.0
    elapsed = ((integrations - 1) * step + (step - frame) / 2) / _DAY
    start = header.get("EXPSTART")
    if start and interval is not None:
        times["EXPSTART"] = float(start) + elapsed
    else:
        absent = [k for k in ("EXPSTART", "TFRAME", "NGROUPS") if not header.get(k)]
        faults["EXPSTART"] = f"the header has no {' and no '.join(absent)}"
    times["cadence"] = elapsed
    return Clock(times, faults)


def _fault(values: np.ndarray) -> str | None:
    """Return what makes a column of times unusable."""
    values = np.asarray(values, dtype=np.float64)
    n = values.size
    if not np.isfinite(values).all():
        return f"is NaN for {int((~np.isfinite(values)).sum())} of {n} integrations"
    if (values == 0).any():
        return f"is zero for {int((values == 0).sum())} of {n} integrations"
    steps = np.diff(values)
    if (steps == 0).any():
        return f"repeats {int((steps == 0).sum())} of its {n} times"
    if (steps < 0).any():
        return f"goes back {int((steps < 0).sum())} times in {n} integrations"
    return None


def common_source(clocks: Sequence[Clock]) -> tuple[str, str | None]:
    """Return the best source that every file has, and what to warn of (``None`` if nothing).

    Falling back from one barycentric clock to another is no reason to warn.
    """
    source = next(s for s in SOURCES if all(s in c.times for c in clocks))
    if _SCALES.get(source) == "tdb":
        return source, None
    faults = {name: fault for c in clocks for name, fault in c.faults.items()}
    before = [n for n in SOURCES[: SOURCES.index(source)] if n in faults]
    why = "; ".join(dict.fromkeys(_sentence(n, faults[n]) for n in before))
    used = {
        "EXPSTART": "times are built from EXPSTART and the cadence (UTC, not barycentric)",
        "cadence": "times count from the start of the exposure with the cadence (1 s if unknown)",
    }.get(source, f"{source} is used instead (UTC, not barycentric: up to 8.5 minutes away)")
    return source, f"{why}; {used}"


def _sentence(name: str, fault: str) -> str:
    return f"{name} {fault}" if fault.startswith(("is ", "repeats", "goes")) else fault


def coordinate(times: np.ndarray, source: str) -> xr.DataArray:
    """Return the coordinate ``time`` (time), float64, d, labelled with its scale."""
    scale = _SCALES.get(source, "utc")
    array = xr.DataArray(np.asarray(times, dtype=np.float64), dims="time")
    return schema.label(array, "rates", "time", time_scale=scale, long_name=_NAMES[scale])


def attributes(source: str) -> dict[str, str | float]:
    """Return the attributes that say where the times come from and how good the clock is.

    ``time_source_accuracy`` (s) is absolute and not there for times that count from the start of
    the exposure. Within an exposure the clock counts samples of 10 us.
    """
    said: dict[str, str | float] = {"time_source": source}
    if _SCALES.get(source) != "none":
        said |= {
            "time_source_accuracy": CLOCK_ACCURACY[0],
            "time_source_accuracy_from": CLOCK_ACCURACY[1],
        }
    return said


def utc_coordinate(clock: Clock, source: str) -> dict[str, xr.DataArray]:
    """Return the coordinate ``time_utc`` (time), MJD UTC, beside barycentric times.

    It is empty where ``time`` is not barycentric, and NaN where the file has no usable UTC,
    so that all segments of an exposure have the same coordinates.
    """
    if _SCALES.get(source) != "tdb":
        return {}
    name = next((n for n in _UTC_SOURCES if n in clock.times), None)
    values = clock.times[name] if name else np.full_like(clock.times[source], np.nan)
    array = schema.label(xr.DataArray(values, dims="time"), "rates", "time_utc")
    return {"time_utc": array}
