"""What the steps that look for outliers and bad pixels share: frames, widths, chunks with neighbours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.chunks import Unwrapped
from tsoxr.kernels import outliers as kernel
from tsoxr.kernels import outliers_frames, outliers_grow, outliers_search
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.steps import _rates

__all__ = [
    "DIMS", "Frames", "Search", "bare", "found_in", "frames", "unusable", "width_factors",
    "with_neighbours",
]  # fmt: skip

DIMS = ("time", "y", "x")
N_SCATTER = 96
"""Integrations that the scatter is estimated from: eight runs of twelve."""


@dataclass(frozen=True)
class Frames:
    """Rates as (time, y, x), what is left out of them, and what light and motion explain.

    ``templates`` (template, y, x) and ``fits`` (time, term) are those of
    `tsoxr.kernels.outliers_frames`; ``error_image`` (y, x) is the typical error.
    """

    rate: xr.DataArray
    error: xr.DataArray
    bad: xr.DataArray
    error_image: xr.DataArray
    templates: xr.DataArray
    fits: xr.DataArray

    @property
    def usual(self) -> xr.DataArray:
        """Median residual of the frames, a scalar."""
        n_time = self.fits.sizes["time"]
        return static_from_sample(
            lambda fits: np.median(fits[:, 3]), self.fits, dims=(), dtype="f8", n_sample=n_time
        )


def unusable(ds: xr.Dataset, flags: xr.DataArray, but: str = "") -> xr.DataArray:
    """Return which samples do not count, (time, y, x) bool; the flag ``but`` does not matter."""
    names = [n for n in dq.UNUSABLE_RATE if n != but]
    parts = (dq.has_flag(flags, *names), *(ds[n].transpose(*DIMS) for n in ("rate", "rate_error")))
    return xr.apply_ufunc(_invalid, *parts, dask="parallelized", output_dtypes=[bool])


def _invalid(flagged: np.ndarray, rate: np.ndarray, error: np.ndarray) -> np.ndarray:
    return flagged | ~np.isfinite(rate) | ~(error > 0)


def frames(ds: xr.Dataset, bad: xr.DataArray | None = None) -> Frames:
    """Return the frames of rates with their light and motion; lazy for lazy data."""
    rate, error = (ds[n].transpose(*DIMS) for n in ("rate", "rate_error"))
    bad = unusable(ds, ds["dq"].transpose(*DIMS)) if bad is None else bad
    median, typical = _rates.median_frame(ds), _rates.typical_error(ds)
    along = None if _rates.is_imaging(ds) else DIMS.index(str(ds.attrs["dispersion_dim"])) - 1
    five = xr.DataArray(np.zeros(5), dims="template")
    templates = static_from_sample(
        lambda m, e, _: outliers_frames.frame_templates(m, e, along),
        *(median, typical, five),
        dims=("template", "y", "x"),
    )
    fits = xr.apply_ufunc(
        outliers_frames.frame_fits,
        *(bare(a) for a in (rate, bad)),
        templates,
        input_core_dims=[["y", "x"], ["y", "x"], ["template", "y", "x"]],
        output_core_dims=[["term"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"term": 4}},
        output_dtypes=[np.float64],
    )
    return Frames(bare(rate), bare(error), bare(bad), bare(typical), templates, fits)


def bare(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates: nothing to align."""
    return xr.DataArray(array.variable.data, dims=array.dims)


def width_factors(given: Frames, *, total: bool, predicted: bool = True) -> xr.DataArray:
    """Return the noise of pixels over their predicted error, (factor, y, x).

    ``total`` measures the scatter about the median too; else the second repeats the first. Without
    ``predicted``, a pixel whose scatter is known has that, be it below the noise of pixels like it.
    """

    def made(rate: Any, bad: Any, fits: Any, index: Any, templates: Any, error: Any, _: Any) -> Any:
        noise = kernel.pixel_noise(rate, bad, fits, templates, index, total)
        factors = kernel.width_factors(noise, error, predicted)
        if not total:
            factors[1] = factors[0]
        return factors

    index = xr.DataArray(np.arange(given.rate.sizes["time"]), dims="time")
    two = xr.DataArray(np.zeros(2), dims="factor")
    arrays = (given.rate, given.bad, given.fits, index, given.templates, given.error_image, two)
    return static_from_sample(made, *arrays, dims=("factor", "y", "x"), n_sample=N_SCATTER)


@dataclass(frozen=True)
class Search:
    """The search in one run of frames, numpy in and out."""

    sigma: float
    window: int
    rounds: int
    test: int
    grow: float

    def margin(self, sizes: tuple[int, ...]) -> int:
        """Return the frames on either side of a chunk that decide about those within.

        At the ends of the series the window is moved inward and reaches farther; that stays in a
        chunk that is long enough.
        """
        half = self.window // 2
        return self.rounds * (half if min(sizes[0], sizes[-1]) > half else self.window)

    def __call__(
        self, rate: Any, error: Any, bad: Any, fits: Any, *static: Any, margin: int
    ) -> np.ndarray:
        """Return the marks of the frames without the margins, (time, y, x) int8."""
        templates, factors, usual = static
        arrays = (rate, error, bad, fits, np.concatenate([templates, factors]))
        usual = float(usual)
        limits = (self.sigma, self.window, self.rounds, margin // self.rounds, self.test, usual)
        found = outliers_search.search(*arrays, limits)
        if self.grow > 0:
            outliers_grow.grow(*arrays, (self.grow, self.window, margin, usual), found)
        return found[margin : len(found) - margin] if margin else found


def found_in(given: Frames, factors: xr.DataArray, search: Search) -> xr.DataArray:
    """Return the marks of all frames, (time, y, x) int8; chunks carry their neighbours along."""
    arrays = (given.rate, given.error, given.bad, given.fits)
    margin = search.margin(tuple(given.rate.chunk().chunksizes["time"]))
    static = (given.templates, factors, given.usual)
    return with_neighbours(search, arrays, (0.0, 1.0, True, np.nan), static, margin, dtype="i1")


def with_neighbours(
    func: Callable[..., np.ndarray],
    arrays: tuple[xr.DataArray, ...],
    outside: tuple[Any, ...],
    static: tuple[xr.DataArray, ...],
    margin: int,
    *,
    dtype: str,
    parts: int = 0,
) -> xr.DataArray:
    """Apply a function to runs of integrations that carry their neighbours along.

    Parameters
    ----------
    func : callable
        Numpy arrays in, those of ``arrays`` with ``margin=`` integrations more at both ends; (time, y, x)
        out, without these, after a first dim of ``parts`` where that is not 0.
    arrays : tuple of DataArray
        With dims (time, y, x) or (time, any).
    outside : tuple
        What each has beyond the ends of the series.
    static : tuple of DataArray
        Whole arrays, without time.
    margin : int
        Integrations that a chunk takes from each side. Loaded data need none.
    dtype : str
        Of the result.
    parts : int
        Size of the first dim of the result, "part".

    Returns
    -------
    xarray.DataArray
        Without coordinates; lazy if anything given is.
    """
    dims = ("part", *DIMS) if parts else DIMS
    if not any(is_lazy(a) for a in (*arrays, *static)):
        return xr.DataArray(func(*(a.values for a in (*arrays, *static)), margin=0), dims=dims)
    import dask.array as da
    from dask.array.overlap import overlap

    sizes, n_time = arrays[0].chunk().chunksizes, arrays[0].sizes["time"]
    if margin >= n_time:  # a short series is one chunk
        margin, arrays = 0, tuple(a.chunk(time=-1) for a in arrays)
    own = {d: n for d, n in sizes.items() if d != "time" or margin or len(n) == 1}
    pairs: list[Any] = []
    for a, value in zip(arrays, outside, strict=True):
        depth = {0: margin, **dict.fromkeys(range(1, a.ndim), 0)}
        edge = {0: value, **dict.fromkeys(range(1, a.ndim), "none")}
        data = a.chunk({d: own.get(d, a.chunksizes.get(d, -1)) for d in a.dims if d in sizes}).data
        pairs += [overlap(data, depth, edge) if margin else data, "tyx" if a.ndim == 3 else "tc"]
    for a, names in zip(static, ("iyx", "jyx", "kyx"), strict=False):
        pairs += [da.asarray(a.chunk(-1).data), names if a.ndim else ""]
    made = da.blockwise(
        Unwrapped(functools.partial(func, margin=margin)),
        "otyx" if parts else "tyx",
        *pairs,
        concatenate=None,
        dtype=dtype,
        new_axes={"o": parts} if parts else {},
        adjust_chunks={"t": lambda n: n - 2 * margin},
        align_arrays=False,
        meta=np.empty((0,) * len(dims), dtype),
    )
    return xr.DataArray(made, dims=dims).chunk({d: sizes[d] for d in DIMS})
