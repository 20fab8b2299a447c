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

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import SchemaError, TsoError
from tsoxr.lazy import is_lazy
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _extraction, _levels, _rates
from tsoxr.steps._extraction_methods import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["extract"]


@step(
    kind="rates",
    to="spectra",
    needs=("rate", "rate_error", "dq", "trace_center", "wavelength"),
    adds=("flux", "flux_error"),
)
def extract(
    ds: xr.Dataset,
    *,
    method: str = "optimal",
    half_width: float | None = None,
    order: int = 1,
    profile_window: int | None = None,
    min_fraction: float = 0.5,
    use_replaced: bool = False,
) -> xr.Dataset:
    """Sum the light of each wavelength in an aperture along the trace.

    Aperture, profile and weights do not depend on time. Pixels that are flagged or not
    finite in one integration are left out there, and the light that the profile expects in
    them is put in their place: they make no dip. The gain is applied here.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, ``dq``, ``trace_center``
        (dispersion), pix, and ``wavelength`` (y, x), um. ``gain`` (electron DN-1) makes
        electrons of DN; without it the detector's typical value does, with a note.
        ``level_variance`` and ``level_factor``, where a step before left them, enter the errors.
    method : {"optimal", "box"}
        Weights of least variance (Horne 1986), or a plain sum with fractional edges.
    half_width : float, optional
        Half width of the aperture, pixels. Left to the data: twice the trace's full width
        at half maximum where `find_trace` has measured it, 4 otherwise.
    order : int
        Spectral order; trace and wavelengths must be of the same one.
    profile_window : int, optional
        Window along dispersion, pixels, within which the profile is taken for a smooth
        function; left to the data, the trace moves by no more than half a pixel in it.
    min_fraction : float
        A value that rests on less than this share of the light is flagged DO_NOT_USE.
    use_replaced : bool
        Take the values that `replace_bad_pixels` has put into pixels out of use, instead of
        leaving these out. Their light counts as estimated. Worth it for pixels that are lost at
        all times; see the page on outliers.

    Returns
    -------
    xarray.Dataset
        Spectra: ``flux`` and ``flux_error`` (time, wavelength), float32, electron s-1;
        ``dq`` (time, wavelength) with the informative flags of the aperture,
        FLUX_ESTIMATED where a part was estimated and DO_NOT_USE where too little
        remained; ``n_pixels`` (wavelength); and ``level_error`` (wavelength, level_mode), errors
        that wavelengths share where levels were taken from lines along dispersion: the
        columns are independent of each other, and each is of one sign or the other at all
        wavelengths at once. Pixels without wavelength are left out. The coordinates ``read_offset``
        and, from rates of `fit_ramps`, ``slope_delay`` (wavelength), s, say when each wavelength was
        measured; ``ds.tso.pixel_time(of="slope")`` adds them up. Adds ``extract_image`` and ``extract_profile`` (y,
        x), ``extract_estimated`` (time) and ``extract_estimated_share`` (wavelength), the share of the
        light that was estimated, replaced values included, and ``extract_scatter`` (wavelength),
        scatter from point to point over error.

    Raises
    ------
    ValueError
        For an unknown method, a width or a fraction out of range.
    SchemaError
        Where trace or wavelengths are of another order.
    TsoError
        Where no part of the trace lies inside the frame or has a wavelength.

    Notes
    -----
    flux = sum_u(w D) / sum_u(w P) over the usable pixels u, with w = P / V for the optimal
    sum [1]_ and w = 1 for the box; P is the profile, V the median variance of a pixel. The
    variance is sum w^2 e^2 of the sample's own errors e, plus (sum w)^2 times
    ``level_variance`` where that belongs to lines across dispersion.

    References
    ----------
    .. [1] Horne (1986), PASP 98, 609.

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
    _check_order(ds, order)
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    wavelength, keep = _extraction.wavelength_at_trace(ds, space, along)
    gain, units = _extraction.gain_and_units(ds)
    accepted = _extraction.accepted_flags(ds, use_replaced=use_replaced)
    images = _extraction.median_images(ds, space, along, accepted)
    center = _extraction.bare(ds["trace_center"]) - _rates.first_position(ds, space)
    settings = {"method": method, "half_width": half_width, "window": profile_window}
    weights = _extraction.extraction_weights(
        ds, images, center, gain.broadcast_like(images.isel(image=0)), settings
    )
    level = _levels.of_spectra(ds, weights["weight"])
    sums = _extraction.sums(ds, weights, level[1] if level else None, min_fraction, accepted)
    taken = {
        "flux": sums[0],
        "flux_error": sums[1],
        "dq": sums[2],
        "estimated": sums[3],
        "n_pixels": weights["n_pixels"],
        **({"level_error": level[0].astype(np.float32)} if level else {}),
        **_extraction.read_offset(ds, center),
        **_extraction.slope_delay(ds, weights["share"]),
    }
    taken = {k: v.isel({along: keep}).rename({along: "wavelength"}) for k, v in taken.items()}
    pixel = ds[along].values if along in ds.coords else np.arange(ds.sizes[along])
    out = _spectra(ds, taken, wavelength[keep], units)
    out = out.assign_coords(
        dispersion_pixel=_labelled("dispersion_pixel", "wavelength", pixel[keep].astype(np.int32)),
        order=xr.Variable((), np.int16(order), {"long_name": "spectral order", "units": "1"}),
        aperture_half_width=xr.Variable(
            (), np.float32(half_width), {"long_name": "half width of the aperture", "units": "pix"}
        ),
    )
    return out.assign(_extraction.diagnostics(ds, out, taken, images, weights))


def _check(method: str, half_width: float, window: int | None, min_fraction: float) -> None:
    if method not in METHODS:
        raise ValueError(f"extract: method={method!r}; it must be one of {tuple(METHODS)}")
    if not half_width > 0:
        raise ValueError(f"extract: half_width={half_width}; it must be above 0 pixels")
    if window is not None and window < 3:
        raise ValueError(f"extract: profile_window={window}; it must be at least 3 pixels")
    if not 0 <= min_fraction <= 1:
        raise ValueError(f"extract: min_fraction={min_fraction}; it must lie between 0 and 1")


def _check_order(ds: xr.Dataset, order: int) -> None:
    if ds.attrs.get("rectified"):
        raise TsoError(
            "extract: these rates are rectified, which is for looking at them; extract follows the trace in "
            "the frame as it is; extract from the rates before rectify"
        )
    for name, call in (
        ("trace_center", "find_trace(spectral_order"),
        ("wavelength", "assign_wavelength(order"),
    ):
        own = int(ds[name].attrs.get("spectral_order", order))
        if own != order:
            raise SchemaError(
                f"extract: {name!r} is of order {own}, order {order} is asked for; "
                f"run .tso.{call}={order}) first"
            )


def _half_width(ds: xr.Dataset) -> float:
    if "find_trace_fwhm" in ds and not is_lazy(ds["find_trace_fwhm"]):
        width = 2.0 * float(ds["find_trace_fwhm"].median())
        if np.isfinite(width):
            return round(max(width, 1.0), 2)
    note("the mode has no aperture and the width of the trace is not known: half width of 4 pixels")
    return 4.0


def _labelled(name: str, dims: Any, values: Any, **attrs: object) -> xr.Variable:
    array = values if isinstance(values, xr.DataArray) else xr.DataArray(values, dims=dims)
    return schema.label(array, "spectra", name, **attrs).variable


def _spectra(
    ds: xr.Dataset, taken: dict[str, xr.DataArray], wavelength: np.ndarray, units: str
) -> xr.Dataset:
    """Return the Dataset of spectra with the coordinates of the rates that belong to time."""
    dims = ("time", "wavelength")
    variables = {
        "flux": _labelled("flux", dims, taken["flux"].transpose(*dims), units=units),
        "flux_error": _labelled(
            "flux_error", dims, taken["flux_error"].transpose(*dims), units=units
        ),
        "dq": _labelled("dq", dims, taken["dq"].transpose(*dims)),
        "n_pixels": _labelled("n_pixels", "wavelength", taken["n_pixels"].astype(np.float32)),
    }
    if "level_error" in taken:
        variables["level_error"] = _labelled(
            "level_error", ("wavelength", "level_mode"), taken["level_error"], units=units
        )
    coords = {n: c.variable for n, c in ds.coords.items() if c.dims in (("time",), ())}
    coords["wavelength"] = _labelled("wavelength", "wavelength", wavelength)
    for name in ("read_offset", "slope_delay"):
        if name in taken:
            coords[name] = _labelled(name, "wavelength", taken[name])
    return xr.Dataset(variables, coords, ds.attrs)


@diagnostic(extract)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median frame with the aperture, and the median spectrum over it."""
    if "extract_profile" not in ds:
        raise TsoError(
            "plot.extract: the aperture is not in these spectra; run .tso.extract() on rates"
        )
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, below) = plt.subplots(2, 1, figsize=(8.0, 5.4), layout="constrained")
        _draw_spectrum(ds, below)
    along, space = ds.attrs["dispersion_dim"], ds.attrs["spatial_dim"]
    image = ds["extract_image"].transpose(space, along)
    n_space, n_along = image.shape
    extent = (-0.5, n_along - 0.5, -0.5, n_space - 0.5)
    style.image(ax, image.values, extent=extent, label=style.label_of(image, "median rate"))
    pixel, lower, upper = _aperture_data(ds)
    for edge in (lower, upper):
        ax.plot(pixel, edge, color=style.COLORS["bad"], lw=1.0)
    ax.set(xlabel=f"{along} [pix]", ylabel=f"{space} [pix]", title="median frame and aperture")
    return ax


def _aperture_data(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns along dispersion that have an aperture, and its edges there."""
    inside = np.asarray(ds["extract_profile"].transpose(ds.attrs["spatial_dim"], ...)) > 0
    rows = np.arange(inside.shape[0])[:, None]
    column = np.flatnonzero(inside.any(axis=0))
    lower = np.where(inside, rows, np.inf).min(axis=0)[column] - 0.5
    upper = np.where(inside, rows, -np.inf).max(axis=0)[column] + 0.5
    return column, lower, upper


def _draw_spectrum(ds: xr.Dataset, ax: Axes) -> None:
    median = ds["flux"].median("time")
    ax.plot(
        np.asarray(ds["wavelength"]),
        median,
        color=style.COLORS["data"],
        lw=1,
        drawstyle="steps-mid",
    )
    ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength"))
    ax.set_ylabel(style.label_of(ds["flux"], "median flux"))
