"""Flag samples that do not fit between their neighbours in time.

Hits that the ramps did not show, bad fits and passing artefacts change a pixel for one
integration. A search in time finds them whatever the shape of the spectrum, and a bad pixel
that is always the same is left to `flag_bad_pixels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq, summary
from tsoxr.errors import TsoError
from tsoxr.kernels import outliers_search as kernel
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _outliers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_outliers"]

MIN_INTEGRATIONS = 3
"""With two, nothing says which one is wrong."""
NIKOLOV_WINDOW = 5
"""Two integrations before and two after."""
TESTS = {
    "combined": kernel.BY_BOTH,
    "running_median": kernel.BY_TIME,
    "neighbours": kernel.BY_TIME,
    "space": kernel.BY_SPACE,
}


@step(kind="rates", needs=("rate", "rate_error", "dq"))
def flag_outliers(
    ds: xr.Dataset,
    *,
    method: str = "combined",
    sigma: float = 4.2,
    window: int = 11,
    grow: float = 2.5,
    n_iterations: int = 2,
) -> xr.Dataset:
    """Flag samples that do not fit between their neighbours in time.

    Light and shift of each frame are measured on its bright pixels and taken off first, so that
    neither a transit nor a jittering spectrum is an outlier. Each sample is then compared
    with those of its pixel in the nearest integrations, in units of a noise that is predicted
    and measured. A step that lasts is not an outlier. Data are not changed. Segments of
    a file make no difference: neighbours are taken across their borders.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. Samples
        already marked unusable are neither tested nor used.
    method : {"combined", "running_median", "neighbours", "space"}
        ``"running_median"``: against the median of the window. ``"neighbours"``: of two
        integrations before and two after [1]_, with a noise that is measured alone.
        ``"space"``: against the median image, and against the eight pixels around in the
        residual (a Laplacian, [2]_); it sees hits that glow on for longer than the window, and takes
        lasting steps for outliers where these are short against the series. ``"combined"``:
        ``"running_median"``, and ``"space"`` for samples with fewer than two usable neighbours.
    sigma : float
        Threshold in standard deviations, for both signs.
    window : int
        Integrations in the window, the tested one included; at the ends of the series it is
        moved inward. No more than there are; 5 with ``"neighbours"``.
    grow : float
        Pixels beside an outlier (up, down, left, right) are flagged too where they deviate by so
        many standard deviations to the same side: charge of a hit spreads. 0 switches it off.
    n_iterations : int
        Rounds of the search; later ones leave out what earlier ones found.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq`` gains ``OUTLIER``. Adds ``flag_outliers_count`` (time),
        ``flag_outliers_fraction`` (y, x) and ``flag_outliers_noise_ratio`` (y, x), the noise in time that
        was taken over ``rate_error``. With one or two integrations there is nothing to
        compare: unchanged, with a note.

    Raises
    ------
    ValueError
        For an unknown method, a threshold that is not positive, a window below 3, a negative
        ``grow`` or no iteration.

    Notes
    -----
    A frame is ``D = f M + a dM/dy + b dM/dx`` with the median frame M. More than half of the
    neighbours must lie beyond the threshold on the same side, which is the test against their
    median. The noise is ``rate_error`` times a factor that pixels of similar error share, the median
    of ``1.21 median |(v_t-1 + v_t+1) / 2 - v_t|`` over their error; pixels that scatter more have
    their own. What is found and what is not is measured in the documentation, page "Outliers and
    bad pixels".

    References
    ----------
    .. [1] Nikolov et al. (2014), MNRAS 437, 46.
    .. [2] van Dokkum (2001), PASP 113, 1420.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> hit = rates.rate.where(rates.time != rates.time[5], rates.rate + 1e5)
    >>> int(rates.assign(rate=hit[:, :1]).tso.flag_outliers().flag_outliers_count[5])
    512
    """
    _check(method, sigma, window, grow, n_iterations)
    n_time = ds.sizes["time"]
    if n_time < MIN_INTEGRATIONS:
        note(f"{n_time} integrations: nothing to compare with, data unchanged")
        return ds
    if method == "neighbours":
        window = NIKOLOV_WINDOW
    if window > n_time:
        note(f"the window is limited to the {n_time} integrations that there are")
        window = n_time
    frames = _outliers.frames(ds)
    factors = _outliers.width_factors(
        frames, total=method == "space", predicted=method != "neighbours"
    )
    search = _outliers.Search(
        float(sigma), int(window), int(n_iterations), TESTS[method], float(grow)
    )
    found = _outliers.found_in(frames, factors, search) != 0
    return ds.assign(
        dq=dq.set_flag(ds["dq"], found.transpose(*ds["dq"].dims), "OUTLIER"),
        flag_outliers_count=_labelled(found.sum(("y", "x")), "int32", "outliers in time"),
        flag_outliers_fraction=_labelled(
            found.sum("time") / n_time, "float32", "fraction of outliers in time"
        ),
        flag_outliers_noise_ratio=_labelled(
            factors.isel(factor=1 if method == "space" else 0), "float32", "noise over rate_error"
        ),
    )


def _check(method: str, sigma: float, window: int, grow: float, n_iterations: int) -> None:
    if method not in TESTS:
        raise ValueError(
            f"flag_outliers: method={method!r}; it takes {', '.join(map(repr, TESTS))}; "
            "use method='combined'"
        )
    if not sigma > 0 or not grow >= 0:
        raise ValueError(
            f"flag_outliers: sigma={sigma}, grow={grow}; sigma must be positive, usually 4 to 10, "
            "and grow 0 or more, usually 2.5"
        )
    if window < MIN_INTEGRATIONS or window != int(window):
        raise ValueError(
            f"flag_outliers: window={window}; it is a number of integrations, at least 3"
        )
    if n_iterations < 1 or n_iterations != int(n_iterations):
        raise ValueError(
            f"flag_outliers: n_iterations={n_iterations}; it must be at least 1, a whole number"
        )


def _labelled(array: xr.DataArray, dtype: str, long_name: str) -> xr.DataArray:
    return array.astype(dtype).drop_attrs(deep=False).assign_attrs(units="1", long_name=long_name)


@diagnostic(flag_outliers)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the flagged fraction against time; without ``ax`` also where, and the noise taken.

    A trace that shows in the map of flags, or a transit in the curve, means that the threshold is too
    low for the noise; a pixel that is flagged in many integrations is a bad pixel.
    """
    if "flag_outliers_count" not in ds:
        raise TsoError(
            "plot.flag_outliers: no outliers were sought; see the note of the step in ds.tso.history"
        )
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, middle, below) = plt.subplots(3, 1, figsize=(7.5, 7.4), layout="constrained")
        style.flag_map(middle, ds["flag_outliers_fraction"], label="flagged fraction in time")
        ratio = ds["flag_outliers_noise_ratio"].transpose("y", "x").compute()
        extent = style.edges(ds)
        style.image(
            below, ratio, extent=extent, label="noise / rate_error", signed=True, center=1.0
        )
        below.set(xlabel="x [pix]", ylabel="y [pix]")
        below.set_title(f"median {float(np.nanmedian(ratio)):.2f}; white: as predicted", fontsize=9)
    style.shade_transit(ax, ds)
    count = np.asarray(ds["flag_outliers_count"])
    share = 1e6 * count / (ds.sizes["y"] * ds.sizes["x"])
    ax.plot(style.hours(ds), share, ".", ms=4, color=style.COLORS["data"])
    ax.axhline(share.mean(), color=style.COLORS["after"], lw=1, label=f"mean: {share.mean():.0f}")
    noise = 1e6 * summary.noise_share(float(summary.parameter(ds, "flag_outliers", "sigma")))
    ax.axhline(
        noise, color=style.COLORS["model"], lw=1, ls="--", label=f"noise alone: at most {noise:.0f}"
    )
    ax.legend(fontsize="small", ncol=2, loc="upper right")
    ax.set(xlabel="time since start [h]", ylabel="flagged pixels [ppm]")
    ax.set_ylim(0, 1.3 * max(share.max(), noise))
    ax.set_title(f"{count.sum()} samples in {count.size} integrations", fontsize=9)
    return ax
