"""Flag cosmic-ray hits by comparing each group difference with its neighbours in time.

Tests along the ramp need four groups or more and mistake non-linearity for hits. A time
series offers a better comparison: the same difference of the same pixel a moment before and
after. Two groups suffice, imperfect linearity cancels, and a transit, which changes a
difference by less than a percent between integrations, passes unseen.

Run it after the stripes were removed: their noise is what limits the search in faint pixels.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, lazy, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import jumps as kernels
from tsoxr.kernels.ramp_noise import noise_ratio
from tsoxr.kernels.ramps import Readout
from tsoxr.plots import style
from tsoxr.registry import diagnostic, step
from tsoxr.steps import _ramps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_jumps"]

GROW_SIGMA = 3.0
"""Threshold for neighbours of a hit: four of them add 1 % false flags to each true one."""


@step(
    kind="ramps",
    needs=("ramp", "dq_group", "dq_pixel"),
    adds=("flag_jumps_count", "flag_jumps_map"),
)
def flag_jumps(
    ds: xr.Dataset,
    *,
    sigma: float = 6.0,
    window: int = 5,
    grow: int = 1,
    after: int = 0,
    gain: float | xr.DataArray | None = None,
    read_noise: float | xr.DataArray | None = None,
) -> xr.Dataset:
    """Flag group differences that stick out from their neighbours in time.

    Each difference of two groups is compared with the median of the same difference in the
    neighbouring integrations. The threshold is in units of the predicted noise of the
    difference (photons at the pixel's median rate, and read noise) and of that median; for
    pixels that scatter more from one integration to the next than predicted (jitter,
    telegraph noise, stripes), the measured scatter takes its place.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, ``dq_group`` and ``dq_pixel``. Three
        integrations or more.
    sigma : float
        Threshold, both signs. With 6, white noise gives fewer than one false flag in 1e8
        differences, and a hit of ten times the noise of a difference is found in 98 % of
        cases (one of seven times in half of them). 5 finds hits one sigma fainter, for 3e-7
        false flags, and more where the noise is not Gaussian.
    window : int
        Integrations compared, this one included: 5 takes two on each side. At the ends of
        the exposure the window is moved inward; shorter exposures are compared as a whole.
        With a larger window slow changes of the source matter more.
    grow : int
        How many pixels around a hit (up, down, left, right) are flagged too where they
        deviate by 3 sigma: charge diffuses, and what it leaves in a neighbour is part of
        the same event. Where groups average frames, this holds for the next and previous
        difference as well. 0 switches it off.
    after : int
        Groups flagged after each hit, for detectors that relax.
    gain : float or (y, x) array, optional
        electron DN-1. If not given, ``gain`` of the Dataset, else the detector's typical
        value.
    read_noise : float or (y, x) array, optional
        Noise of a single read, DN. If not given, ``read_noise`` of the Dataset, else one
        number measured from the group differences of the faintest pixels, which is added
        to the Dataset.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``JUMP_DET`` on the group in which the extra charge
        first appears. No flag is cleared, and flagged or unusable groups are neither
        tested nor compared with. Adds ``flag_jumps_count`` (time,) and ``flag_jumps_map``
        (y, x), numbers of flagged samples, and ``flag_jumps_noise_ratio`` (y, x), measured
        scatter over predicted noise of the differences.

    Raises
    ------
    TsoError
        With fewer than three integrations: there is nothing to compare with; where nothing
        tells the gain.
    ValueError
        For a threshold that is not positive, a window that is even or below 3, or a
        negative ``grow`` or ``after``.

    Notes
    -----
    The comparison in time follows [1]_, applied to differences of groups, so that a hit
    costs one difference and not the rest of the ramp. The first group of an integration
    has no difference before it: hits between reset and first group cannot be seen, and do
    not matter to the slope.

    References
    ----------
    .. [1] Nikolov et al. (2014), MNRAS 437, 46.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=6, seed=1)
    >>> flagged = ramps.tso.flag_jumps(sigma=8.0)
    >>> flagged.flag_jumps_count.dims
    ('time',)
    """
    _check(ds, sigma, window, grow, after)
    times = _ramps.timing(ds, "flag_jumps")
    known = _ramps.detector(ds, gain=gain, read_noise=read_noise, where="flag_jumps")
    seen = _ramps.sample(ds, known, times, extra=_Ratio(times), n_extra=2)
    ratio, excess = (seen.extra.isel(layer=i, drop=True) for i in (0, 1))
    noise = seen.noise * excess**2
    rule = kernels.Rule(
        int(window), float(sigma), min(GROW_SIGMA, float(sigma)), int(grow), int(after)
    )
    flags = _search(ds, noise, times, rule)
    dims = ("time", *_ramps.GROUP_DIMS)
    (count,) = chunks.per_chunk(
        _counted,
        ds["dq_group"].transpose(*dims),
        flags.transpose(*dims),
        dims=("time", "y", "x"),
        dtypes=("u2",),
    )
    new = {
        "dq_group": schema.label(flags, "ramps", "dq_group"),
        "flag_jumps_count": _total(count, ("y", "x"), "flagged samples of the integration"),
        "flag_jumps_map": _total(count, ("time",), "flagged samples of the pixel"),
        "flag_jumps_noise_ratio": ratio.assign_attrs(
            long_name="measured scatter / predicted noise of group differences", units="1"
        ),
    }
    if known.read_noise is None:
        new["read_noise"] = seen.read_noise
    return ds.assign(new)


def _check(ds: xr.Dataset, sigma: float, window: int, grow: int, after: int) -> None:
    if not sigma > 0 or grow < 0 or after < 0:
        raise ValueError(
            f"flag_jumps: sigma={sigma}, grow={grow}, after={after}; sigma must be positive, "
            "the others 0 or more"
        )
    if window < 3 or window % 2 == 0:
        raise ValueError(
            f"flag_jumps: window is {window}; it must be an odd number of integrations from 3"
        )
    if ds.sizes["time"] < 3:
        raise TsoError(
            f"flag_jumps: there are {ds.sizes['time']} integrations; the comparison in time needs 3 or "
            "more; leave this step out, or open the whole exposure"
        )


class _Ratio:
    """Measured over predicted scatter of a sample, as `_ramps.sample` calls it."""

    def __init__(self, times: Readout) -> None:
        self._times = times

    def __call__(self, ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return noise_ratio(ramp, dq_group, noise, self._times)


def _counted(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray]:
    return (kernels.count_new(before, after),)


def _total(count: xr.DataArray, dims: tuple[str, ...], long_name: str) -> xr.DataArray:
    return count.sum(dims, dtype="i4").assign_attrs(long_name=long_name, units="1")


def _search(
    ds: xr.Dataset, noise: xr.DataArray, times: Readout, rule: kernels.Rule
) -> xr.DataArray:
    """Return the flags with hits added, in the order of dims of ``dq_group``."""
    dims = ("time", *_ramps.GROUP_DIMS)
    ramp, flags = ds["ramp"].transpose(*dims), ds["dq_group"].transpose(*dims)
    arguments = {"readout": times, "rule": rule}
    if lazy.is_lazy(ramp) or lazy.is_lazy(flags):
        sizes = (ramp if lazy.is_lazy(ramp) else flags).chunksizes["time"]
        data = _search_chunks(
            ramp.chunk(time=sizes).data, flags.chunk(time=sizes).data, noise, arguments
        )
    else:
        data = kernels.find(ramp.values, flags.values, noise.values, **arguments)
    return flags.copy(data=data).transpose(*ds["dq_group"].dims)


def _search_chunks(ramp: Any, flags: Any, noise: xr.DataArray, arguments: dict[str, Any]) -> Any:
    """Search lazy data: each run of chunks with the integrations on either side that it needs.

    Runs have as many integrations as the window or more, so that little is read twice.
    """
    import dask.array as da

    n_times, window = ramp.shape[0], arguments["rule"].window
    static = da.asarray(noise.data)
    parts = []
    for first, last in _runs(ramp.chunks[0], window):
        start, stop = kernels.window_bounds(first, last, window, n_times)
        search = functools.partial(kernels.find, rows=(first - start, last - start), **arguments)
        parts.append(
            da.blockwise(
                chunks.Unwrapped(search), "tgyx",
                ramp[start:stop].rechunk(-1), "tgyx",
                flags[start:stop].rechunk(-1), "tgyx",
                static, "nyx",
                adjust_chunks={"t": last - first}, concatenate=None,
                dtype=np.uint8, meta=np.empty((0, 0, 0, 0), np.uint8),
            )
        )  # fmt: skip
    return da.concatenate(parts).rechunk({0: ramp.chunks[0]})


def _runs(chunks: tuple[int, ...], fewest: int) -> list[tuple[int, int]]:
    """Return bounds of runs of chunks that have ``fewest`` integrations or more, but the last."""
    runs, first, last = [], 0, 0
    for size in chunks:
        last += size
        if last - first >= fewest:
            runs.append((first, last))
            first = last
    return runs if first == last else [*runs, (first, last)]


def _share_data(ds: xr.Dataset) -> np.ndarray:
    """Return the percentage of the samples that are flagged, for each integration."""
    per_integration = ds["flag_jumps_map"].size * ds.attrs.get("n_groups", ds.sizes.get("group", 1))
    return 100.0 * np.asarray(ds["flag_jumps_count"].values, dtype=float) / per_integration


@diagnostic(flag_jumps)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the flagged fraction against time and, without ``ax``, where on the detector it lies.

    Hits are spread evenly over both. A trace that shows in the map, or a transit in the
    curve, means that the threshold is too low for the jitter.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(2, 1, figsize=(7.5, 5.4), layout="constrained")
        style.flag_map(beside, ds["flag_jumps_map"], label="flagged samples per pixel")
    share = _share_data(ds)
    mean = float(np.mean(share))
    style.shade_transit(ax, ds)
    ax.plot(style.hours(ds), share, ".", ms=4, color=style.COLORS["data"])
    ax.axhline(mean, lw=1, color=style.COLORS["model"], label=f"mean {mean:.2g}%")
    ax.set(xlabel="time since start [h]", ylabel="flagged samples [%]")
    ax.legend(loc="upper right")
    return ax
