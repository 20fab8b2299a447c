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

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.kernels.stripe_design import LAYERS
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _stripes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["clean_1overf"]

VARIANCE_OF = {"mean": 1.0, "median": np.pi / 2.0}
"""Methods, and the variance of each for many Gaussian values over that of the mean."""

LARGEST_HALF_WIDTH = 20.0
"""Widest strip left out about the light where nobody says how wide, pixels."""

STRIPE, MASK, COUNT = "clean_1overf_stripe", "clean_1overf_mask", "clean_1overf_n_pixels"
VARIANCE = "clean_1overf_variance"
"""``stripe_variance`` once more: the plot needs it when the ramps are gone."""


@step(
    kind="ramps",
    needs=("ramp", "dq_group", "dq_pixel"),
    adds=("stripe_variance", STRIPE, MASK),
)
def clean_1overf(
    ds: xr.Dataset,
    *,
    method: str = "mean",
    trace_half_width: float | None = None,
    mask: xr.DataArray | None = None,
    scale: bool = True,
    min_pixels: int = 8,
    sigma: float = 5.0,
) -> xr.Dataset:
    r"""Subtract from each line, group and integration the drift of its background pixels.

    Lines run along ``fast_dim``; where several outputs read blocks of a line side by side,
    each block has a level of its own. The mask is the same for all integrations, and the
    time-median of each level stays in the data.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, bias subtracted, not yet linearized.
    method : {"mean", "median"}
        How the pixels of a line are averaged: mean without outliers, or median.
    trace_half_width : float, optional
        Pixels farther than this from the middle of the light measure the stripes, pixels
        across dispersion. If not given, a quarter of the subarray's height, at most 20.
    mask : xarray.DataArray, optional
        (y, x) bool, true for pixels to use; takes the place of the one found from the
        data. Bad and reference pixels are left out in any case.
    scale : bool
        Let the star's wings in the scene follow the light of each integration. Without
        it, a transit of depth d leaves d times the wings in the stripes, which is then
        taken off the spectrum.
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
        that stay in them); ``clean_1overf_stripe`` (time, group, slow_dim), DN, what was
        subtracted, with a dim ``output`` where there is more than one;
        ``clean_1overf_mask`` (y, x), ``clean_1overf_n_pixels`` and
        ``clean_1overf_variance`` (slow_dim). With a single integration the data are
        returned unchanged, with a note.

    Raises
    ------
    ValueError
        For an unknown method, a number that is not positive, or a mask of another shape.

    Notes
    -----
    The scene is :math:`A + u_g B + e_g (f_i - 1) W`: A and B are medians over n sampled
    integrations of the first group and of the rise to the last, W is what of B stands above
    the darkest tenth of the background at that wavelength, f the summed light of the bright
    pixels over its median, u and e are 1 in the last group and 0 in the first and at reset.
    The darkest tenth passes for sky: wings as wide as that are not followed.
    A part :math:`1.25/\sqrt{n}` of the stripes' rms stays in all integrations alike, where
    a light curve does not see it.

    References
    ----------
    .. [1] Schlawin et al. (2020), AJ 160, 231: 1/f noise of time series, row by row.
    .. [2] Rauscher (2015), PASP 127, 1144: the noise and its clocking.
    """
    numbers = {"trace_half_width": trace_half_width, "min_pixels": min_pixels, "sigma": sigma}
    _check(ds, method, numbers, mask)
    if trace_half_width is None:
        height = ds.sizes[ds.attrs["spatial_dim"]]
        trace_half_width = derived(trace_half_width=min(height / 4.0, LARGEST_HALF_WIDTH))
    if ds.sizes["time"] < 2:
        note("one integration: stripes cannot be told from what is static, data unchanged")
        return ds
    by_median = method == "median"
    scene = _stripes.design(
        ds, mask=mask, half_width=trace_half_width, min_pixels=min_pixels, sigma=sigma, scale=scale
    )
    static = _stripes.static_levels(ds, scene, by_median=by_median)
    ramp, stripe = _stripes.clean(ds, scene, static, by_median=by_median)
    usable = scene.isel(layer=LAYERS.index("usable")) > 0
    variance = _stripes.remaining_variance(ds, static, usable, VARIANCE_OF[method])
    own = {"ramp": schema.label(ramp, "ramps", "ramp"), "stripe_variance": variance}
    kept = variance.assign_attrs(long_name="variance of the level of one group", units="DN2")
    return ds.assign(own | _diagnostics(ds, stripe, usable) | {VARIANCE: kept})


def _check(ds: xr.Dataset, method: str, numbers: dict[str, float | None], mask: Any) -> None:
    if method not in VARIANCE_OF:
        raise ValueError(
            f"clean_1overf: method is {method!r}; it must be one of {tuple(VARIANCE_OF)}"
        )
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise ValueError(f"clean_1overf: {name} is {value}; it must be positive")
    wanted = {"y": ds.sizes["y"], "x": ds.sizes["x"]}
    if mask is not None and (not isinstance(mask, xr.DataArray) or dict(mask.sizes) != wanted):
        found = dict(mask.sizes) if isinstance(mask, xr.DataArray) else type(mask).__name__
        raise ValueError(
            f"clean_1overf: mask is {found}; give a DataArray of bool with sizes {wanted}"
        )


def _diagnostics(
    ds: xr.Dataset, stripe: xr.DataArray, usable: xr.DataArray
) -> dict[str, xr.DataArray]:
    count = usable.sum(ds.attrs["fast_dim"]).astype("i4")
    stripe = stripe.isel(output=0) if stripe.sizes["output"] == 1 else stripe
    return {
        STRIPE: stripe.assign_attrs(long_name="stripe subtracted", units="DN"),
        MASK: usable.transpose("y", "x").assign_attrs(
            long_name="pixels that measure the stripes", units="1"
        ),
        COUNT: count.assign_attrs(
            long_name="pixels that measure the stripe of a line", units="pix"
        ),
    }


def _stripe_data(ds: xr.Dataset, output: int) -> xr.DataArray:
    """Return the stripes of one output as change from group to group, (time, group, slow)."""
    stripe = ds[STRIPE].isel(output=output) if "output" in ds[STRIPE].dims else ds[STRIPE]
    stripe = stripe.transpose("time", "group", ds.attrs["slow_dim"]).compute()
    return stripe.diff("group") if stripe.sizes["group"] > 1 else stripe


def _spectrum_data(ds: xr.Dataset, output: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return frequency (Hz), one-sided power density of the stripes and of their error (DN2/Hz).

    The mean over all frames of the periodogram along the lines, in the order of their
    read-out; frequencies from one frame to two lines.
    """
    change = _stripe_data(ds, output).values
    reads = 2.0 if ds.sizes["group"] > 1 else 1.0
    n_lines = change.shape[-1]
    line_time = float(ds.attrs.get("frame_time", n_lines)) / n_lines
    power = np.abs(np.fft.rfft(change - change.mean(axis=-1, keepdims=True), axis=-1)) ** 2
    density = power.mean(axis=(0, 1))[1:] * 2.0 * line_time / n_lines / reads
    floor = float(ds[VARIANCE].median()) * 2.0 * line_time
    return np.fft.rfftfreq(n_lines, line_time)[1:], density, floor


@diagnostic(clean_1overf)
def _plot(ds: xr.Dataset, *, output: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the stripes that were removed and, on a figure of its own, their power spectrum.

    The image shows their change from the first to the last group. In the spectrum 1/f noise
    falls with frequency; where it meets the dashed line, what is removed is no more than
    the error of the estimate.
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
    rise = _stripe_data(ds, output).sum("group")
    extent = (lines[0] - 0.5, lines[-1] + 0.5, -0.5, n_time - 0.5)
    style.image(ax, rise, extent=extent, label="stripe, last - first group [DN]", signed=True)
    ax.set(xlabel=f"line: {slow} [pix]", ylabel="integration")
    if alone:
        _draw_spectrum(beside, *_spectrum_data(ds, output))
    return ax


def _draw_spectrum(ax: Axes, frequency: np.ndarray, density: np.ndarray, floor: float) -> None:
    ax.loglog(frequency, density, color=style.COLORS["after"], lw=1.0, label="stripes removed")
    ax.axhline(floor, color=style.COLORS["model"], ls="--", lw=1.0, label="error of the estimate")
    ax.set(xlabel="frequency on the clock [Hz]", ylabel="power density [DN2 / Hz]")
    ax.legend(fontsize="small")
