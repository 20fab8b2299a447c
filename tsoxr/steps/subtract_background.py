"""Subtract the background beside the spectrum from each line of constant wavelength.

Sky, thermal light, residual dark and what is left of the 1/f noise are constant, or change
straight, along a line of constant wavelength over the few pixels of a profile. Their level is
measured on the pixels of the same line that the spectrum does not reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import TsoError
from tsoxr.kernels import background as kernel
from tsoxr.kernels.ridge import follow_ridge
from tsoxr.lazy import static_from_sample
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _levels, _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_background"]

CLIP = 5.0
"""Samples of an integration that changed by more sigma against their line are hits."""


@step(kind="rates", needs=("rate", "rate_error", "dq"), adds=("background_level", "level_variance"))
def subtract_background(
    ds: xr.Dataset, *, half_width: float | None = None, order: int = 0, darkest: float = 1.0
) -> xr.Dataset:
    """Subtract the background beside the spectrum from each line of wavelength.

    The pixels are chosen once, from the median frame: those farther than ``half_width``
    from the spectrum that do not stand out of their line. The level of an integration is
    their mean, or a straight line through them; flagged samples and hits are left out
    without a bias, because what is averaged is the change against the median frame.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. The
        spectrum lies at ``trace_center`` if that is known, otherwise on the strongest path
        of light through the median frame.
    half_width : float, optional
        Pixels up to this distance from the spectrum are left out. A quarter of the frame
        if not given: 8 of 32 rows in NIRSpec, where the slit ends.
    order : {0, 1}
        Mean, or straight line across dispersion.
    darkest : float
        Part of the remaining pixels of each line that is used, from the darkest in the
        median frame on; below 1 where other orders and contaminants cover much of a line.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the level subtracted from ``rate``, the coordinate
        ``background_level`` (time), DN s-1, its mean over wavelength, and
        ``level_variance`` (dispersion), DN2 s-2, the variance of the level of one
        integration at the spectrum, which replaces an earlier one; what was known of the
        levels of lines along the spectrum is kept in ``level_factor``. Adds ``subtract_background_level`` (time, dispersion) and
        ``subtract_background_region`` (spatial, dispersion). Imaging modes are returned
        unchanged: `photometry` has its annulus.

    Raises
    ------
    ValueError
        For a region that leaves no pixels, an order other than 0 and 1, or a part outside
        0 to 1.
    TsoError
        When no line has three background pixels; for lazy data when they are computed.

    Notes
    -----
    A line with fewer than three pixels takes its level from its neighbours, interpolated
    along dispersion. The wings of the profile that reach the region are subtracted too:
    on a real NIRSpec PRISM frame 1e-4 of a line's light per pixel at 8 to 9 pixels from the
    trace and below 2e-5 beyond (so less than 0.1 % of the light), but 0.5 % per pixel at 4
    to 5 pixels. The loss is the same in all integrations and cancels in relative light
    curves. Order 1 costs noise where the region lies on one side only.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> rates.tso.subtract_background().background_level.dims
    ('time',)
    """
    if _rates.is_imaging(ds):
        note("an imaging mode has no lines of constant wavelength: data unchanged")
        return ds
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if half_width is None:
        half_width = derived(half_width=max(3.0, ds.sizes[space] / 4))
    _check(float(half_width), order, darkest, ds.sizes[space])
    error = _rates.typical_error(ds).transpose(space, along)
    median = _rates.median_frame(ds).transpose(space, along)
    center = _center(ds, median, error)
    region = static_from_sample(
        lambda median, center: _region(median, center, float(half_width), float(darkest)),
        median, center, dims=(space, along), dtype="f8",
    )  # fmt: skip
    level, slope = _measured(ds, region, center, order)
    variance = static_from_sample(
        lambda error, region, center: kernel.fill_lines(
            kernel.level_variance(error, region, center, order)[None]
        )[0],
        error, region, center, dims=(along,),
    )  # fmt: skip
    model = level
    if order == 1:
        away = np.arange(ds.sizes[space]) - center.expand_dims({space: ds.sizes[space]}, -1)
        model = level + slope * away.astype("f4")
    return _assembled(ds, model, level, variance, region)


def _check(half_width: float, order: int, darkest: float, n_space: int) -> None:
    n_left = n_space - (2 * int(half_width) + 1)
    if not half_width >= 0 or n_left < kernel.MIN_PIXELS:
        raise ValueError(
            f"subtract_background: half_width={half_width:g} leaves {max(n_left, 0)} of {n_space} pixels "
            f"across dispersion; at least {kernel.MIN_PIXELS} are needed; give a smaller half_width"
        )
    if order not in (0, 1):
        raise ValueError(
            f"subtract_background: order={order!r}; it must be 0 (mean) or 1 (straight line)"
        )
    if not 0 < darkest <= 1:
        raise ValueError(
            f"subtract_background: darkest={darkest}; it is a part, above 0 and at most 1"
        )


def _center(ds: xr.Dataset, median: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Return the index of the spectrum along the spatial dim, (dispersion,) float64."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if "trace_center" in ds.coords:
        center = ds["trace_center"].reset_coords(drop=True) - _rates.first_position(ds, space)
        return center.drop_vars(along, errors="ignore")
    reach = max(2.0, ds.sizes[space] / 16)

    def ridge(median: np.ndarray, error: np.ndarray) -> np.ndarray:
        return follow_ridge(median.astype(np.float64), error.astype(np.float64), reach)

    return static_from_sample(ridge, median, error, dims=(along,), dtype="f8")


def _region(
    median: np.ndarray, center: np.ndarray, half_width: float, darkest: float
) -> np.ndarray:
    region = kernel.background_region(median, center, half_width, darkest)
    if not np.isfinite(region).any():
        raise TsoError(
            f"subtract_background: no line has {kernel.MIN_PIXELS} usable pixels farther than "
            f"{half_width:g} from the spectrum; give a smaller half_width"
        )
    return region


def _measured(
    ds: xr.Dataset, region: xr.DataArray, center: xr.DataArray, order: int
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return level at the spectrum and slope of every line, (time, dispersion) float32."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]

    def levels(rate, error, flags, region, center):  # noqa: ANN001, ANN202 -- arrays, private
        bad = _rates.unusable(rate, error, flags)
        found = kernel.line_levels(rate, error, bad, region, center, order, CLIP)
        return tuple(kernel.fill_lines(part).astype("f4") for part in found)

    plane = [space, along]
    return xr.apply_ufunc(
        levels, ds["rate"], ds["rate_error"], ds["dq"], region, center,
        input_core_dims=[plane, plane, plane, plane, [along]],
        output_core_dims=[[along], [along]],
        dask="parallelized",
        output_dtypes=["f4", "f4"],
    )  # fmt: skip


def _assembled(
    ds: xr.Dataset,
    model: xr.DataArray,
    level: xr.DataArray,
    variance: xr.DataArray,
    region: xr.DataArray,
) -> xr.Dataset:
    rate = ds["rate"]
    level = level.reset_coords(drop=True).drop_attrs(deep=False)
    units = {"units": rate.attrs.get("units", "DN s-1")}
    mean = schema.label(
        level.mean(ds.attrs["dispersion_dim"]), "rates", "background_level", **units
    )
    inside = np.isfinite(region).astype("i1")
    squared = _levels.SQUARED.get(units["units"], "DN2 s-2")
    factor = _levels.factor_of_lines(ds)
    if factor is not None:
        factor = _levels.labelled(_levels.relative_to_background(ds, factor, inside), ds)
        ds = ds.drop_vars("level_factor", errors="ignore").assign(level_factor=factor)
    return ds.assign(
        rate=(rate - model).transpose(*rate.dims).astype("f4", copy=False).assign_attrs(rate.attrs),
        level_variance=schema.label(variance, "rates", "level_variance", units=squared),
        subtract_background_level=level.assign_attrs(
            long_name="background level at the spectrum", **units
        ),
        subtract_background_region=inside.assign_attrs(
            long_name="pixels that show background", units="1"
        ),
    ).assign_coords(background_level=mean.drop_vars(mean.coords).variable)


@diagnostic(subtract_background)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the level over time and wavelength, and without ``ax`` the region beside it."""
    if "subtract_background_level" not in ds:
        raise TsoError(
            "plot.subtract_background: nothing was subtracted; see the note of the step in ds.tso.history"
        )
    along = ds.attrs["dispersion_dim"]
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(2, 1, figsize=(8.0, 6.0), layout="constrained")
        _draw_region(ds, beside)
    level = ds["subtract_background_level"].transpose("time", along)
    place, when = np.asarray(ds[along]), style.hours(ds)
    half = 0.5 * (when[-1] - when[0]) / max(when.size - 1, 1)
    extent = (place[0] - 0.5, place[-1] + 0.5, when[0] - half, when[-1] + max(half, 1e-9))
    style.image(ax, level, extent=extent, label=style.label_of(level, "background"))
    ax.set(xlabel=f"{along} [pix]", ylabel="time since start [h]")
    return ax


def _draw_region(ds: xr.Dataset, ax: Axes) -> None:
    """Draw the median frame where the background was measured."""
    x, y = (np.asarray(ds[d]) for d in ("x", "y"))
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    image = np.asarray(_rates.median_frame(ds).transpose("y", "x"))
    inside = np.asarray(ds["subtract_background_region"].transpose("y", "x")) == 1
    label = style.label_of(ds["rate"], "median after subtraction")
    ax.set_facecolor("0.8")
    style.image(ax, np.where(inside, image, np.nan), extent=extent, label=label, signed=True)
    ax.set(xlabel="x [pix]", ylabel="y [pix]", title="grey: not used for the background")
