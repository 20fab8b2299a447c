"""Subtract the background beside the spectrum from each line of constant wavelength.

Sky, thermal light, residual dark and what is left of the 1/f noise are constant, or change
smoothly, along a line of constant wavelength over the few pixels of a profile. Their level is
measured on the pixels of the same line that the spectrum does not reach, or a known image of
the sky is scaled to all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import checks, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import background as kernel
from tsoxr.lazy import is_lazy
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _background, _background_rows, _background_template, _levels, _rates

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

__all__ = ["subtract_background"]

METHODS = ("mean", "median", "rows", "template")
WINGS = ("power", "sum")
HIGHEST_ORDER = 3


@step(
    kind="rates",
    needs=("rate", "rate_error", "dq"),
    adds=("background_level", "level_variance"),
    measured={"half_width": "background_half_width"},
)
def subtract_background(  # noqa: PLR0913 -- each has a default
    ds: xr.Dataset,
    *,
    method: str = "mean",
    half_width: float | None = None,
    order: int = 0,
    darkest: float = 1.0,
    wings: bool | str = False,
    mask: xr.DataArray | None = None,
    template: xr.DataArray | xr.Dataset | np.ndarray | str | Path | None = None,
    scales: int = 1,
    constant: bool = False,
) -> xr.Dataset:
    """Subtract the background beside the spectrum from each line of wavelength.

    The pixels are chosen once, from the median frame: those farther than ``half_width``
    from the spectrum that do not stand out of their line. Flagged samples and hits are left
    out without a bias, because what is fitted is the change against the median frame.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. The
        spectrum lies at ``trace_center`` if that is known, otherwise on the strongest path
        of light through the median frame.
    method : {"mean", "median", "rows", "template"}
        ``"mean"``: least squares on each line, a polynomial of degree ``order``. ``"median"``
        of each line: 1.2 times the error of the mean, and contaminants that nobody has
        masked move it less. ``"rows"``: the mean frame's background from each line, changes
        of it from each detector row, x, also where the spectrum runs along it (NIRCam): what a
        row has for itself goes, what a line has stays. ``"template"``: an image with one scale
        for each integration, which has far less noise and knows nothing of what lines have for
        themselves.
    half_width : float, optional
        Pixels up to this distance from the spectrum are left out. Left out, that of
        `optimize_aperture`, else that of the mode, else a quarter of the frame.
    order : {0, 1, 2, 3}
        Degree of the polynomial across dispersion: mean, straight line, and so on.
    darkest : float
        Part of the remaining pixels of each line that is used, from the darkest in the
        median frame on; below 1 where other orders and contaminants cover much of a line.
    wings : bool or {"power", "sum"}
        Leave the star's light to the star: its wings in these pixels are found in the median
        frame and do not count as background. True is ``"power"``, a power of the distance from
        the spectrum that all lines share; ``"sum"``: a sum of powers and exponentials about
        every bright pixel, for wide frames with several orders of defocused light.
    mask : (y, x) DataArray of bool, optional
        True for pixels to leave out: field stars, other orders.
    template : image, Dataset or file, optional
        Shape of the background (y, x) in any unit, for ``method="template"``: an array, a
        Dataset with one image, or a ``.npy``, ``.nc`` or ``.fits`` file. Without it the
        background of the median frame serves, smoothed over 31 lines.
    scales : {1, 2}
        Scales of the template: 2 where the background steps along dispersion, as that of
        NIRISS SOSS does at column 700. Where it steps is found in the data.
    constant : bool
        Subtract the background of the median frame from all integrations alike.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the level subtracted from ``rate``, the coordinate
        ``background_level`` (time), DN s-1, its mean over wavelength, and
        ``level_variance`` (dispersion), DN2 s-2, the variance of the level of one
        integration at the spectrum, which replaces an earlier one; what was known of the
        levels of lines along the spectrum is kept in ``level_factor``. Adds
        ``subtract_background_level`` (time, dispersion) and ``subtract_background_region``
        (spatial, dispersion); with a template ``subtract_background_scale`` (time, side), and
        ``subtract_background_step`` (spatial), pix, where it steps. Imaging modes are
        returned unchanged: `photometry` has its annulus.

    Raises
    ------
    ValueError
        For a region that leaves no pixels, an unknown method, an order, a part or a number of
        scales out of range, a mask or a template of another size.
    TsoError
        When no line has three background pixels, or no step is found; for lazy data when
        they are computed.

    Notes
    -----
    A line with fewer than three pixels, or ``order + 2``, takes its level from its
    neighbours, interpolated along dispersion. The wings of the profile that reach the region
    are subtracted too: on a real NIRSpec PRISM frame 1e-4 of a line's light per pixel at 8 to
    9 pixels from the trace and below 2e-5 beyond (so less than 0.1 % of the light), but 0.5 %
    per pixel at 4 to 5 pixels. The loss is the same in all integrations and cancels in
    relative light curves. A polynomial costs noise where the region lies on one side only.
    The error of a template's scale is common to all wavelengths, but counts as
    independent in ``level_variance``.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> rates.tso.subtract_background().background_level.dims
    ('time',)
    """
    if _rates.is_imaging(ds):
        note("an imaging mode has no lines of constant wavelength: data unchanged")
        return ds
    space = ds.attrs["spatial_dim"]
    if half_width is None:
        measured = _rates.measured(ds, "background_half_width")
        usual = max(3.0, ds.sizes[space] / 4)
        half_width = derived(half_width=usual if measured is None else measured)
    _check_method(method, order, template, scales)
    _check_region(float(half_width), order, darkest, ds.sizes[space])
    shape = _shape_of_wings(wings)
    checks.check_mask("subtract_background", ds, mask)
    image = None if template is None else _background_template.read_template(template, ds)
    frame = _background.frame_of(
        ds, float(half_width), darkest=float(darkest), wings=shape, mask=mask
    )
    if method == "template":
        found = _background_template.by_template(
            ds, frame, image, order=order, scales=scales, constant=constant
        )
    elif method == "rows" and space != "x" and not constant:
        found = _background_rows.by_rows(ds, frame)
    else:
        found = _background.by_lines(
            ds, frame, order=order, median=method == "median", constant=constant
        )
        _note_short_lines(frame.region, order)
    return _assembled(ds, frame, found)


def _check_method(method: str, order: int, template: object, scales: int) -> None:
    if method not in METHODS:
        raise ValueError(f"subtract_background: method={method!r}; it must be one of {METHODS}")
    if order not in range(HIGHEST_ORDER + 1):
        raise ValueError(
            f"subtract_background: order={order!r}; it must be 0 (mean), 1 (straight line), 2 or 3"
        )
    if method in ("median", "rows") and order != 0:
        raise ValueError(
            f'subtract_background: method="{method}" has no order={order}; it must be 0; '
            'use method="mean" for a polynomial'
        )
    if template is not None and method != "template":
        raise ValueError(
            f"subtract_background: a template is given, and method={method!r} has no use for it; "
            'use method="template"'
        )
    if scales not in (1, 2) or (scales == 2 and method != "template"):
        raise ValueError(
            f"subtract_background: scales={scales!r} with method={method!r}; it must be 1, or 2 for "
            'method="template"'
        )


def _shape_of_wings(wings: bool | str) -> str | None:
    if isinstance(wings, bool | np.bool_):
        return "power" if wings else None
    if wings not in WINGS:
        raise ValueError(
            f"subtract_background: wings={wings!r}; it must be True, False or one of {WINGS}"
        )
    return wings


def _check_region(half_width: float, order: int, darkest: float, n_space: int) -> None:
    n_left, needed = n_space - (2 * int(half_width) + 1), max(kernel.MIN_PIXELS, order + 2)
    if not half_width >= 0 or n_left < needed:
        raise ValueError(
            f"subtract_background: half_width={half_width:g} leaves {max(n_left, 0)} of {n_space} pixels "
            f"across dispersion; at least {needed} are needed; give a smaller half_width"
        )
    if not 0 < darkest <= 1:
        raise ValueError(
            f"subtract_background: darkest={darkest}; it is a part, above 0 and at most 1"
        )


def _note_short_lines(region: xr.DataArray, order: int) -> None:
    """Say how many lines take their level from their neighbours, where that is known already."""
    if is_lazy(region):
        return
    needed = max(kernel.MIN_PIXELS, order + 2)
    short = int((np.isfinite(region.values).sum(axis=0) < needed).sum())
    if short:
        note(
            f"{short} of {region.shape[1]} lines have fewer than {needed} background pixels: "
            "their level is interpolated"
        )


def _assembled(ds: xr.Dataset, frame: _background.Frame, found: _background.Found) -> xr.Dataset:
    rate = ds["rate"]
    own = rate.attrs.get("units", "DN s-1")
    units = {"units": own}
    mean = schema.label(found.level.mean(frame.along), "rates", "background_level", **units)
    texts = {
        "level": (found.level, "background level at the spectrum", own),
        "region": (
            np.isfinite(frame.region).astype("i1"), "pixels that show background", "1",
        ),
        **{
            name: (array, *_TEXTS[name]) for name, array in found.more.items()
        },
    }  # fmt: skip
    out = ds.drop_vars("level_factor", errors="ignore")
    if found.factor is not None:
        out = out.assign(level_factor=_levels.labelled(found.factor, ds))
    if "step" in found.more:
        offset = _rates.first_position(ds, frame.along)
        texts["step"] = (found.more["step"] + offset, *_TEXTS["step"])
    squared = _levels.SQUARED.get(own, "DN2 s-2")
    return out.assign(
        rate=(rate.dims, found.rate.transpose(*rate.dims).data, rate.attrs),
        level_variance=schema.label(found.variance, "rates", "level_variance", units=squared),
        **{
            f"subtract_background_{n}": a.assign_attrs(long_name=t, units=u)
            for n, (a, t, u) in texts.items()
        },
    ).assign_coords(background_level=mean.variable)


_TEXTS = {
    "scale": ("scale of the template", "1"),
    "step": ("where the background steps along dispersion", "pix"),
}


@diagnostic(subtract_background)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the level over time and wavelength, and without ``ax`` the region beside it."""
    if "subtract_background_level" not in ds:
        raise TsoError(
            "plot.subtract_background: nothing was subtracted; see the note of the step in ds.tso.history"
        )
    along = ds.attrs["dispersion_dim"]
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(2, 1, figsize=(8.0, 6.0), layout="constrained")
        _draw_region(ds, beside)
    level = ds["subtract_background_level"].transpose("time", along)
    place, when = np.asarray(ds[along]), style.hours(ds)
    half = 0.5 * (when[-1] - when[0]) / max(when.size - 1, 1)
    extent = (place[0] - 0.5, place[-1] + 0.5, when[0] - half, when[-1] + max(half, 1e-9))
    style.image(ax, level, extent=extent, label=style.label_of(level, "background"))
    ax.set(xlabel=f"{along} [pix]", ylabel="time since start [h]")
    return ax


def _draw_region(ds: xr.Dataset, ax: Axes) -> None:
    """Draw the median frame where the background was measured."""
    x, y = (np.asarray(ds[d]) for d in ("x", "y"))
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    image = np.asarray(_rates.median_frame(ds).transpose("y", "x"))
    inside = np.asarray(ds["subtract_background_region"].transpose("y", "x")) == 1
    label = style.label_of(ds["rate"], "median after subtraction")
    ax.set_facecolor("0.8")
    style.image(ax, np.where(inside, image, np.nan), extent=extent, label=label, signed=True)
    ax.set(xlabel="x [pix]", ylabel="y [pix]", title="grey: not used for the background")
