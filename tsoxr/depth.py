"""A first look at the depth: in-transit against out-of-transit, with a straight baseline."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.errors import SchemaError, TsoError

__all__ = ["spectrum"]


def spectrum(ds: xr.Dataset) -> xr.Dataset:
    """Return the mean in-transit depth of each light curve.

    Weighted least squares of flux = a + b t - c [in transit], channel by channel; the
    depth is c / a, with a the baseline at the middle of the transit. Its error follows from the
    predicted errors of the points, not from their scatter.

    Parameters
    ----------
    ds : xarray.Dataset
        Light curves with the coordinate ``in_transit`` (time).

    Returns
    -------
    xarray.Dataset
        ``depth``, ``depth_error`` (wavelength), ppm, kind ``spectrum``.

    Raises
    ------
    SchemaError
        For another kind, or without ``in_transit``.
    TsoError
        With no point in transit or fewer than three outside.
    """
    if schema.kind_of(ds) != "lightcurves":
        raise SchemaError(
            f"spectrum takes lightcurves; this Dataset is {schema.kind_of(ds)} (run .tso.bin() first)"
        )
    if "in_transit" not in ds.coords:
        raise SchemaError(
            "spectrum needs 'in_transit' (run .tso.mark_transit(t0=..., duration=...) first)"
        )
    inside = np.asarray(ds["in_transit"].values, dtype=bool)
    if not inside.any() or (~inside).sum() < 3:
        raise TsoError(
            f"spectrum: {inside.sum()} points in transit and {(~inside).sum()} outside; "
            "it needs at least 1 and 3; check t0 and duration"
        )
    flux = ds["flux"].transpose("time", "wavelength").values.astype(float)
    error = ds["flux_error"].transpose("time", "wavelength").values.astype(float)
    good = np.isfinite(flux) & (error > 0)
    good &= ~dq.has_flag(ds["dq"].transpose("time", "wavelength").values, "DO_NOT_USE", "OUTLIER")
    time = np.asarray(ds["time"].values, dtype=float)
    depth, depth_error = _box_depth(time - time[inside].mean(), inside, flux, error, good)
    return xr.Dataset(
        {
            "depth": (
                "wavelength",
                depth * 1e6,
                {"units": "ppm", "long_name": "mean in-transit depth"},
            ),
            "depth_error": (
                "wavelength",
                depth_error * 1e6,
                {"units": "ppm", "long_name": "error of the depth"},
            ),
        },
        coords={
            name: array
            for name, array in ds.coords.items()
            if array.dims in (("wavelength",), ("wavelength", "bound"))
        },
        attrs={**ds.attrs, "tso_kind": "spectrum", "depth_method": "box with linear baseline"},
    )


def _box_depth(
    time: np.ndarray, inside: np.ndarray, flux: np.ndarray, error: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the three-parameter normal equations of every channel at once.

    ``time``, ``inside`` (time,); the others (time, wavelength). Channels with too few
    points give NaN.
    """
    scale = np.ptp(time)
    design = np.stack([np.ones_like(time), time / scale, -inside.astype(float)])
    weight = np.where(good, 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
    normal = np.einsum("it,jt,tw->wij", design, design, weight)
    right = np.einsum("it,tw->wi", design, weight * np.where(good, flux, 0.0))
    ok = (good & inside[:, None]).any(0) & ((good & ~inside[:, None]).sum(0) >= 3)
    covariance = np.full_like(normal, np.nan)
    covariance[ok] = np.linalg.inv(normal[ok])
    a, _, c = np.einsum("wij,wj->iw", covariance, right)
    ratio = c / a
    variance = (
        covariance[:, 2, 2] - 2 * ratio * covariance[:, 0, 2] + ratio**2 * covariance[:, 0, 0]
    ) / a**2
    return ratio, np.sqrt(variance)
