"""One frame, or one spectrum, from all integrations of an exposure.

A robust mean or median with honest errors: to look at, to measure a trace or a stellar
spectrum on, to compare with other exposures. The light curve is made without it.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import checks, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import combination as kernel
from tsoxr.kernels.outliers import masked_median
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _combine_plot, _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["combine"]

METHODS = ("mean", "median")
TIMES = ("all", "out_of_transit")
NAMES = {"rates": ("rate", "rate_error"), "spectra": ("flux", "flux_error")}
MEDIAN_VARIANCE = np.pi / 2


@step(kind=("rates", "spectra"), needs=("dq",))
def combine(
    ds: xr.Dataset, *, method: str = "mean", times: str = "all", sigma: float = 5.0
) -> xr.Dataset:
    """Combine the integrations of an exposure into one frame or spectrum.

    Flagged samples and hits are left out. In their place stands what the pixel has
    otherwise, times the light of that integration, so that a sample that is missing in
    transit does not make the mean brighter.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates or spectra; lazy data are read in pieces when the result is computed.
    method : {"mean", "median"}
        The mean has the smaller error, the median takes a smaller part in what changes slowly:
        drifts, or a planet in front of the star for less than half of the time.
    times : {"all", "out_of_transit"}
        Which integrations; those out of transit are known after `mark_transit`.
    sigma : float
        Samples that differ from what is expected by more standard deviations are hits.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with one integration, at the mean time: ``rate`` or ``flux``, its 1 sigma
        error, and ``dq`` with the flags that all integrations have, and DO_NOT_USE where
        no sample is left. What else depends on time is left out; ``level_variance``,
        ``level_factor`` and ``level_error`` are those of the combined levels. Adds
        ``combine_n_used``, the number of integrations that a pixel rests on, and
        ``combine_pull``, the scatter of its samples over their errors.

    Raises
    ------
    ValueError
        For an unknown method or choice of times, or a limit that is not positive.
    TsoError
        Where no integration is left, or the transit is not marked.

    Notes
    -----
    The mean of n samples has the error sqrt(sum e^2) / n, the median of normal samples [1]_
    sqrt(pi n / 2) / sum(1 / e), for few samples less: 1.20 times that of the mean for 5,
    1.25 for many. Errors that integrations share (reference files, a constant background)
    do not fall with n and are not in it.

    References
    ----------
    .. [1] Kenney & Keeping (1962), Mathematics of Statistics 1, 211.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> star = rates.tso.combine(times="out_of_transit")
    >>> star.sizes["time"], float(star.rate_error.median()) < float(rates.rate_error.median()) / 3
    (1, True)
    """
    if method not in METHODS:
        raise ValueError(f"combine: method={method!r}; it must be one of {METHODS}")
    checks.check_positive("combine", {"sigma": sigma})
    chosen = _chosen(ds, times)
    if chosen.sizes["time"] < 3:
        note(f"{chosen.sizes['time']} integrations: hits cannot be told from light")
    names = NAMES[str(ds.attrs["tso_kind"])]
    sums = _sums(chosen, names, method, float(sigma))
    return _assembled(chosen, names, sums, method)


def _chosen(ds: xr.Dataset, times: str) -> xr.Dataset:
    if times not in TIMES:
        raise ValueError(f"combine: times={times!r}; it must be one of {TIMES}")
    if times == "all":
        chosen = ds
    elif "in_transit" not in ds.coords:
        raise TsoError(
            'combine: times="out_of_transit", and no transit is marked; run .tso.mark_transit() first'
        )
    else:
        inside = ds["in_transit"].variable.data
        if is_lazy(ds["in_transit"]):  # chunking makes small coordinates lazy too
            inside = inside.compute(scheduler="synchronous")
        chosen = ds.isel(time=np.flatnonzero(~np.asarray(inside, dtype=bool)))
    if chosen.sizes["time"] == 0:
        raise TsoError(
            f"combine: no integration is left with times={times!r}; at least 1 is needed"
        )
    return chosen


# ------------------------------------------------------------------ the sums


def _sums(
    ds: xr.Dataset, names: tuple[str, str], method: str, sigma: float
) -> dict[str, xr.DataArray]:
    """Return value, error, flags, number and pull of each pixel; lazy for lazy data."""
    cubes = [
        xr.DataArray(ds[n].variable.data, dims=ds[n].dims).transpose("time", ...)
        for n in (*names, "dq")
    ]
    dims = tuple(str(d) for d in cubes[0].dims[1:])
    pair = xr.DataArray(np.zeros(2), dims="pair")
    usual = static_from_sample(_usual_and_scatter, *cubes, pair, dims=("pair", *dims))
    run = _Pass(cubes, usual, method, sigma)
    dtypes = {"value": "f4", "error": "f4", "flags": "u4", "n_used": "i4", "pull": "f4"}
    if not any(is_lazy(c) for c in cubes):
        return {n: xr.DataArray(run(n), dims=dims) for n in dtypes}
    import dask
    import dask.array as da

    shape = cubes[0].shape[1:]
    made = {}
    for name, dtype in dtypes.items():
        task = dask.delayed(run, pure=False, traverse=False)(name)
        array = da.from_delayed(task, shape, dtype, meta=np.empty((0,) * len(shape), dtype))
        made[name] = xr.DataArray(array, dims=dims)
    return made


def _usual_and_scatter(
    value: np.ndarray, error: np.ndarray, flags: np.ndarray, _: np.ndarray
) -> np.ndarray:
    """Return the median of each pixel, and its scatter: not less than the usual error."""
    shape = (len(value), -1, value.shape[-1])
    bad = _rates.unusable(value, error, flags).reshape(shape)
    value, error = value.reshape(shape), error.reshape(shape)
    usual = masked_median(value, bad)
    spread = 1.4826 * masked_median(np.abs(value - usual), bad)
    scatter = np.fmax(masked_median(error, bad), spread)
    return np.stack([usual, scatter]).reshape(2, *flags.shape[1:])


class _Pass:
    """The pass over the data: chunk by chunk, once, whichever result is asked for first."""

    def __init__(
        self, cubes: list[xr.DataArray], usual: xr.DataArray, method: str, sigma: float
    ) -> None:
        self._given: Any = (cubes, usual, method, sigma)
        self._lock = threading.Lock()
        self._made: dict[str, np.ndarray] = {}

    def __call__(self, name: str) -> np.ndarray:
        with self._lock:
            if not self._made:
                self._made = _combined(*self._given)
                self._given = None
            return self._made[name]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _combined(
    cubes: list[xr.DataArray], usual: xr.DataArray, method: str, sigma: float
) -> dict[str, np.ndarray]:
    n_times, *shape = cubes[0].shape
    middle, scatter = (np.ascontiguousarray(a.ravel()) for a in usual.values)
    sums = kernel.new_sums(middle.size, median=method == "median")
    light = np.empty(n_times)
    for block in _blocks(cubes[0]):
        value, error, flags = (c[block].values for c in cubes)
        bad = _rates.unusable(value, error, flags)
        value, error, flags, bad = (a.reshape(len(a), -1) for a in (value, error, flags, bad))
        light[block] = kernel.light_of(value, bad, middle, scatter)
        kernel.add_block(
            value, error, bad, flags, light[block], middle, scatter, sigma,
            sums["moments"], sums["counts"], sums["common"],
        )  # fmt: skip
    moments = sums["moments"]
    if method == "mean":
        found = kernel.combined_mean(moments, middle, light)
    else:
        found = kernel.combined_median(moments, sums["counts"], middle, scatter, light)
    flags = sums["common"] | np.where(moments[:, 0] > 0, 0, 1).astype(np.uint32)
    made = {
        "value": found[0],
        "error": found[1],
        "flags": flags,
        "n_used": moments[:, 0].astype(np.int32),
        "pull": _pull(moments),
    }
    return {k: v.reshape(shape) for k, v in made.items()}


def _pull(moments: np.ndarray) -> np.ndarray:
    """Return the standard deviation of differences over their errors, NaN below two."""
    n = np.where(moments[:, 0] > 1, moments[:, 0], np.nan)
    square = (moments[:, 5] - moments[:, 4] ** 2 / n) / (n - 1)
    return np.sqrt(np.maximum(square, 0.0)).astype(np.float32)


def _blocks(cube: xr.DataArray) -> list[slice]:
    """Return the chunks along time; loaded data are one."""
    sizes = cube.chunksizes.get("time", (cube.sizes["time"],))
    ends = np.cumsum([0, *sizes])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]


# ------------------------------------------------------------------ the product


def _assembled(
    ds: xr.Dataset, names: tuple[str, str], sums: dict[str, xr.DataArray], method: str
) -> xr.Dataset:
    kind, n_times = str(ds.attrs["tso_kind"]), ds.sizes["time"]
    still = {n: v for n, v in ds.variables.items() if "time" not in v.dims}
    kept = {n: v for n, v in still.items() if n not in ds.coords and n != "pedestal"}
    share = MEDIAN_VARIANCE if method == "median" and n_times > 2 else 1.0
    for name, power in (("level_variance", 1.0), ("level_factor", 0.5), ("level_error", 0.5)):
        if name in kept:
            factor = np.asarray((share / n_times) ** power, kept[name].dtype)
            kept[name] = kept[name].copy(data=kept[name].data * factor)
    moment = np.atleast_1d(np.asarray(ds["time"].values, dtype=float).mean())
    coords = {n: v for n, v in still.items() if n in ds.coords}
    coords["time"] = xr.Variable(("time",), moment, ds["time"].attrs)
    units = ds[names[0]].attrs.get("units", "DN s-1")
    order = tuple(str(d) for d in ds[names[0]].dims)
    named = {names[0]: "value", names[1]: "error", "dq": "flags"}
    for name, source in named.items():
        array = sums[source].expand_dims("time").transpose(*order)
        more = {} if name == "dq" else {"units": units}
        kept[name] = schema.label(array.astype(ds[name].dtype), kind, name, **more).variable
    for name, text in (
        ("n_used", "integrations that the pixel rests on"),
        ("pull", "scatter of the samples over their errors"),
    ):
        array = sums[name].assign_attrs(long_name=text, units="1")
        kept[f"combine_{name}"] = array.variable
    return xr.Dataset(kept, coords, ds.attrs)


@diagnostic(combine)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the combined frame or spectrum, and without ``ax`` what its samples scatter by."""
    return _combine_plot.draw(ds, ax)
