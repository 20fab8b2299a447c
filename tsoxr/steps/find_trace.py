"""Find where the spectrum lies across dispersion.

The path of the spectrum is sought in the median frame as a whole, then the light of each
line of constant wavelength is centred in a window that follows the path, and a smooth curve
is laid through these centroids. Nothing depends on the integration: what moves is measured
by `track`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import checks, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import trace as kernel
from tsoxr.kernels import trace_methods
from tsoxr.lazy import static_from_sample
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _rates, _trace_plot, _trace_reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["find_trace"]

METHODS = ("centroid", "gaussian", "correlation", "edges", "reference")
CURVES = ("polynomial", "spline")
REFINED = {
    "gaussian": trace_methods.by_gaussian,
    "correlation": trace_methods.by_correlation,
    "edges": trace_methods.by_edges,
}
MIN_LINES = 16
"""Lines with light, without which there is no spectrum."""
WIDE = 8.0
"""Full width above which a reference is moved by the edges of the profile, pixels: the centroid
of the two unequal horns of SOSS lies 0.2 to 0.4 pixels off their middle."""
MEDIAN_NOISE = 1.2533
N_SAMPLE = 32


@step(kind="rates", needs=("rate", "rate_error", "dq"), adds=("trace_center",))
def find_trace(
    ds: xr.Dataset,
    *,
    method: str = "centroid",
    half_width: float = 4.0,
    degree: int = 2,
    window: tuple[float, float] | None = None,
    spectral_order: int | None = None,
    curve: str = "polynomial",
    reference: xr.DataArray | str | None = None,
    mask: xr.DataArray | None = None,
) -> xr.Dataset:
    """Find where the spectrum lies across dispersion.

    The strongest continuous path of light through the median frame is followed over all
    wavelengths at once, so that contaminants and other orders do not capture it. The curve
    through the centroids is continued straight where there is no light.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``.
    method : {"centroid", "gaussian", "correlation", "edges", "reference"}
        How the position on a line of constant wavelength is measured. ``"centroid"``: the
        centre of the light in a window that is moved until it is centred itself.
        ``"gaussian"``: a Gaussian, integrated over pixels, and a constant; for compact
        profiles. ``"correlation"``: the profile of the spectrum itself, moved until it fits;
        for any profile, two horns included. ``"edges"``: the middle between both sides at half
        of the height; for the wide profile of SOSS. ``"reference"``: a known trace, moved as a
        whole by the median of the measured positions (centroids, or edges of profiles wider than
        8 pixels), for spectra that are too faint or too crowded for their shape to be measured.
    half_width : float
        Half the width of that window, pixels; it should hold the whole profile.
    degree : int
        Degree of the Legendre series through the positions; number of pieces of a spline.
    window : (float, float), optional
        First and last detector coordinate across dispersion to look at.
    spectral_order : int, optional
        1 for the strongest spectrum; 2, 3 for the next ones, which in NIRISS SOSS are the
        orders of these numbers. Earlier ones are found first and covered. Left out, that of the
        trace that the data have, and 1 without one.
    curve : {"polynomial", "spline"}
        What is laid through the positions: a Legendre series or a cubic spline.
    reference : xarray.DataArray or str, optional
        Positions, pix, over the coordinate along dispersion, with ``method="reference"``, or the
        name of a built-in trace such as ``"niriss-soss/1"``. Left out, it is the mode's own: NIRISS SOSS orders 1 to 3, turned to the angle of the pupil
        wheel in the header (PWCPOS), and the NIRCam grism of module A, F322W2 and F444W. With
        the attributes ``pivot_dispersion``, ``pivot_spatial`` and ``pupil_angle`` it is first
        turned about the pivot by the header's PWCPOS less that angle, degrees.
    mask : xarray.DataArray, optional
        (y, x) bool, True for pixels that are not used, such as those of contaminating stars
        that a frame through another filter shows.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the coordinate ``trace_center`` (dispersion), pix, float64, whose
        attribute ``spectral_order`` tells which spectrum it is. Adds
        ``find_trace_centroid`` and ``find_trace_fwhm`` (dispersion), pix, NaN where the
        light is too weak, and ``find_trace_range`` (bound), pix: first and last position
        along dispersion that the curve rests on. Imaging modes are returned unchanged.

    Raises
    ------
    ValueError
        For an unknown method, or a width, degree, window or order out of range.
    TsoError
        When no spectrum is found; for lazy data when they are computed.

    Notes
    -----
    Measured: rms error below 0.005 pixels on simulated NIRSpec PRISM spectra; scatter of
    the centroids of 0.023 pixels on a real PRISM frame and 0.04 on a real SOSS frame,
    where the curve lies within 0.7 pixels of the median of five published traces. How far the
    built-in references are from real traces is on the page on motion and traces.

    References
    ----------
    .. [1] Bellman (1957), Dynamic Programming, for the path.
    .. [2] Baines et al. (2023), JWST-STScI-008571, for the rotation with the pupil wheel.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> rates.tso.find_trace().trace_center.dims
    ('x',)
    """
    if _rates.is_imaging(ds):
        note("an imaging mode has no trace: data unchanged")
        return ds
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if spectral_order is None:
        spectral_order = int(derived(spectral_order=_rates.order_of(ds, "trace_center")))
    _check(method, half_width, degree, window, spectral_order)
    if curve not in CURVES:
        raise ValueError(f"find_trace: curve={curve!r}; it must be one of {CURVES}")
    checks.check_mask("find_trace", ds, mask)
    _trace_reference.check_reference(method, reference, along)
    offset = _rates.first_position(ds, space)
    n_sampled = min(ds.sizes["time"], N_SAMPLE)
    known = _known(ds, method, reference, spectral_order) - offset

    def measure(
        median: np.ndarray, error: np.ndarray, known: np.ndarray, _: np.ndarray
    ) -> np.ndarray:
        image = _windowed(median, window, offset)
        image_error = MEDIAN_NOISE / np.sqrt(n_sampled) * error
        found = _measured(method, image, image_error, known, half_width, spectral_order)
        n_free = degree + 3 if curve == "spline" else degree
        _require_light(found, image, half_width, n_free, method)
        return found

    def fit(found: np.ndarray, known: np.ndarray, _: np.ndarray) -> np.ndarray:
        if method == "reference":
            return np.stack(_trace_reference.moved(found[0], known))
        spline = curve == "spline"
        return np.stack(kernel.smooth_curve(found[0], found[1], degree, spline=spline))

    image = _rates.median_frame(ds).transpose(space, along)
    if mask is not None:
        image = image.where(~mask.drop_vars(list(mask.coords)).transpose(space, along).astype(bool))
    error = _rates.typical_error(ds).transpose(space, along)
    parts = [xr.DataArray(np.zeros(n), dims="part") for n in (len(kernel.MEASURES), 2)]
    dims = ("part", along)
    found = static_from_sample(measure, image, error, known, parts[0], dims=dims, dtype="f8")
    fitted = static_from_sample(fit, found, known, parts[1], dims=dims, dtype="f8")
    return _assembled(ds, found, fitted, spectral_order)


def _known(
    ds: xr.Dataset, method: str, reference: xr.DataArray | str | None, spectral_order: int
) -> xr.DataArray:
    """Return the reference on the lines of the data, NaN without one."""
    along = ds.attrs["dispersion_dim"]
    if method != "reference":
        return xr.DataArray(np.full(ds.sizes[along], np.nan), dims=along)
    if reference is None or isinstance(reference, str):
        return _trace_reference.builtin(ds, spectral_order, reference)
    return _trace_reference.on_lines(reference, ds)


def _measured(
    method: str,
    image: np.ndarray,
    error: np.ndarray,
    known: np.ndarray,
    half_width: float,
    spectral_order: int,
) -> np.ndarray:
    """Return centre, error and width of each line, (3, dispersion)."""
    error = np.ascontiguousarray(error, dtype=np.float64)
    if method == "reference":
        found = kernel.measure_along(image, error, known, half_width)
        wide = np.isfinite(found[2]).any() and np.nanmedian(found[2]) > WIDE
        return trace_methods.by_edges(image, error, found, half_width) if wide else found
    found = kernel.measure(image, error, half_width, spectral_order)
    if method == "centroid" or not np.isfinite(found[0]).any():
        return found
    return REFINED[method](image, error, found, half_width)


def _check(
    method: str,
    half_width: float,
    degree: int,
    window: tuple[float, float] | None,
    spectral_order: int,
) -> None:
    if method not in METHODS:
        raise ValueError(f"find_trace: method={method!r}; it must be one of {METHODS}")
    if not half_width >= 1:
        raise ValueError(f"find_trace: half_width={half_width}; it must be at least 1 pixel")
    if degree < 0 or spectral_order < 1:
        raise ValueError(
            f"find_trace: degree={degree}, spectral_order={spectral_order}; "
            "the degree must not be negative and the order is counted from 1"
        )
    if window is not None and not window[1] - window[0] >= 2 * half_width:
        raise ValueError(
            f"find_trace: window={tuple(window)} is narrower than 2 half_width={2 * half_width}; "
            "give first and last position, or a smaller half_width"
        )


def _windowed(image: np.ndarray, window: tuple[float, float] | None, offset: float) -> np.ndarray:
    """Return the frame in float64, NaN outside the window (detector coordinates)."""
    image = image.astype(np.float64)
    if window is not None:
        image[: max(0, round(window[0] - offset))] = np.nan
        image[max(0, round(window[1] - offset) + 1) :] = np.nan
    return image


def _require_light(
    found: np.ndarray, image: np.ndarray, half_width: float, degree: int, method: str
) -> None:
    n_lit, n_lines = int(np.isfinite(found[0]).sum()), found.shape[1]
    n_needed = max(MIN_LINES, degree + 1)
    if n_lit >= n_needed:
        return
    if not np.isfinite(image).any():
        raise TsoError(
            "find_trace: no trace: no pixel is usable; see ds.tso.summary() for the flags"
        )
    if method in REFINED:
        raise TsoError(
            f"find_trace: no trace: method={method!r} finds a place on {n_lit} of {n_lines} lines; {n_needed} "
            'are needed; try method="centroid", another half_width or window'
        )
    raise TsoError(
        f"find_trace: no trace: {n_lit} of {n_lines} lines have light of {kernel.MIN_SIGNIFICANCE:g} sigma "
        f"in a window of +-{half_width:g} pixels that lies inside the frame; {n_needed} are needed; "
        "change half_width (smaller where the spectrum runs near the edge) or window"
    )


def _assembled(
    ds: xr.Dataset, found: xr.DataArray, fitted: xr.DataArray, spectral_order: int
) -> xr.Dataset:
    """Return the Dataset with the curve as a coordinate and the measurements as diagnostics."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    first_row, first_line = (_rates.first_position(ds, d) for d in (space, along))

    def ends(fitted: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.flatnonzero(fitted[1])[[0, -1]] + first_line

    bound = xr.DataArray(np.zeros(2), dims="bound")
    center = schema.label(fitted.isel(part=0) + first_row, "rates", "trace_center")
    return ds.assign_coords(trace_center=center.assign_attrs(spectral_order=spectral_order)).assign(
        find_trace_centroid=_pixels(found.isel(part=0) + first_row, "centroid of the light"),
        find_trace_fwhm=_pixels(found.isel(part=2), "full width at half maximum"),
        find_trace_range=_pixels(
            static_from_sample(ends, fitted, bound, dims=("bound",), dtype="f8"),
            "first and last position along dispersion with light",
        ),
    )


def _pixels(array: xr.DataArray, long_name: str) -> xr.DataArray:
    return array.astype("f4").assign_attrs(units="pix", long_name=long_name)


@diagnostic(find_trace)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the trace on the median frame; without ``ax`` also the measured places less the trace.

    Their running median should stay near zero: waves want a higher degree. Dotted, the curve is
    continued beyond the light.
    """
    if "find_trace_centroid" not in ds:
        raise TsoError(
            "plot.find_trace: no trace was sought; see the note of the step in ds.tso.history"
        )
    return _trace_plot.draw(ds, ax)
