"""Sum the light of each wavelength: from rates to spectra.

One aperture, one profile and one set of weights serve all integrations. They follow the
trace without resampling, so no interpolation correlates or smooths the data, and the
spectrum of each integration is the same linear function of its pixels. Weights that were
made anew from each integration would follow the transit and the pointing; these cannot.

The optimal sum weights each pixel by the light expected in it over its variance; the box
sums all pixels alike. Both give the light inside the same aperture, so they agree but for
noise. The profile is measured on the data themselves (`tsoxr.kernels.profile`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.checks import check_positive
from tsoxr.errors import SchemaError, TsoError
from tsoxr.lazy import is_lazy
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import (
    _aperture_loss,
    _extract_plot,
    _extraction,
    _extraction_covariance,
    _levels,
    _moving,
    _rates,
    _rejection,
    _spectra,
)
from tsoxr.steps._extraction_methods import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["extract", "usual_half_width"]


@step(
    kind="rates",
    to="spectra",
    needs=("rate", "rate_error", "dq", "trace_center", "wavelength"),
    adds=("flux", "flux_error"),
    measured={"half_width": "aperture_half_width"},
)
def extract(  # noqa: PLR0913 -- each says one thing about the same sum
    ds: xr.Dataset,
    *,
    method: str = "optimal",
    half_width: float | None = None,
    order: int | None = None,
    profile_window: int | None = None,
    min_fraction: float = 0.5,
    use_replaced: bool = False,
    reject: float | None = None,
    move: str = "none",
    bin_pixels: float | None = None,
) -> xr.Dataset:
    """Sum the light of each wavelength in an aperture along the trace.

    Aperture, profile and weights do not depend on time, unless they are told to move. Pixels that are flagged or not
    finite in one integration are left out there, and the light that the profile expects in
    them is put in their place: they make no dip. The gain is applied here.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, ``dq``, ``trace_center``
        (dispersion), pix, and ``wavelength`` (y, x), um. ``gain`` (electron DN-1) makes
        electrons of DN; without it the detector's typical value does, with a note.
        ``level_variance`` and ``level_factor``, where a step before left them, enter the errors. With
        ``order_image`` from `separate_orders` the light of other orders is left out.
    method : {"optimal", "box", "tilted", "covariance", "psf"}
        Weights of least variance (Horne 1986), or a plain sum with fractional edges. ``"tilted"``
        has the weights of ``"optimal"`` with a profile that is smooth along the trace [2]_
        instead of along rows: better where the median frame is noisy and where the trace is steep.
        ``"covariance"`` has the profile of ``"optimal"`` and weights of least variance for noise that
        pixels share [3]_, measured from the data: 1/f noise, levels of lines. Worth it where
        these are much of the noise, with an aperture that reaches beyond the light. ``"psf"`` has the
        weights of ``"optimal"`` with one profile over the distance from the trace, finer than pixels,
        built from a sample of integrations and, after `track`, their motion [4]_.
    half_width : float, optional
        Half width of the aperture, pixels. Left out, that of `optimize_aperture`, else that of the
        mode, else twice the trace's full width at half maximum where `find_trace` has measured
        it, 4 otherwise.
    order : int, optional
        Spectral order; trace and wavelengths must be of the same one. Left out, it is theirs.
    profile_window : int, optional
        Window along dispersion, pixels, within which the profile is taken for a smooth
        function; left to the data, the trace moves by no more than half a pixel in it. Of
        ``"tilted"`` it is the distance of knots along the trace, 48 if not given.
    min_fraction : float
        A value that rests on less than this share of the light is flagged DO_NOT_USE.
    use_replaced : bool
        Take the values that `replace_bad_pixels` has put into pixels out of use, instead of
        leaving these out. Their light counts as estimated. Worth it for pixels that are lost at
        all times; see the page on outliers.
    reject : float, optional
        Leave out pixels that lie more than so many standard deviations off the profile in their
        integration, as hits of cosmic rays do; 5 is a good value. Left out, none are sought:
        `flag_outliers`, which compares in time, finds more of them where there are four integrations
        or more, and leaves little to find.
    move : {"none", "shift"}
        ``"shift"``: aperture, profile and weights follow ``trace_shift`` of `track`, and do not
        move where it is not finite. For light that moves by more than some hundredths of a pixel, where
        it can help and can harm: compare both, see the page on extraction.
    bin_pixels : float, optional
        Of ``"covariance"``, where lines lie along the spectrum: how many wavelengths will be summed. 1
        gives each wavelength its least noise, their number the white light; left out, a quarter of
        their number.

    Returns
    -------
    xarray.Dataset
        Spectra: ``flux`` and ``flux_error`` (time, wavelength), float32, electron s-1;
        ``dq`` (time, wavelength) with the informative flags of the aperture,
        FLUX_ESTIMATED where a part was estimated and DO_NOT_USE where too little
        remained; ``flux_estimated`` (time, wavelength), the share of the light that was estimated,
        replaced values included; ``n_pixels`` (wavelength); and ``level_error`` (wavelength, level_mode), errors
        that wavelengths share where levels were taken from lines along dispersion: the
        columns are independent of each other, and each is of one sign or the other at all
        wavelengths at once. Pixels without wavelength are left out. ``aperture_loss`` and ``aperture_loss_error``
        (wavelength) tell the share of the star's light outside of the aperture, out to infinity,
        and how well it is known; the flux is that inside. The coordinates ``read_offset``
        and, from rates of `fit_ramps`, ``slope_delay`` (wavelength), s, say when each wavelength was
        measured; ``ds.tso.pixel_time(of="slope")`` adds them up. Adds ``extract_image``,
        ``extract_profile`` and ``extract_weight`` (y, x), ``extract_estimated`` (time) and
        ``extract_estimated_share`` (wavelength), means of ``flux_estimated``, and ``extract_gain``
        (wavelength), electron DN-1 in the flux, ``extract_scatter`` (wavelength),
        scatter from point to point over error; with ``reject``, ``extract_rejected`` (time) too, the
        number of pixels; with ``"covariance"``, ``extract_correlation`` (wavelength), the mean
        correlation of two pixels of the aperture.

    Raises
    ------
    ValueError
        For an unknown method, a width or a fraction out of range.
    SchemaError
        Where trace or wavelengths are of another order or lie along other dims.
    TsoError
        Without integrations or any gain, and where no part of the trace lies inside the frame or has a wavelength.

    Notes
    -----
    flux = sum_u(w D) / sum_u(w P) over the usable pixels u, with w = P / V for the optimal
    sum [1]_ and w = 1 for the box; P is the profile, V the median variance of a pixel. The
    variance is sum w^2 e^2 of the sample's own errors e, plus (sum w)^2 times
    ``level_variance`` where that belongs to lines across dispersion.

    References
    ----------
    .. [1] Horne (1986), PASP 98, 609.
    .. [2] Marsh (1989), PASP 101, 1032.
    .. [3] Schlawin et al. (2020), AJ 160, 231.
    .. [4] Anderson & King (2000), PASP 112, 1360, for the idea.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> spectra = rates.tso.find_trace().tso.assign_wavelength().tso.extract(half_width=4)
    >>> spectra.flux.dims
    ('time', 'wavelength')
    """
    if half_width is None:
        half_width = derived(half_width=_half_width(ds))
    _check(method, half_width, profile_window, min_fraction)
    check_positive("extract", {"reject": reject, "bin_pixels": bin_pixels})
    _check_shapes(ds)
    _moving.check(ds, move, reject=reject)
    order = _check_order(ds, order)
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    wavelength, keep = _spectra.wavelength_at_trace(ds, space, along)
    accepted = _extraction.accepted_flags(ds, use_replaced=use_replaced)
    images = _extraction.median_images(ds, space, along, accepted)
    center = _extraction.bare(ds["trace_center"]) - _rates.first_position(ds, space)
    gain, units = _extraction.gain_and_units(ds)
    gain = gain.broadcast_like(images.isel(image=0))
    settings = {"method": method, "half_width": half_width, "window": profile_window}
    if method == "covariance":
        bin_pixels = bin_pixels or derived(bin_pixels=_extraction_covariance.summed(ds, keep.size))
        ds = _extraction_covariance.measured(ds, center, half_width, bin_pixels)
    weights = _extraction.extraction_weights(ds, images, center, gain, settings)
    level = _levels.of_spectra(ds, weights["weight"])
    within = _extraction_covariance.with_own_errors(
        ds, weights["weight"], level[1] if level else None
    )
    hits = moving = None
    if reject is not None:
        frame, shape = (center, gain, half_width), weights.get("all_light", weights["profile"])
        hits = _rejection.rejection(ds, images, shape, frame, reject)
    if move != "none":
        extra = weights.get("extra")
        moving = _moving.moving_weights(ds, images, center, gain, settings, extra)
    sums = _extraction.sums(ds, weights, within, min_fraction, accepted, hits, moving)
    taken = {
        **dict(zip(("flux", "flux_error", "dq", "estimated", "rejected"), sums, strict=False)),
        "n_pixels": weights["n_pixels"],
        **({"level_error": level[0].astype(np.float32)} if level else {}),
        **_extraction.gain_in_flux(weights["share"], gain, units),
        **_aperture_loss.measured(images, center, gain, half_width),
        **_spectra.delays(ds, center, weights["share"]),
        **_extraction_covariance.correlation(ds, images, weights["profile"], bin_pixels),
    }
    out, taken = _spectra.of_lines(ds, taken, wavelength, keep, units)
    out = out.assign_coords(_spectra.aperture_coords(order, half_width))
    return out.assign(_spectra.diagnostics(ds, out, taken, images, weights))


def _check(method: str, half_width: float, window: int | None, min_fraction: float) -> None:
    if method not in METHODS:
        raise ValueError(f"extract: method={method!r}; it must be one of {tuple(METHODS)}")
    if not 0 < half_width < np.inf:
        raise ValueError(f"extract: half_width={half_width}; it must be above 0 pixels, and finite")
    if window is not None and window < 3:
        raise ValueError(f"extract: profile_window={window}; it must be at least 3 pixels")
    if not 0 <= min_fraction <= 1:
        raise ValueError(f"extract: min_fraction={min_fraction}; it must lie between 0 and 1")


def _check_shapes(ds: xr.Dataset) -> None:
    """Refuse rates without integrations, and a trace or wavelengths along other dims."""
    if ds.sizes["time"] == 0:
        raise TsoError(
            "extract: there are no integrations; it needs one or more; look at what was selected in time"
        )
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    for name, call, allowed in (
        ("trace_center", "find_trace", ({along},)),
        ("wavelength", "assign_wavelength", ({along}, {space, along})),
    ):
        if set(ds[name].dims) not in allowed:
            wanted = (along,) if len(allowed) == 1 else (space, along)
            raise SchemaError(
                f"extract: {name!r} has dims {ds[name].dims}; it takes {wanted}; run .tso.{call}() again"
            )


def _check_order(ds: xr.Dataset, order: int | None) -> int:
    """Return the order of trace and wavelengths; refuse two that differ, or differ from ``order``."""
    if ds.attrs.get("rectified"):
        raise TsoError(
            "extract: these rates are rectified, which is for looking at them; extract follows the trace in "
            "the frame as it is; extract from the rates before rectify"
        )
    calls = {
        "trace_center": "find_trace(spectral_order",
        "wavelength": "assign_wavelength(order",
    }
    if order is None:
        order = int(derived(order=_rates.order_of(ds, *calls)))
    for name, call in calls.items():
        own = int(ds[name].attrs.get("spectral_order", order))
        if own != order:
            raise SchemaError(
                f"extract: {name!r} is of order {own}, order {order} is asked for; "
                f"run .tso.{call}={order}) first"
            )
    return order


def _half_width(ds: xr.Dataset) -> float:
    measured = _rates.measured(ds, "aperture_half_width")
    return usual_half_width(ds) if measured is None else measured


def usual_half_width(ds: xr.Dataset) -> float:
    """Return the half width of the aperture where neither caller nor mode gives one, pixels."""
    if "find_trace_fwhm" in ds and not is_lazy(ds["find_trace_fwhm"]):
        width = 2.0 * float(ds["find_trace_fwhm"].median())
        if np.isfinite(width):
            return round(max(width, 1.0), 2)
    note("the mode has no aperture and the width of the trace is not known: half width of 4 pixels")
    return 4.0


@diagnostic(extract)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median frame with the aperture, the median spectrum and the light outside."""
    if "extract_profile" not in ds:
        raise TsoError(
            "plot.extract: the aperture is not in these spectra; run .tso.extract() on rates"
        )
    return _extract_plot.draw(ds, ax)
