"""Flag samples that do not fit between their neighbours in time.

Hits that the ramps did not show, bad fits and passing artefacts change a pixel for one
integration. A search in time finds them whatever the shape of the spectrum, and a bad pixel
that is always the same is left to `flag_bad_pixels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.errors import TsoError
from tsoxr.kernels import outliers as kernel
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_outliers"]

MIN_INTEGRATIONS = 3
"""With two, nothing says which one is wrong."""
N_SCATTER = 96
"""Integrations that the scatter is estimated from: eight runs of twelve."""


@step(kind="rates", needs=("rate", "rate_error", "dq"))
def flag_outliers(
    ds: xr.Dataset, *, sigma: float = 5.0, window: int = 11, n_iterations: int = 1
) -> xr.Dataset:
    """Flag samples that do not fit between their neighbours in time.

    Each sample is compared with those of its pixel in the nearest integrations, scaled by
    the light of the frames, so that the flagged fraction is the same in transit as out of
    it. The unit is the larger of the predicted error and the pixel's own scatter from
    integration to integration, so that pixels on the flanks of a jittering spectrum are not
    flagged. A step that lasts is not an outlier. Data are not changed. Segments of a file
    make no difference: neighbours are taken across their borders.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. Samples
        already marked unusable are neither tested nor used.
    sigma : float
        Threshold in standard deviations, for both signs.
    window : int
        Integrations in the window, the tested one included; at the ends of the series the
        nearest ones are taken. No more than there are.
    n_iterations : int
        Further rounds leave out what earlier ones found; useful where hits are frequent.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq`` gains ``OUTLIER``. Adds ``flag_outliers_count`` (time) and
        ``flag_outliers_fraction`` (y, x). With one or two integrations there is nothing to
        compare: unchanged, with a note.

    Raises
    ------
    ValueError
        For a threshold that is not positive, a window below 3 or no iteration.

    Notes
    -----
    With the default settings on simulated spectra with a 2 % transit, 98 % of hits between 6
    and 20 sigma are found (79 % of those between 6 and 7) and one sample in a million is
    flagged by chance. More than half of the neighbours must lie beyond the threshold on the
    same side, which is the test of [1]_ against their median. The scatter is ``1.21
    median |(D_t-1 + D_t+1) / 2 - D_t|``, lowered by its own uncertainty.

    References
    ----------
    .. [1] Nikolov et al. (2014), MNRAS 437, 46.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> hit = rates.rate.where(rates.time != rates.time[5], rates.rate + 1e5)
    >>> int(rates.assign(rate=hit[:, :1]).tso.flag_outliers().flag_outliers_count[5])
    512
    """
    _check(sigma, window, n_iterations)
    n_time = ds.sizes["time"]
    if n_time < MIN_INTEGRATIONS:
        note(f"{n_time} integrations: nothing to compare with, data unchanged")
        return ds
    if window > n_time:
        note(f"the window is limited to the {n_time} integrations that there are")
        window = n_time
    rate = ds["rate"].transpose("time", "y", "x")
    error = ds["rate_error"].transpose("time", "y", "x")
    bad = _rates.unusable(rate, error, ds["dq"].transpose("time", "y", "x"))
    light = _light(ds, rate, bad)
    index = xr.DataArray(np.arange(n_time), dims="time")
    scatter = static_from_sample(
        kernel.point_to_point_scatter, rate, bad, light, index, dims=("y", "x"), n_sample=N_SCATTER
    )
    found = _find(rate, error, bad, light, scatter, (float(sigma), int(window)))
    for _ in range(n_iterations - 1):
        found = found | _find(rate, error, bad | found, light, scatter, (float(sigma), int(window)))
    return ds.assign(
        dq=dq.set_flag(ds["dq"], found.transpose(*ds["dq"].dims), "OUTLIER"),
        flag_outliers_count=_labelled(found.sum(("y", "x")), "int32", "outliers in time"),
        flag_outliers_fraction=_labelled(
            found.sum("time") / n_time, "float32", "fraction of outliers in time"
        ),
    )


def _check(sigma: float, window: int, n_iterations: int) -> None:
    if not sigma > 0:
        raise ValueError(f"flag_outliers: sigma={sigma}; it must be positive, usually 4 to 10")
    if window < MIN_INTEGRATIONS or window != int(window):
        raise ValueError(
            f"flag_outliers: window={window}; it is a number of integrations, at least 3"
        )
    if n_iterations < 1:
        raise ValueError(f"flag_outliers: n_iterations={n_iterations}; it must be at least 1")


def _labelled(array: xr.DataArray, dtype: str, long_name: str) -> xr.DataArray:
    return array.astype(dtype).drop_attrs(deep=False).assign_attrs(units="1", long_name=long_name)


def _light(ds: xr.Dataset, rate: xr.DataArray, bad: xr.DataArray) -> xr.DataArray:
    """Return the brightness of each frame relative to the median frame, (time,)."""
    median, typical = _rates.median_frame(ds), _rates.typical_error(ds)
    bright = static_from_sample(kernel.bright_pixels, median, typical, dims=("y", "x"), dtype=bool)
    return xr.apply_ufunc(
        kernel.light_level,
        rate,
        bad,
        median,
        bright,
        input_core_dims=[["y", "x"]] * 4,
        dask="parallelized",
        output_dtypes=[np.float64],
    )


def _find(
    rate: xr.DataArray,
    error: xr.DataArray,
    bad: xr.DataArray,
    light: xr.DataArray,
    scatter: xr.DataArray,
    limits: tuple[float, int],
) -> xr.DataArray:
    """Return where outliers are, bool, with the dims and coordinates of ``rate``."""
    arrays = (rate, error, bad, light)
    if any(is_lazy(array) for array in (*arrays, scatter)):
        data = _find_lazily([_chunked(a, rate).data for a in arrays], scatter.chunk().data, limits)
    else:
        data = kernel.outliers(*(a.values for a in arrays), scatter.values, (*limits, 0))
    return xr.DataArray(
        data, dims=rate.dims, coords={d: rate[d] for d in rate.dims if d in rate.coords}
    )


def _chunked(array: xr.DataArray, like: xr.DataArray) -> xr.Variable:
    sizes = like.variable.chunk().chunksizes  # of the data alone: coordinates have their own
    return array.variable.chunk({d: n for d, n in sizes.items() if d in array.dims})


def _find_lazily(arrays: list[Any], scatter: Any, limits: tuple[float, int]) -> Any:
    """Apply the kernel to chunks that carry their neighbours along."""
    import dask.array as da
    from dask.array.overlap import overlap

    margin = limits[1] - 1
    outside = (0.0, 1.0, True, 1.0)  # beyond the ends: unusable, and a light to divide by
    padded = [
        overlap(a, {0: margin, 1: 0, 2: 0}, {0: value, 1: "none", 2: "none"})
        for a, value in zip(arrays, outside, strict=True)
    ]
    names = ("tyx", "tyx", "tyx", "t", "yx")
    pairs = [item for pair in zip((*padded, scatter), names, strict=True) for item in pair]
    found = da.blockwise(
        kernel.outliers,
        "tyx",
        *pairs,
        limits=(*limits, margin),
        dtype=bool,
        adjust_chunks={"t": lambda n: n - 2 * margin},
        align_arrays=False,
        meta=np.empty((0, 0, 0), bool),
    )
    return found.rechunk(arrays[0].chunks)


@diagnostic(flag_outliers)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the flagged fraction against time, and without ``ax`` a map beside it."""
    if "flag_outliers_count" not in ds:
        raise TsoError(
            "plot.flag_outliers: no outliers were sought; see the note of the step in ds.tso.history"
        )
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(2, 1, figsize=(7.5, 5.4), layout="constrained")
        style.flag_map(beside, ds["flag_outliers_fraction"], label="flagged fraction in time")
    style.shade_transit(ax, ds)
    share = ds["flag_outliers_count"] / (ds.sizes["y"] * ds.sizes["x"])
    ax.plot(style.hours(ds), 1e6 * np.asarray(share), ".", ms=4, color=style.COLORS["data"])
    ax.set(xlabel="time since start [h]", ylabel="flagged pixels [ppm]", ylim=(0, None))
    return ax
