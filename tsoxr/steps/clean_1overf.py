r"""Remove 1/f noise: the level that all pixels of a read-out line share.

The electronics drift while the detector is read, a line at a time, with a power spectrum
close to 1/f. Pixels of one line therefore share most of the drift, which shows as a stripe
of its own level in every group of every integration. Pixels that see no light of the star
measure it.

What is measured is the departure from a model of the scene: the median first group plus the
median rise of each pixel, in which the wings of the star follow its light. Hence neither the
sky, nor a transit seen in the wings, nor the bias pattern enter. The time-median of each
stripe is given back, so that the sky and all else that does not change in time stay in the
data.

A level is taken against each pixel's own first group. The reset leaves another charge in
each pixel of each integration (kTC noise, several times the read noise), which is the same in
all groups: it cancels in this difference and does not spoil the choice of outliers.
The default level is a mean without outliers and not a median, because the median of n
pixels has a variance of :math:`\pi\sigma^2/2n`, 1.57 times that of the mean, and because the
mean of the same pixels is a linear function of the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.kernels.stripe_design import LAYERS
from tsoxr.kernels.stripe_scene import SCENE
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import (
    _clock_stripes,
    _image_reach,
    _rate_stripes,
    _stripe_checks,
    _stripe_methods,
    _stripe_power,
    _stripes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["clean_1overf"]

LARGEST_HALF_WIDTH = 20.0
"""Widest strip left out about the light where nobody says how wide, pixels."""

STRIPE, MASK, COUNT = "clean_1overf_stripe", "clean_1overf_mask", "clean_1overf_n_pixels"
VARIANCE = "clean_1overf_variance"
"""``stripe_variance`` once more: it is there when the ramps are gone."""

POWER, FREQUENCY = "clean_1overf_power", "clean_1overf_frequency"
"""Power spectrum on the clock, before and after."""


@step(
    kind=("ramps", "rates"),
    adds=("stripe_variance", STRIPE, MASK),
)
def clean_1overf(
    ds: xr.Dataset,
    *,
    method: str = "mean",
    trace_half_width: float | None = None,
    mask: xr.DataArray | None = None,
    scale: bool = True,
    scaled_by: str = "wavelength",
    order: int = 1,
    min_pixels: int = 8,
    sigma: float = 5.0,
) -> xr.Dataset:
    r"""Subtract from each line, group and integration the drift that its pixels share.

    Lines run along ``fast_dim``; where several outputs read blocks of a line side by side,
    each block has a level of its own. The mask is the same for all integrations, and the
    time-median of each level stays in the data.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, bias subtracted, not yet linearized; or
        rates, where what is left of the stripes is one level per line and integration.
    method : {"mean", "median", "scaled", "polynomial", "odd_even", "fourier", "gp"}
        ``"mean"`` without outliers or ``"median"`` of the background pixels of a line;
        ``"scaled"``: all pixels, weighted with their noise, the star's light solved for;
        ``"polynomial"`` along the background of a line; ``"odd_even"``: a level for even and
        one for odd pixels of each line. ``"fourier"`` and ``"gp"``, of ramps only: the drift at
        each pixel, also within lines and across lines without background, from the clock.
    trace_half_width : float, optional
        Pixels farther than this from the middle of the light are background, pixels
        across dispersion. If not given, a quarter of the subarray's height, at most 20; for
        NIRCam images 15 in focus and 100 through the weak lens WLP8, which leaves small
        subarrays as they are (weights of `photometry` see to their lines).
    mask : xarray.DataArray, optional
        (y, x) bool, true for pixels to use; takes the place of the one found from the
        data. Bad and reference pixels are left out in any case.
    scale : bool
        Let the star's wings in the scene follow the light of each integration. Without
        it, a transit of depth d leaves d times the wings in the stripes, which is then
        taken off the spectrum. ``"scaled"`` follows it in any case.
    scaled_by : {"wavelength", "white", "line"}
        With ``"scaled"``, the star's light in each group is one factor for each wavelength
        (where lines run across dispersion, averaged over nine of them), one for all, or one
        for each line, which needs lines across dispersion.
    order : int
        Of the polynomial, 1 or 2.
    min_pixels : int
        A line with fewer pixels is left as it is. With eight, the noise that the estimate
        adds to an extraction over seven pixels stays below the white noise that is there.
    sigma : float
        Pixels farther than this from the rest of their line, in standard deviations, are
        left out.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32. Adds ``stripe_variance`` (slow_dim), DN2, the
        variance of the level of one group (for lines left as they are: of the stripes
        that stay in them), and, of lines along the spectrum, ``stripe_factor`` (slow_dim, output,
        level_mode), DN, a factor of the covariance of all levels; ``clean_1overf_stripe`` (time, group, slow_dim), DN, what was
        subtracted, with a dim ``output`` where there is more than one, or ``term`` where the
        method has several for a line, the mean over the line with ``"fourier"`` and ``"gp"``;
        ``clean_1overf_mask`` (y, x), ``clean_1overf_n_pixels`` and ``clean_1overf_variance``
        (slow_dim). Of rates, ``rate`` and ``level_variance`` are new. With a single integration the data are returned
        unchanged, with a note.

    Raises
    ------
    ImportError
        For method ``"gp"`` without the package celerite2.
    ValueError
        For ``"fourier"`` or ``"gp"`` with rates, an unknown method, a number that is not
        positive, an order other than 1 or 2, a factor per line where lines run along the
        spectrum, or a mask of another shape.

    Notes
    -----
    The scene is :math:`A + u_g B + e_g (f_i - 1) W`: A and B are medians over n sampled
    integrations of the first group and of the rise to the last, W is what of B stands above
    the darkest tenth of the background at that wavelength, f the summed light of the bright
    pixels over its median, u and e are 1 in the last group and 0 in the first and at reset.
    The darkest tenth passes for sky: wings as wide as that are not followed.
    A part :math:`1.25/\sqrt{n}` of the stripes' rms stays in all integrations alike, where
    a light curve does not see it.

    With ``"scaled"``, the rise :math:`e = D_g - D_0` of each pixel over its median is
    :math:`L + \delta\,\partial D/\partial f + n` with noise of variance
    :math:`a + b S + c S^2` (read-out, photons, and what the model misses), fitted to the
    scatter of the sampled integrations. Level and light :math:`\delta` are solved together, so
    that a transit of any colour leaves the levels alone. Across the spectrum, the level has the
    variance :math:`1/\sum v^{-1}` and little more. Along it, lines on the spectrum have no dark
    pixels: all lines and outputs are solved together, with shift and width of the spectrum
    free as well, and with the covariance of the levels that the dark lines show as a prior.

    ``"fourier"`` and ``"gp"`` take the residuals of the background in the order of read-out,
    for noise of density :math:`A^2/f` with A measured from differences along the clock, and
    estimate the drift at every pixel: cosines below 1136 Hz with that density as prior, or the
    mean of a Gaussian process, which needs celerite2, reaches higher frequencies and
    combines outputs by what they share. Use them where 1/f noise within lines matters: long
    lines, few background pixels. ``stripe_variance`` is then that of the mean of a line weighted
    with its light; of lines along the spectrum, ``stripe_factor`` is that of ``"mean"``.

    Where lines run across the spectrum, what a level has for itself beside the mean of its
    neighbours is subtracted in the part :math:`K / (K + N)` that leaves least, with K its
    variance and N that of the measurement, from the sampled integrations: stripes much weaker
    than what they are measured with stay as they are.

    References
    ----------
    .. [1] Schlawin et al. (2020), AJ 160, 231: 1/f noise of time series, row by row.
    .. [2] Rauscher (2015), PASP 127, 1144: the noise and its clocking.
    .. [3] Radica et al. (2023), MNRAS 524, 835: group-level stripes with a scaled median image.
    .. [4] Rybicki & Press (1992), ApJ 398, 169: minimum-variance estimates with a prior covariance.
    .. [5] Rauscher (2024), PASP 136, 015001: 1/f noise as masked, weighted Fourier series.
    .. [6] Foreman-Mackey et al. (2017), AJ 154, 220: Gaussian processes in linear time.
    """
    numbers = {"trace_half_width": trace_half_width, "min_pixels": min_pixels, "sigma": sigma}
    _stripe_checks.check(ds, method, numbers, mask)
    _stripe_checks.check_options(ds, method, scaled_by, order)
    if trace_half_width is None:
        widest = min(ds.sizes[ds.attrs["spatial_dim"]] / 4.0, LARGEST_HALF_WIDTH)
        of_lens = _image_reach.half_width_of(ds)
        trace_half_width = derived(trace_half_width=widest if of_lens is None else of_lens)
    if ds.sizes["time"] < 2:
        note("one integration: stripes cannot be told from what is static, data unchanged")
        return ds
    ramps = ds if schema.kind_of(ds) == "ramps" else _rate_stripes.as_ramps(ds)
    how = {"half_width": trace_half_width, "min_pixels": min_pixels, "sigma": sigma, "scale": scale}
    if method == "scaled" and ramps.sizes["group"] < 2:
        note("one group: rises cannot be measured, the mean of the background was taken")
        method = "mean"
    if method == "scaled":
        options = _stripes.design_options(ramps, **how | {"scale": True})
        design, scene = _stripe_methods.design_and_scene(ramps, mask, options)
        usable = scene.isel(part=SCENE.index("usable")) > 0
        chosen = _stripe_methods.from_all_pixels(
            ramps, design, scene, sigma=sigma, scaled_by=scaled_by
        )
    else:
        design = _stripes.design(ramps, mask=mask, **how)
        usable = design.isel(layer=LAYERS.index("usable")) > 0
    if method in _clock_stripes.METHODS:
        chosen = None
    elif method in _stripe_methods.VARIANCE_OF:
        chosen = _stripe_methods.averages(ramps, design, usable, method)
    elif method != "scaled":
        chosen = _stripe_methods.with_terms(
            ramps, design, usable, order if method == "polynomial" else None
        )
    if chosen is None:
        ramp, stripe, variance = _clock_stripes.clean(ramps, design, method)
        plain = _stripe_methods.averages(ramps, design, usable, "mean")
        errors = {"stripe_variance": variance} | _stripe_methods.factor_of(ramps, plain)
    else:
        ramp, stripe, errors = _stripe_methods.cleaned(ramps, design, chosen)
    units = ds["rate"].attrs.get("units", "DN s-1") if ramps is not ds else "DN"
    density, frequency = _stripe_power.power(
        ramps, ramp, design, "DN2 Hz-1" if units == "DN" else f"({units})2 Hz-1"
    )
    power = {POWER: density, FREQUENCY: frequency}
    if ramps is not ds:
        return _rate_stripes.finished(
            ds, ramp, errors, _diagnostics(ds, stripe.isel(group=1), usable) | power
        )
    own = {"ramp": schema.label(ramp, "ramps", "ramp"), **errors}
    ds = ds.drop_vars("stripe_factor", errors="ignore")
    kept = errors["stripe_variance"].assign_attrs(
        long_name="variance of the level of one group", units="DN2"
    )
    return ds.assign(own | _diagnostics(ds, stripe, usable) | power | {VARIANCE: kept})


def _diagnostics(
    ds: xr.Dataset, stripe: xr.DataArray, usable: xr.DataArray
) -> dict[str, xr.DataArray]:
    count = usable.sum(ds.attrs["fast_dim"]).astype("i4")
    n_outputs = _stripes.edges_of(ds).size - 1
    if stripe.sizes["term"] == n_outputs:
        stripe = stripe.rename(term="output") if n_outputs > 1 else stripe.isel(term=0)
    units = ds["rate"].attrs.get("units", "DN s-1") if "rate" in ds else "DN"
    return {
        STRIPE: stripe.assign_attrs(long_name="stripe subtracted", units=units),
        MASK: usable.transpose("y", "x").assign_attrs(
            long_name="pixels that measure the stripes", units="1"
        ),
        COUNT: count.assign_attrs(
            long_name="pixels that measure the stripe of a line", units="pix"
        ),
    }


def _stripe_data(ds: xr.Dataset, output: int) -> xr.DataArray:
    """Return the stripes of one output, last minus first group where there are several."""
    stripe, slow = ds[STRIPE], ds.attrs["slow_dim"]
    if "term" in stripe.dims:
        each = stripe.sizes["term"] // (_stripes.edges_of(ds).size - 1)
        stripe = stripe.isel(term=output * each)
    stripe = stripe.isel(output=output) if "output" in stripe.dims else stripe
    if stripe.sizes.get("group", 1) > 1:
        stripe = stripe.isel(group=-1) - stripe.isel(group=0)
    elif "group" in stripe.dims:
        stripe = stripe.isel(group=0)
    return stripe.transpose("time", slow).compute()


@diagnostic(clean_1overf)
def _plot(ds: xr.Dataset, *, output: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the stripes that were removed and, on a figure of its own, the power spectrum.

    The image shows their change from the first to the last group. The spectrum is that of the
    dark pixels, in the order of their read-out: 1/f noise rises towards low frequencies, and
    what is left afterwards should be flat. Peaks lie at multiples of the frequency of lines,
    where the mask repeats.
    """
    alone = ax is None
    if alone:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(
            1, 2, figsize=(10.0, 3.4), width_ratios=(3, 2), layout="constrained"
        )
    slow = ds.attrs["slow_dim"]
    if STRIPE not in ds:
        ax.text(0.5, 0.5, "one integration: data unchanged", ha="center", transform=ax.transAxes)
        return ax
    lines, n_time = np.asarray(ds[slow]), ds.sizes["time"]
    extent = (lines[0] - 0.5, lines[-1] + 0.5, -0.5, n_time - 0.5)
    units = ds[STRIPE].attrs.get("units", "DN")
    what = "stripe, last - first group" if "group" in ds[STRIPE].dims else "stripe"
    style.image(ax, _stripe_data(ds, output), extent=extent, label=f"{what} [{units}]", signed=True)
    ax.set(xlabel=f"line: {slow} [pix]", ylabel="integration")
    if alone:
        _draw_spectrum(beside, ds)
    return ax


def _draw_spectrum(ax: Axes, ds: xr.Dataset) -> None:
    power, frequency = ds[POWER].compute(), np.asarray(ds[FREQUENCY])
    for stage, values in zip(("before", "after"), power.values, strict=True):
        seen = np.isfinite(values) & (values > 0)
        ax.loglog(frequency[seen], values[seen], color=style.COLORS[stage], lw=1.2, label=stage)
    ax.set(xlabel="frequency on the clock [Hz]", ylabel=f"power density [{power.attrs['units']}]")
    ax.legend(fontsize="small")
