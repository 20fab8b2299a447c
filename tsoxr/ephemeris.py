"""Where the observatory was, and how long light takes from there to the barycentre.

The reader of headers knows the vectors that the archive writes into the science extension:
JWST_X, _Y, _Z (km) and JWST_DX, _DY, _DZ (km/s), barycentric, at EPH_TIME (MJD). Away from
that moment the distance from the Earth is taken to change linearly, which for an orbit of
half a year and 0.8 million km is good to 0.1 ms over five hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsoxr.errors import TsoError

__all__ = ["Position", "light_travel_time", "observatory", "tdb_minus_utc"]

LIGHT_SPEED = 299792.458
"""km/s."""

L2_DISTANCE = 0.01
"""Distance of the Lagrange point from the Earth over that of the Earth from the Sun."""

DISTANCES = (0.9e6, 2.1e6)
"""How far from the Earth the observatory can be, km: L2 at 1.5 million, halo of 0.83 million."""

HALO_ACCELERATION = 1.6e-7
"""km/s2: an orbit of 168 days and 0.83 million km about L2."""

HEADER_ERROR, TABLE_ERROR, L2_ERROR, EARTH_ERROR = 0.01, 0.001, 2.8, 7.8
"""Light time, s: EPH_TIME does not say whether it is UTC or TDB, 69 s at 30 km/s; vectors of
a table; the halo's 0.83 million km; that and the 1.5 million km to L2."""


@dataclass(frozen=True)
class Position:
    """Barycentric positions (n, 3) in km, what they come from, and their error as light time."""

    xyz: np.ndarray
    source: str
    error: float


def light_travel_time(xyz: np.ndarray, ra: float, dec: float) -> np.ndarray:
    """Return the time that light needs from the observatory to the barycentre, s.

    Parameters
    ----------
    xyz : (n, 3) float64
        Observatory from the barycentre, km, ICRS.
    ra, dec : float
        Target, degrees. Positive when the observatory is on the target's side.
    """
    a, d = np.radians(ra), np.radians(dec)
    direction = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    return np.asarray(xyz @ direction / LIGHT_SPEED)


def tdb_minus_utc(utc: np.ndarray) -> np.ndarray:
    """Return TDB - UTC, s, of MJD UTC: leap seconds, 32.184 s and the terms below 2 ms."""
    from astropy.time import Time

    time = Time(np.asarray(utc, dtype=np.float64), format="mjd", scale="utc")
    tdb = time.tdb
    return np.asarray(((tdb.jd1 - time.jd1) + (tdb.jd2 - time.jd2)) * 86400.0)


def observatory(utc: np.ndarray, position: Any, header: Mapping[str, Any]) -> Position:
    """Return where the observatory was.

    Parameters
    ----------
    utc : (n,) float64
        MJD UTC.
    position : path, (times, xyz), {"header", "l2", "earth"} or None
        See `tsoxr.times.barycentric`.
    header : mapping
        Cards of the science extension.

    Raises
    ------
    TsoError
        When the position cannot be had, or is not that of the observatory.
    """
    if position is None:
        position = "header" if _has_vectors(header) else "l2"
    tdb = utc + tdb_minus_utc(utc) / 86400.0
    if isinstance(position, tuple):
        times, xyz = (np.asarray(p, dtype=np.float64) for p in position)
        return Position(_interpolated(tdb, times, xyz, "the table"), "table", TABLE_ERROR)
    if position == "earth":
        return Position(_earth(tdb)[0], "centre of the Earth", EARTH_ERROR)
    if position == "l2":
        return Position(_lagrange_point(tdb), "Lagrange point L2", L2_ERROR)
    if position == "header":
        xyz = _from_header(tdb, header)
        passed = np.abs(utc - float(header["EPH_TIME"])).max() * 86400.0
        bent = 0.5 * HALO_ACCELERATION * passed**2 / LIGHT_SPEED
        return Position(xyz, "vectors of the science header", float(np.hypot(HEADER_ERROR, bent)))
    path = Path(position).expanduser()
    times, xyz = _read_table(path)
    return Position(_interpolated(tdb, times, xyz, path.name), path.name, TABLE_ERROR)


def _earth(tdb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return position (km) and velocity (km/s) of the Earth, each (n, 3), barycentric."""
    from astropy.coordinates import get_body_barycentric_posvel
    from astropy.time import Time

    time = Time(tdb, format="mjd", scale="tdb")
    place, motion = get_body_barycentric_posvel("earth", time, ephemeris="builtin")
    return place.xyz.to_value("km").T, motion.xyz.to_value("km/s").T


def _lagrange_point(tdb: np.ndarray) -> np.ndarray:
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    earth = _earth(tdb)[0]
    time = Time(tdb, format="mjd", scale="tdb")
    sun = get_body_barycentric("sun", time, ephemeris="builtin").xyz.to_value("km").T
    return earth + L2_DISTANCE * (earth - sun)


def _has_vectors(header: Mapping[str, Any]) -> bool:
    values = [float(header.get(f"JWST_{axis}") or 0) for axis in "XYZ"]
    return bool(header.get("EPH_TIME")) and any(values)


def _from_header(tdb: np.ndarray, header: Mapping[str, Any]) -> np.ndarray:
    if not _has_vectors(header):
        raise TsoError(
            "barycentric: the science header has no vectors of the observatory (JWST_X, JWST_Y, JWST_Z "
            "at EPH_TIME); give position=, a table from JPL Horizons or 'l2'"
        )
    known_utc = np.array([float(header["EPH_TIME"])])
    known = known_utc + tdb_minus_utc(known_utc) / 86400.0
    place = np.array([float(header[f"JWST_{axis}"]) for axis in "XYZ"])
    earth, earth_motion = _earth(known)
    away = place - earth[0]
    _check_distance(away[None], "the science header")
    motion = np.array([float(header.get(f"JWST_D{axis}") or 0) for axis in "XYZ"])
    drift = motion - earth_motion[0] if motion.any() else np.zeros(3)
    passed = (tdb - known)[:, None] * 86400.0
    return _earth(tdb)[0] + away + drift * passed


def _interpolated(tdb: np.ndarray, times: np.ndarray, xyz: np.ndarray, name: str) -> np.ndarray:
    """Interpolate the distance from the Earth, which changes slowly, and add the Earth."""
    from scipy.interpolate import make_interp_spline

    if xyz.shape != (times.size, 3) or times.size < 2:
        raise TsoError(
            f"barycentric: {name} has times {times.shape} and vectors {xyz.shape}; it needs (n,) MJD TDB "
            "and (n, 3) km with at least two rows"
        )
    times = np.where(times > 2.4e6, times - 2400000.5, times)
    rank = np.argsort(times)
    times, xyz = times[rank], xyz[rank]
    if tdb.min() < times[0] or tdb.max() > times[-1]:
        raise TsoError(
            f"barycentric: {name} covers MJD {times[0]:.3f} to {times[-1]:.3f}, the data {tdb.min():.3f} to "
            f"{tdb.max():.3f}; give a table that covers them"
        )
    earth = _earth(times)[0]
    geocentric = np.median(np.linalg.norm(xyz, axis=1)) < DISTANCES[1]
    away = xyz if geocentric else xyz - earth
    _check_distance(away, name)
    spline = make_interp_spline(times, away, k=min(3, times.size - 1))
    return np.asarray(_earth(tdb)[0] + spline(tdb))


def _check_distance(away: np.ndarray, name: str) -> None:
    distance = np.linalg.norm(away, axis=1)
    low, high = DISTANCES
    if not ((distance > low) & (distance < high)).all():
        raise TsoError(
            f"barycentric: {name} puts the observatory {distance.min():.4g} to {distance.max():.4g} km from "
            f"the Earth; it must be {low:.1g} to {high:.2g}; vectors are km along the axes of the ICRS"
        )


def _read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read vectors of JPL Horizons ($$SOE to $$EOE) or rows of MJD TDB, x, y, z (km)."""
    if not path.is_file():
        raise TsoError(
            f"barycentric: there is no file {str(path)!r}; position is a table, 'header', 'l2' or 'earth'"
        )
    text = path.read_text(encoding="utf-8")
    if "$$SOE" not in text:
        rows = [r.replace(",", " ").split() for r in text.splitlines()]
        values = _numbers([r[:4] for r in rows if r and not r[0].startswith("#")], path.name)
        return values[:, 0], values[:, 1:4]
    body = text.partition("$$SOE")[2].partition("$$EOE")[0]
    rows = [[part.strip() for part in line.split(",")] for line in body.strip().splitlines()]
    if any(len(row) < 5 for row in rows):
        raise TsoError(
            f"barycentric: {path.name} is not a Horizons table of vectors in CSV; ask for VECTORS with "
            "CSV_FORMAT=YES, in km"
        )
    values = _numbers([[row[0], *row[2:5]] for row in rows], path.name)
    return values[:, 0] - 2400000.5, values[:, 1:4]


def _numbers(rows: list[list[str]], name: str) -> np.ndarray:
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        values = np.empty((0, 0))
    if values.ndim != 2 or values.shape[1] != 4:
        raise TsoError(
            f"barycentric: {name} has rows that are not four numbers; each needs MJD TDB, x, y, z in km"
        )
    return values
