"""Sum the light of a star in images: from rates of imaging to a light curve.

One aperture, at one place, serves all integrations, so that the light curve is the same linear
function of the pixels at all times; or it follows the star. Its edge cuts pixels exactly.
Centroid, width and the light that the image of the star fits to each integration travel along
as covariates on ``time``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.errors import TsoError
from tsoxr.kernels import aperture_model as model
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import (
    _extraction,
    _photometry,
    _photometry_checks,
    _photometry_plot,
    _photometry_product,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["photometry"]


@step(
    kind="rates",
    to="lightcurves",
    needs=("rate", "rate_error", "dq"),
    adds=("centroid_y", "centroid_x", "psf_flux"),
    imaging=True,
)
def photometry(  # noqa: PLR0913 -- each has a default
    ds: xr.Dataset,
    *,
    method: str = "auto",
    shape: str = "auto",
    radius: float | None = None,
    rotation: float = 0.0,
    annulus: tuple[float, float] | None = None,
    background: str | float = "auto",
    center: tuple[float, float] | None = None,
    centroid: str = "decomposition",
    follow: bool = False,
    normalize: bool = True,
    min_fraction: float = 0.5,
) -> xr.Dataset:
    """Sum the light of a star in images, in an aperture with exact edges.

    The aperture stands where the star is on the median image, or follows it. Pixels that are
    flagged or not finite in one integration are left out there, and the light that the median
    image expects in them is put in their place: they make no dip. The gain is applied here.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates of an imaging mode with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and
        ``dq``. ``gain`` (electron DN-1) makes electrons of DN; without it the detector's
        typical value does, with a note. ``level_variance`` of lines enters the errors.
    method : {"auto", "aperture", "optimal"}
        A plain sum, or weights of least variance, constant in time: the light of each pixel of
        the median image over its variance (Naylor 1998 [1]_), changed so that the sum does not
        respond to small shifts and, where that costs less than 1 %, to the width. Where lines
        of the read-out drift (1/f noise that `clean_1overf` has left), the weights know that:
        dark pixels of the frame and reference pixels are used with negative weights, so that the
        sum hardly responds to levels of lines. ``"auto"`` is ``"optimal"``
        where its predicted error is smaller by 1 % and neither shape nor radius nor annulus
        is given, else ``"aperture"``.
    shape : {"auto", "circle", "hexagon", "frame"}
        Circle; hexagon with the corners of the telescope's pupil, for images through a weak
        lens; or all pixels, without background. ``"auto"`` is a circle, and all pixels where
        the light of the star fills the frame and nothing else was asked for.
    radius : float, optional
        Radius, pixels, of a hexagon to its corners. Left to the data: the one of least
        predicted error on the median image, with ``"optimal"`` where the light ends.
    rotation : float
        Angle of one corner of the hexagon from the y axis towards x, degrees.
    annulus : (float, float), optional
        Inner and outer radius of the background, pixels. Left to the data: from where the
        light ends to where the level adds 1 % to the error, at most to the edge.
    background : {"auto", "mean", "median", "2d", "constant", "none"} or float
        Level of the annulus in each integration: its mean without hits, weighted with the
        errors, or its median; ``"2d"``: a surface of second degree through the sky of the median
        image, beyond the light or in the annulus, that goes up and down with the mean;
        the level of the median image from all integrations alike, with
        the wings of the star that it holds; or nothing, where it has been subtracted. A number,
        DN s-1, is a level known from elsewhere, also for all pixels of a frame.
        ``"auto"`` is the mean, and nothing where the light of the star leaves no annulus.
    center : (float, float), optional
        Where the star stands, (y, x) in the coordinates of the frame; found if not given.
    centroid : {"decomposition", "correlation", "moments", "none"}
        How `track` measures the motion, if it has not been run before.
    follow : bool
        Move the aperture with the star; what the error of the centroid does to the sum is part of
        its error.
    normalize : bool
        Divide the curve by its median (of the integrations out of transit, where
        ``in_transit`` tells them).
    min_fraction : float
        A value that rests on less than this share of the light is flagged DO_NOT_USE.

    Returns
    -------
    xarray.Dataset
        Light curve: ``flux`` and ``flux_error`` (time, wavelength) of one wavelength, that of
        the filter's name, relative or in electron s-1; ``dq`` with the informative flags of
        the aperture, FLUX_ESTIMATED where light of an integration was estimated and
        DO_NOT_USE where too little remained. Coordinates on ``time``: ``centroid_y`` and
        ``centroid_x``, pix; ``trace_fwhm``, pix; ``psf_flux``, electron s-1, the light of the
        star's image fitted to each integration; their errors; ``background_level``, DN s-1.
        Scalar coordinates ``aperture_y``, ``aperture_x``, ``aperture_radius``,
        ``annulus_inner``, ``annulus_outer``, pix. Adds ``photometry_image`` and
        ``photometry_aperture`` (y, x), weights over their largest;
        ``photometry_growth`` and ``photometry_growth_error`` (radius);
        ``photometry_estimated`` (time), the share of the light that was estimated;
        ``photometry_lost``, that of pixels which are never usable; ``photometry_inside``,
        the share of the aperture inside the frame; ``photometry_whole``, 1 where all pixels are
        summed; ``photometry_follows``, 1 where the background is measured in each integration;
        ``photometry_optimal``, 1 where weights are those of least variance;
        ``photometry_line_level`` and ``photometry_line_drift``, how much lines drift, DN s-1 (rms of
        the level of a line, and of its first cosine), 0 where that is not seen;
        ``photometry_error``, the error that is predicted, relative; ``photometry_level``, the
        median light, electron s-1; and ``photometry_scatter``, scatter from point to point over
        error.

    Raises
    ------
    SchemaError
        For a mode that disperses the light.
    ValueError
        For an unknown name, sizes out of range, a centre outside the frame, or a combination
        that makes no sense.
    TsoError
        Where no usable pixel or no light lies in the aperture, or too few in the annulus; for
        lazy data when they are computed.

    Notes
    -----
    flux = sum_u w (D - B) / s over the usable pixels u, with s the light that the median image
    expects in them; w is the part of a pixel inside the aperture, or of ``"optimal"`` the weight
    of least sum w^2 e^2 with sum w P = 1 and sum w T = 0, for the image P and its derivatives T.
    The variance is sum w^2 e^2 plus (sum w)^2 times that of the level B, which all pixels share. Light of the star in
    the annulus is taken off in proportion and leaves relative curves as they are.

    Drifts of lines are measured in a sample of the integrations: the level of each line and output,
    and cosines along it whose variances fall as those of 1/f noise do. Where they exceed what white
    noise makes by four standard errors, they enter the errors, and the covariance of ``"optimal"``:
    w = C^-1 P with C = V + B D B^T, B the cosines of all lines and D their variances, and with the
    level of a whole output left free.

    References
    ----------
    .. [1] Naylor (1998), MNRAS 296, 339.
    .. [2] Aitken (1936), Proc. R. Soc. Edinburgh 55, 42: least squares with a known covariance.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate(
    ...     "nircam-imaging", kind="rates", n_integrations=20, seed=1, subarray="SUB64P"
    ... )
    >>> curve = rates.tso.photometry()
    >>> curve.flux.dims, curve.centroid_y.attrs["units"]
    (('time', 'wavelength'), 'pix')
    """
    background = _photometry_checks.level_or_name(background)
    _photometry_checks.check_names(ds, method, shape, background, centroid)
    _photometry_checks.check_sizes(radius, annulus, min_fraction)
    _photometry_checks.check_together(
        ds, method, shape, background, annulus, centroid, follow=follow
    )
    ds = _photometry.tracked(ds, centroid)
    if follow and "trace_shift" not in ds.coords:
        note("no motion was measured: the aperture stays where it is")
    gain, units = _extraction.gain_and_units(ds)
    place = None if center is None else _photometry_checks.index_of(ds, center)
    with_levels = "level_variance" in ds.variables and ds["level_variance"].ndim == 1
    lines = ds["level_variance"].dims[0] if with_levels else ds.attrs.get("slow_dim", "y")
    request = model.Request(
        "aperture" if follow else method, shape, None if radius is None else float(radius),
        float(np.radians(rotation)), background, _photometry_checks.pair(annulus), place, int(lines == "x"),
    )  # fmt: skip
    if follow and shape == "auto":
        request = request._replace(shape="circle")
    plan = _photometry.Plan(request, ds.sizes["y"], ds.sizes["x"], follow)
    packed = _photometry.model_of(ds, plan, gain)
    values, seen = _photometry.measured(ds, plan, packed)
    curves = _photometry.curve(ds, values, seen, normalize=normalize, min_fraction=min_fraction)
    static = _photometry.unpacked(plan, packed)
    both = (units, "1" if normalize else units)
    return _photometry_product.light_curve(ds, plan, static, values, curves, both)


@diagnostic(photometry)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the aperture on the median image, the curve of growth and the light curve.

    With ``ax`` the image alone.
    """
    if "photometry_image" not in ds:
        raise TsoError(
            "plot.photometry: the aperture is not in this light curve; run .tso.photometry() on rates"
        )
    if ax is not None:
        return _photometry_plot.image(ax, ds)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9.5, 6.6), layout="constrained")
    spots = figure.subplot_mosaic([["image", "growth"], ["curve", "curve"]], height_ratios=(1.5, 1))
    _photometry_plot.image(spots["image"], ds)
    _photometry_plot.growth(spots["growth"], ds)
    _photometry_plot.curve(spots["curve"], ds)
    return spots
