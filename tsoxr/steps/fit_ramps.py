"""Fit a slope to every ramp, with weights that do not change in time.

The optimal weights of the groups follow from the covariance of their differences: photons
that arrive stay in all later groups, read noise does not. It needs the count rate, and a
rate taken from the ramp itself correlates weights with data and biases faint pixels; here it
is the pixel's median over the exposure. So the weights are known before the data are looked
at, they are the same for all integrations, and cannot respond to a transit.

Precision is within a fraction of a percent of ordinary least squares for most pixels. What is
gained is the right error bar, correct use of ramps cut by hits or saturation and of groups
that average frames, and a fit that is one weighted sum. Other estimators are there for
comparison and for data that this one does not suit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema, times
from tsoxr.kernels.ramp_scatter import median_in_time, point_to_point
from tsoxr.registry import carry_diagnostics, derived, diagnostic, note, step
from tsoxr.steps import _ramp_methods, _ramp_plot, _ramp_products, _ramps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fit_ramps"]

FEWEST = 8
"""Integrations from which the residual ramp is subtracted: a ramp must not be its own model."""


@step(
    kind="ramps",
    to="rates",
    needs=("ramp", "dq_group", "dq_pixel"),
    adds=("rate", "rate_error", "dq", "rate_read_variance"),
)
def fit_ramps(
    ds: xr.Dataset,
    *,
    method: str = "gls",
    gain: float | xr.DataArray | None = None,
    read_noise: float | xr.DataArray | None = None,
    sigma: float = 5.0,
    remove_residual_ramp: bool = False,
    statistics: bool | None = None,
    pedestal: bool = False,
    compute: bool = True,
) -> xr.Dataset:
    r"""Fit the count rate of every ramp, by default by generalised least squares.

    Each rate is a weighted sum of its groups. The weights are optimal for photon and read
    noise at the median rate of the pixel, and held for the whole exposure. Ramps with other
    flags than the pixel usually has (a hit, saturation in some integrations) get the
    optimal weights of what remains of them.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, ``dq_group`` and ``dq_pixel``. A
        difference of groups is left out where JUMP_DET is set on the later group, or
        SATURATED or DO_NOT_USE on either, or where a sample is not finite.
    method : {"gls", "likelihood", "ols", "last_minus_first", "differences"}
        ``"gls"``: as above. ``"likelihood"``: the covariance of each ramp follows its own
        rate, and differences that chi-squared is better off without are left out as hits.
        ``"ols"``: the weights of the STScI pipeline [2]_, which follow from each ramp's own
        rise, for comparison. ``"last_minus_first"``: all usable differences count alike;
        for bright pixels next to optimal, and its weights depend on nothing.
        ``"differences"``: the median of the usable differences, which a single hit among
        three or more hardly moves; for short exposures of few groups, where hits cannot be
        found. It costs up to 25 % in precision with photon noise and more with read noise,
        and lies below the mean by a sixth of an electron per group.
    gain : float or (y, x) array, optional
        electron DN-1. If not given, ``gain`` of the Dataset, else the detector's typical
        value.
    read_noise : float or (y, x) array, optional
        Noise of a single read, DN. If not given, ``read_noise`` of the Dataset, else one
        number measured from the group differences of the faintest pixels. 0 in an array
        counts as the rounding to integers, 0.29 DN.
    sigma : float
        Threshold of the hits that ``"likelihood"`` looks for: what chance exceeds as seldom
        as a Gaussian so many standard deviations, for one difference or for two in a row.
    remove_residual_ramp : bool
        Subtract the median over the integrations of the residuals of straight fits, which
        imperfect linearity leaves behind. Usual ramps keep their rates; those cut short are
        freed of the difference, and chi-squared of the curvature. For stars that vary by a
        few percent at most, from 8 integrations.
    statistics : bool, optional
        Add ``n_used`` and ``chi2``; they take half as much memory as the rates and errors.
        If not given, only ``"likelihood"`` adds them.
    pedestal : bool
        Add ``pedestal``, what the pixel held when group times begin.
    compute : bool
        Load the rates, and every diagnostic still pending, in one pass over lazy data.
        They take 12 bytes for each pixel of each integration: for ramps of few groups that
        is as much as the raw file. Otherwise the result is as lazy as ``ds``, later steps
        read the file again for what they need, and spectra fit into memory whatever the
        length of the exposure.

    Returns
    -------
    xarray.Dataset
        Rates: ``rate`` and ``rate_error`` (time, y, x), DN s-1; ``rate_read_variance``
        (y, x), DN2 s-2, the read-noise part of the variance for the pixel's usual flags;
        ``dq`` (time, y, x) with the flags of the pixel and of any of its groups, except
        that DO_NOT_USE of single groups does not count: it is set where no difference was
        usable or gain or read noise is unknown (with NO_GAIN_VALUE), where ``rate`` is NaN.
        ``gain`` and ``read_noise`` as they were used. ``slope_delay`` (y, x), s, how long after
        the middle of the integration the light lies that the usual slope measures (for ``"ols"``,
        ``"differences"`` and ``"likelihood"`` that of ``"gls"``). On request ``n_used``, differences
        used, ``chi2`` about the fit, with ``n_used - 1`` degrees of freedom, and
        ``pedestal``, DN (time, y, x). With ``stripe_variance`` on the ramps,
        ``level_variance`` along the slow axis, DN2 s-2: variance of the stripe level that
        all pixels of a line share. Adds ``fit_ramps_rate``, ``fit_ramps_error``,
        ``fit_ramps_scatter`` (y, x): median rate, predicted error, measured scatter from
        integration to integration; ``fit_ramps_residual`` (brightness, nth_group), DN, median
        departure from a straight ramp of the brightest 1 % of the pixels, the next 9 %
        and the rest; with ``statistics`` ``fit_ramps_chi2`` (y, x), mean in time per degree
        of freedom; with ``"likelihood"`` ``fit_ramps_hits`` (time,) and
        ``fit_ramps_hits_map`` (y, x), numbers of differences left out.

    Raises
    ------
    TsoError
        For integrations of one group; where nothing tells the gain or the read noise.
    ValueError
        For an unknown method, a gain or read noise that is not positive, or a threshold
        that is not.

    Notes
    -----
    For a rate :math:`a`, intervals :math:`\Delta t_j` and differences :math:`D_j` of successive
    groups with covariance :math:`C` [1]_,

    .. math:: \hat a = \frac{\Delta t^T C^{-1} D}{\Delta t^T C^{-1} \Delta t}, \qquad
        \sigma_{\hat a}^2 = \frac{1}{\Delta t^T C^{-1} \Delta t}, \qquad
        \chi^2 = (D - \hat a \Delta t)^T C^{-1} (D - \hat a \Delta t).

    The page on ramp fitting of the documentation derives :math:`C` and says how far to trust
    each method. Negative median rates count as zero in it. With ``"ols"``, ``"differences"``
    and ``"likelihood"``, ``rate_read_variance`` and ``level_variance`` are those of ``"gls"``.

    References
    ----------
    .. [1] Brandt (2024), PASP 136, 045004 and 045005.
    .. [2] Fixsen et al. (2000), PASP 112, 1350.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=5, seed=1)
    >>> ramps.tso.fit_ramps().rate.dims
    ('time', 'y', 'x')
    >>> rates = ramps.tso.fit_ramps(method="likelihood")
    >>> "chi2" in rates, rates.fit_ramps_hits.dims
    (True, ('time',))
    """
    _check(method, sigma)
    readout = _ramps.timing(ds, "fit_ramps")
    known = _ramps.detector(ds, gain=gain, read_noise=read_noise, where="fit_ramps")
    straighten = remove_residual_ramp and _enough(ds)
    clock = _ramps.group_times(ds) if pedestal else None
    wanted = method == "likelihood" if statistics is None else statistics
    fit = _ramp_methods.Fit(method, readout, float(sigma), wanted, clock)
    usual = _ramp_methods.Usual(readout, even=fit.even, full=straighten)
    sizes = {"brightness": len(_ramp_methods.CLASSES), "nth_group": ds.sizes["group"]}
    sizes["difference"] = ds.sizes["group"] - 1
    seen = _ramps.look(
        ds, known, readout, extra=usual, dims=usual.dims, dtypes=usual.dtypes, sizes=sizes
    )
    pattern, weights, variance, table, *residual = seen.extra
    dims = ("time", *_ramps.GROUP_DIMS)
    results = chunks.per_chunk(
        fit,
        *[ds["ramp"].transpose(*dims), ds["dq_group"].transpose(*dims)],
        *[weights, variance, pattern, seen.noise, known.gain, _dark_rate(ds)],
        *[_pixel_flags(ds, known), *residual],
        dims=("time", "y", "x"), dtypes=tuple(fit.dtypes.values()),
    )  # fmt: skip
    found = dict(zip(fit.dtypes, results, strict=True))
    new = _ramp_products.variables(ds, found, weights, variance, seen)
    new["gain"] = schema.label(known.gain.astype("f4"), "rates", "gain")
    new["fit_ramps_residual"] = table.assign_attrs(
        long_name="median departure from a straight ramp", units="DN"
    )
    new |= _slope_delay(ds, weights)
    out = carry_diagnostics(ds, _ramp_products.as_rates(ds, new))
    if compute:
        out = lazy.compute(out, label="fit_ramps")
        if known.read_noise is None:
            derived(read_noise=round(float(out["read_noise"]), 4))
    if method not in _ramp_methods.STATIC:
        out["fit_ramps_error"] = _over_time(
            _median, out["rate_error"], "predicted error of the count rate"
        )
    return out.assign(
        fit_ramps_scatter=_over_time(_scatter, out["rate"], "scatter of the count rate in time")
    )


def _slope_delay(ds: xr.Dataset, weights: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return when the usual slopes measure the light, unless the ramps tell or times are unknown."""
    late = None if "slope_delay" in ds.variables else times.delay_of_weights(ds, weights)
    return {} if late is None else {"slope_delay": schema.label(late, "rates", "slope_delay")}


def _over_time(
    func: Callable[[np.ndarray], np.ndarray], array: xr.DataArray, long_name: str
) -> xr.DataArray:
    """Return an image that a sample of the rates tells."""
    sampled = _ramps.whole_sample(array, n_sample=32)
    return _ramp_products.image(lazy.static_from_sample(func, *sampled, dims=("y", "x")), long_name)


def _check(method: str, sigma: float) -> None:
    if method not in _ramp_methods.METHODS:
        allowed = sorted(_ramp_methods.METHODS)
        raise ValueError(f"fit_ramps: method is {method!r}; it must be one of {allowed}")
    if not sigma > 0:
        raise ValueError(
            f"fit_ramps: sigma is {sigma}; it must be positive; use method='gls' for no search"
        )


def _enough(ds: xr.Dataset) -> bool:
    """Return whether a residual ramp can be told from the noise; say so if not."""
    n = ds.sizes["time"]
    if n < FEWEST:
        note(f"{n} integrations are too few for a residual ramp, {FEWEST} are needed: none removed")
    return n >= FEWEST


def _dark_rate(ds: xr.Dataset) -> xr.DataArray:
    """Return the rate of the dark signal that was subtracted, DN s-1."""
    if "dark_rate" not in ds:
        return xr.DataArray(0.0)
    bare = ds["dark_rate"].reset_coords(drop=True).drop_vars(["y", "x"], errors="ignore")
    return bare.transpose(..., "y", "x", missing_dims="ignore")


def _pixel_flags(ds: xr.Dataset, known: _ramps.Detector) -> xr.DataArray:
    """Return the flags of the pixels, with those added whose gain is not known."""
    flags = ds["dq_pixel"].reset_coords(drop=True).drop_vars(["y", "x"], errors="ignore")
    flags = flags.transpose("y", "x")
    return dq.set_flag(flags, ~(known.gain > 0), "NO_GAIN_VALUE") if known.gain.ndim else flags


def _median(error: np.ndarray) -> np.ndarray:
    return median_in_time(error.reshape(error.shape[0], -1)).reshape(error.shape[1:])


def _scatter(rate: np.ndarray) -> np.ndarray:
    return point_to_point(rate.reshape(rate.shape[0], -1)).reshape(rate.shape[1:])


@diagnostic(fit_ramps)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the rates, measured over predicted noise, and the departure from straight ramps.

    Noise above the prediction at all rates: read noise too low, or stripes remain. Above it for
    bright pixels: gain too high, or jitter moves light between pixels. Ramps that bend by
    more than their noise are not linear. With ``ax``, only the noise against the rate.
    """
    return _ramp_plot.draw(ds, ax)
