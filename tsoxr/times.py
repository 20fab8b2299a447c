"""When light was measured: times of pixels, the centre of a slope, times at the barycentre.

The archive's integration of a pixel begins with its reset and ends with its last read; `time`
is its middle for the pixel that is read first, and `read_offset` the delay of the others. A
slope is made of differences between reads, so light before the first read enters none of them:
the slope measures the light of a moment that lies later, by half a frame in the plainest case.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import lazy, schema
from tsoxr.dq import UNUSABLE, bits
from tsoxr.errors import SchemaError, TsoError

__all__ = ["barycentric", "delay_of_weights", "pixel_time", "slope_delay", "target"]

DAY = 86400.0


def pixel_time(ds: xr.Dataset, *, of: str = "integration") -> xr.DataArray:
    """Return when each pixel, or wavelength, was measured.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product with ``time`` and ``read_offset``.
    of : {"integration", "slope"}
        Moment of the pixel's ramp. ``"integration"`` is the middle from its reset to its
        last read, the archive's definition. ``"slope"`` is the mean time of the light that
        the slope measures (`slope_delay`), the time to fit a light curve with.

    Returns
    -------
    xarray.DataArray
        (time, y, x) or (time, wavelength), float64, d, in the scale of ``time``. Lazy where
        ``time`` or the delays are.

    Raises
    ------
    SchemaError
        Without ``read_offset``; for the slope also without what says when groups are read.
    ValueError
        For another ``of``.

    Notes
    -----
    ``time + rate (read_offset + slope_delay)``, the latter for the slope. Delays are seconds
    of the observatory; ``rate`` is how fast barycentric time runs against them, 1 within 1e-4
    as the observatory moves with 30 km/s, found from ``time`` and ``time_utc``. Without
    ``time_utc`` it is taken to be 1, which for the 5.5 s of a NIRISS frame costs up to 0.5 ms.
    A float64 of a date near MJD 60000 resolves 0.6 us.
    """
    if of not in ("integration", "slope"):
        raise ValueError(
            f"pixel_time: of is {of!r}; it must be 'integration' or 'slope'; see the times page"
        )
    if "read_offset" not in ds.variables:
        raise SchemaError(
            "pixel_time needs 'read_offset', which the reader derives from the header; "
            "this Dataset has none"
        )
    seconds = ds["read_offset"].astype("float64")
    if of == "slope":
        seconds = seconds + slope_delay(ds).astype("float64")
    seconds = seconds * _rate(ds)
    moment = "mid-integration time" if of == "integration" else "time of the slope"
    attrs = {**ds["time"].attrs, "units": "d", "long_name": f"{moment} of the pixel"}
    return (ds["time"] + seconds / DAY).rename("pixel_time").assign_attrs(attrs)


def _rate(ds: xr.Dataset) -> xr.DataArray | float:
    """Return the time that passes at the barycentre while one second passes at the observatory."""
    barycentric_scale = ds["time"].attrs.get("time_scale", "tdb") == "tdb"
    if "time_utc" not in ds.variables or not barycentric_scale or ds.sizes["time"] < 2:
        return 1.0
    own, utc = (
        xr.DataArray(ds[name].variable.data, dims="time").astype("float64")
        for name in ("time", "time_utc")
    )
    rate = (own[-1] - own[0]) / (utc[-1] - utc[0])
    return rate.where(abs(rate - 1.0) < 2e-4, 1.0)


def slope_delay(ds: xr.Dataset) -> xr.DataArray:
    """Return how long after the middle of its integration the light of a pixel's slope lies.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps, where the groups that a pixel usually keeps are counted; or a product made of
        them. ``slope_delay`` that the data have already is returned as it is: rates of
        `fit_ramps` have it from the weights of their slopes, spectra of `extract` and light
        curves from those rates.

    Returns
    -------
    xarray.DataArray
        Seconds. From ramps (y, x) float32, NaN where fewer than two groups are usable; lazy
        for lazy ramps. From other products that have none one number, as if all groups were
        used.

    Raises
    ------
    SchemaError
        Where neither ``group_time`` nor ``frame_time`` is known.

    Notes
    -----
    A slope ``sum_k w_k y_k`` of the groups ``y_k`` weighs light at time t after the reset by
    ``W(t) = sum of w_k over the groups read after t``. W is zero before the first read, as
    the weights sum to zero, and it is symmetric about the middle of the first and the last
    group used for every estimator whose weights are antisymmetric in time: least squares,
    last minus first, and the weights of a likelihood with constant light. So light that
    changes linearly is measured at exactly ``(t_first + t_last) / 2``. With all groups that
    is half a frame after the middle of the integration, whatever the number of groups and of
    frames in each; groups left out at the start (MIRI) or end (saturation) move it by half
    their duration.

    Groups count as used where at most half of a sample of the integrations has them flagged.
    """
    if "slope_delay" in ds.variables:
        return ds["slope_delay"]
    if "dq_group" in ds.variables and "group_time" in ds.variables:
        return _delay_of_ramps(ds)
    if "frame_time" not in ds.attrs:
        raise SchemaError(
            "slope_delay: there is neither 'group_time' nor the attribute 'frame_time'; open the data "
            "from their FITS files, or assign slope_delay (s) yourself"
        )
    dropped = int(_cards(ds, "PRIMARY").get("DRPFRMS1") or 0)
    value = 0.5 * (1 + dropped) * float(ds.attrs["frame_time"])
    return _delay(xr.DataArray(np.float64(value)))


def delay_of_weights(ds: xr.Dataset, weights: xr.DataArray) -> xr.DataArray | None:
    """Return the delay of slopes whose weights are known.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``group_time``.
    weights : xarray.DataArray
        (group, y, x), s-1: the slope is their sum with the groups.

    Returns
    -------
    xarray.DataArray or None
        (y, x) float32, s; NaN for pixels without a slope; lazy for lazy weights. ``None``
        where it is not known when groups are read.

    Notes
    -----
    Light ``f0 + f1 t`` fills group k to ``f0 t_k + f1 t_k^2 / 2``, so with ``sum w_k = 0`` and
    ``sum w_k t_k = 1`` the slope is ``f0 + f1 sum w_k t_k^2 / 2``: the light at that time. Frames
    averaged into a group add the same constant to each of its squares, which cancels. It is exact for
    light that changes linearly within an integration, whatever the weights.
    """
    if "group_time" not in ds.variables:
        return None

    def late(weight: np.ndarray, read: np.ndarray) -> np.ndarray:
        center = read.mean()
        rise, square = (
            np.einsum("...g,g->...", weight, (read - center) ** power, dtype=np.float64)
            for power in (1, 2)
        )
        rise = np.where(rise > 0.5, rise, np.nan)  # 1 where there is a slope, 0 where there is none
        return np.asarray(0.5 * square / rise + center - _middle(ds, read), dtype=np.float32)

    read = xr.DataArray(ds["group_time"].variable.data, dims="group").astype("float64")
    found = xr.apply_ufunc(
        late, weights, read, input_core_dims=[["group"], ["group"]], dask="parallelized",
        output_dtypes=[np.float32],
    )  # fmt: skip
    return _delay(found)


def _middle(ds: xr.Dataset, read: np.ndarray) -> float:
    """Return the middle of an integration, from its reset to its last read, s since the reset."""
    frames, frame = int(ds.attrs.get("n_frames", 1)), ds.attrs.get("frame_time")
    one = float(frame) if frame else 2.0 * float(read[0]) / (frames + 1)
    return 0.5 * (float(read[-1]) + 0.5 * (frames - 1) * one)


def _delay_of_ramps(ds: xr.Dataset) -> xr.DataArray:
    def usual(flags: np.ndarray, read: np.ndarray) -> np.ndarray:
        unusable = bits(*UNUSABLE, dtype=np.uint8)
        usable = np.mean((flags & unusable) != 0, axis=0) <= 0.5
        first = read[np.argmax(usable, axis=0)]
        last = read[::-1][np.argmax(usable[::-1], axis=0)]
        center = np.where(usable.sum(axis=0) > 1, 0.5 * (first + last), np.nan)
        return np.asarray(center - _middle(ds, read), dtype=np.float32)

    flags, read = ds["dq_group"], ds["group_time"].astype("float64")
    return _delay(lazy.static_from_sample(usual, flags, read, dims=("y", "x")))


def _delay(array: xr.DataArray) -> xr.DataArray:
    named = array.rename("slope_delay")
    named.attrs = {"units": "s", "long_name": "centre of the slope after mid-integration"}
    return named


def _cards(ds: xr.Dataset, extension: str) -> dict[str, Any]:
    return dict(json.loads(ds.attrs.get("fits_header", "{}")).get(extension, {}))


def target(ds: xr.Dataset) -> tuple[float, float] | None:
    """Return right ascension and declination of the target, degrees; ``None`` if not told."""
    cards = _cards(ds, "PRIMARY")
    ra, dec = cards.get("TARG_RA"), cards.get("TARG_DEC")
    if ra is None or dec is None or (float(ra) == 0 and float(dec) == 0):
        return None
    return float(ra), float(dec)


def barycentric(
    data: Any,
    *,
    ra: float | None = None,
    dec: float | None = None,
    position: str | Path | tuple[Any, Any] | None = None,
) -> xr.Dataset:
    """Return the times at the barycentre of the solar system, from UTC and an ephemeris.

    Parameters
    ----------
    data : xarray.Dataset or array
        A product of tsoxr, whose coordinate ``time_utc`` (or ``time``, where its scale is
        UTC) is taken; or MJD UTC, d.
    ra, dec : float, optional
        Target, ICRS degrees; TARG_RA and TARG_DEC of the header if not given.
    position : path, (times, xyz), {"header", "l2", "earth"}, optional
        Where the observatory was: a table of vectors from JPL Horizons or with four columns
        MJD TDB, x, y, z (km, ICRS, barycentric); the same as two arrays (n,) and (n, 3);
        the vectors in the science header; or the Lagrange point or the centre of the Earth.
        ``None`` takes the header where it has vectors, else ``"l2"``.

    Returns
    -------
    xarray.Dataset
        On ``time``: ``bmjd_tdb`` (d), ``light_travel_time`` and ``tdb_minus_utc`` (s), and,
        for data with barycentric times of their own, ``difference`` (s), theirs less ours.
        Attributes ``position``, ``position_error`` (s), ``ra``, ``dec``.

    Raises
    ------
    SchemaError
        For data without UTC.
    TsoError
        Without a target; for positions that are not those of the observatory, or a table
        that does not cover the times.

    Notes
    -----
    ``BJD = TDB(UTC) + r . n / c`` with the observatory at r from the barycentre and the
    target in direction n (Eastman et al. 2010, PASP 122, 935). The target is taken to be
    infinitely far, and the delay in the gravity of the Sun, some 10 us at the angles at which
    the observatory points, is left out. The Earth is where astropy's built-in ephemeris has it.

    Examples
    --------
    >>> import numpy as np
    >>> import tsoxr
    >>> table = tsoxr.times.barycentric(np.array([60000.0]), ra=217.3, dec=-3.4)
    >>> round(float(table.tdb_minus_utc[0]), 2)
    69.19
    """
    from tsoxr import ephemeris

    utc, own = _utc_of(data)
    is_product = isinstance(data, xr.Dataset)
    if ra is None or dec is None:
        found = target(data) if is_product else None
        if found is None:
            raise TsoError(
                f"barycentric: the target is not known (ra={ra}, dec={dec}, and no TARG_RA, TARG_DEC in "
                "the header); give ra and dec in degrees"
            )
        ra, dec = found
    where = ephemeris.observatory(utc, position, _cards(data, "SCI") if is_product else {})
    delay = ephemeris.light_travel_time(where.xyz, float(ra), float(dec))
    scale = ephemeris.tdb_minus_utc(utc)
    values = {
        "bmjd_tdb": (utc + (delay + scale) / DAY, "d", "BMJD_TDB, mid-integration"),
        "light_travel_time": (delay, "s", "light travel time to the barycentre"),
        "tdb_minus_utc": (scale, "s", "TDB - UTC"),
    }
    if own is not None:
        late = ((own - utc) * DAY) - (delay + scale)
        values["difference"] = (late, "s", "times of the data less those recomputed")
    variables = {
        name: ("time", v, {"units": unit, "long_name": text})
        for name, (v, unit, text) in values.items()
    }
    attrs = {
        "position": where.source,
        "position_error": where.error,
        "ra": float(ra),
        "dec": float(dec),
    }
    mjd = schema.label(xr.DataArray(utc, dims="time"), "rates", "time_utc")
    return xr.Dataset(variables, coords={"time_utc": mjd}, attrs=attrs)


def _utc_of(data: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return MJD UTC and, where the data have them, their own barycentric times."""
    if not isinstance(data, xr.Dataset):
        return np.atleast_1d(np.asarray(data, dtype=np.float64)), None
    time = np.asarray(data["time"].values, dtype=np.float64)
    scale = data["time"].attrs.get("time_scale", "tdb")
    if scale == "utc":
        return time, None
    if "time_utc" in data.variables:
        utc = np.asarray(data["time_utc"].values, dtype=np.float64)
        if np.isfinite(utc).all():
            return utc, time
    raise SchemaError(
        f"barycentric: the data have no UTC (time is in the scale {scale!r} and there is no usable "
        "'time_utc'); open the FITS files, or give MJD UTC as an array"
    )
