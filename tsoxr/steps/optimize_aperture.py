"""Choose the half width of the aperture by the scatter of the white light.

A narrow aperture loses photons and feels the pointing; a wide one adds background, read noise
and stripes. Which one is best depends on the noise of the exposure, which is best seen in its
light curve: not in the transit, but in how much successive integrations differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr.errors import TsoError
from tsoxr.kernels import aperture_tables as tables
from tsoxr.lazy import is_lazy
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _optimize_aperture as _do
from tsoxr.steps import _optimize_aperture_plot as _draw
from tsoxr.steps.extract import usual_half_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["optimize_aperture"]

METHODS = ("optimal", "box")


@step(
    kind="rates",
    needs=("rate", "rate_error", "dq", "trace_center"),
    adds=("aperture_half_width", "background_half_width"),
)
def optimize_aperture(
    ds: xr.Dataset,
    *,
    half_widths: Sequence[float] | None = None,
    regions: Sequence[float] | None = None,
    method: str | None = None,
) -> xr.Dataset:
    """Choose the half width of the aperture by the scatter of the white light.

    The light curves of all half widths are made in one pass. Their scatter is that of second
    differences of successive integrations, which see neither a trend nor the depth of a transit, out
    of transit only where ``in_transit`` tells. Among the widths that cannot be told
    from the best one, within one standard error, the one nearest to the mode's default is
    taken: so noise does not choose.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), ``dq`` and ``trace_center``
        (dispersion), pix. Columns without ``wavelength`` (y, x), where that is known, are left
        out. ``gain`` as for `extract`.
    half_widths : sequence of float, optional
        Half widths to compare, pixels. Left to the data: 15 from a quarter of the mode's default
        to twice that, at most up to the background.
    regions : sequence of float, optional
        Half widths of `subtract_background` to compare, pixels, where it has not been run: the mean
        of each line farther out is subtracted. Left to the data: the mode's default and up to
        1.5 times that; nearer ones hold more of the star's light, which scatter does not show.
        Empty for none.
    method : {"optimal", "box"}, optional
        Weights, as for `extract`; left out, those that it takes in this mode.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the scalar coordinate ``aperture_half_width``, pix, which `extract` takes
        where it is given none, and ``background_half_width``, which `subtract_background` takes.
        Adds, along ``half_width`` (and ``region``), ``optimize_aperture_half_width`` and
        ``optimize_aperture_region``, pix; ``optimize_aperture_scatter`` and ``_error``, ppm;
        ``_binned`` and ``_binned_error``, ppm, the scatter of means of several integrations;
        ``_predicted``, ppm, from ``rate_error``; ``_excess`` and ``_excess_error``, scatter
        over the least one less 1; ``_worse``, the same in standard errors; ``_share``, the light
        over that of the widest aperture; ``_chosen``, 1 for the choice; and
        ``optimize_aperture_light`` (time, half_width), over that of the median frame. With fewer than 10 integrations, or
        where no light curve has a scatter, the mode's default stays.

    Raises
    ------
    ValueError
        For an unknown method or half widths out of range.
    TsoError
        Where the trace lies outside the frame.

    Notes
    -----
    For white noise the scatter of N integrations is known to 0.99 / sqrt(N), as second
    differences are correlated, but the ratio of two scatters with correlation r of the
    curves to 1.39 sqrt((1 - r^2) / N); the test that they are equal is that of Pitman and
    Morgan [1]_. The least of many scatters is too small by chance, so it says nothing about
    the precision of the light curve. Contaminants inside the aperture are light to this
    measure: where they lie near, give ``half_widths`` that leave them out.

    References
    ----------
    .. [1] Pitman (1939), Biometrika 31, 9; Morgan (1939), Biometrika 31, 13.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> rates = rates.tso.find_trace().tso.optimize_aperture(half_widths=(2, 3, 4, 5, 6))
    >>> float(rates.aperture_half_width) == float(rates.tso.extract().aperture_half_width)
    True
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"optimize_aperture: method={method!r}; it must be one of {METHODS}")
    usual = _do.usual_of(ds, usual_half_width)
    plan = _do.plan_of(ds, usual, half_widths, regions, method)
    if half_widths is None:
        derived(half_widths=plan.half_widths)
    if regions is None:
        derived(regions=plan.regions)
    if method is None:
        derived(method=plan.method)
    if ds.sizes["time"] < _do.FEWEST:
        note(
            f"{ds.sizes['time']} integrations, at least {_do.FEWEST} are needed: "
            f"the usual half width of {usual.half_width:g} pixels stays"
        )
        return ds.assign_coords(aperture_half_width=_coordinate(usual.half_width, "aperture"))
    made = _do.light_of(ds, plan)
    planes = _do.compared(ds, made["light"], plan, usual)
    return _assembled(ds, plan, made, planes)


def _coordinate(value: Any, of: str) -> xr.Variable:
    held = value.astype("f4").variable if isinstance(value, xr.DataArray) else np.float32(value)
    return xr.Variable((), held, {"long_name": f"half width of the {of}", "units": "pix"})


def _assembled(
    ds: xr.Dataset, plan: tables.Plan, made: dict[str, xr.DataArray], planes: xr.DataArray
) -> xr.Dataset:
    """Return the rates with the choice and what it rests on."""
    chosen = planes.isel(plane=_do.PLANES.index("chosen"))
    widths = xr.DataArray(np.array(plan.half_widths), dims="half_width")
    coords = {"aperture_half_width": _coordinate((widths * chosen).sum(), "aperture")}
    of_region = chosen.sum("half_width")
    light = made["light"].where(of_region > 0, 0.0).sum("region", skipna=False)
    scatter = planes.isel(plane=_do.PLANES.index("scatter"))
    if not is_lazy(scatter):
        _note_limits(plan, np.asarray(scatter), np.asarray(chosen))
    texts = {
        "half_width": (widths, "half width of the aperture", "pix"),
        "light": (light / made["expected"], "white light over that of the median frame", "1"),
        "share": (made["share"], "light over that of the widest aperture", "1"),
        "predicted": (1e6 * made["predicted"], "scatter predicted from the errors", "ppm"),
        **{
            name: (planes.isel(plane=i) * (1e6 if unit == "ppm" else 1.0), text, unit)
            for i, (name, (text, unit)) in enumerate(zip(_do.PLANES, _TEXTS, strict=True))
        },
    }
    if plan.regions:
        regions = xr.DataArray(np.array(plan.regions), dims="region")
        texts["region"] = (regions, "half width of the background region", "pix")
        region = (regions * of_region).sum()
        coords["background_half_width"] = _coordinate(region, "background region")
    one = {} if plan.regions else {"region": 0}
    variables = {
        f"optimize_aperture_{n}": (a.isel(one, missing_dims="ignore").astype("f4")).assign_attrs(
            long_name=t, units=u
        )
        for n, (a, t, u) in texts.items()
    }
    variables["optimize_aperture_binned"].attrs["bin_length"] = _do.length_of(ds.sizes["time"])
    usual = _do.usual_of(ds, usual_half_width)
    variables["optimize_aperture_half_width"].attrs["usual"] = usual.half_width
    return ds.assign(variables).assign_coords(coords)


def _note_limits(plan: tables.Plan, scatter: np.ndarray, chosen: np.ndarray) -> None:
    """Say where nothing could be chosen, or the choice may lie beyond what was compared."""
    if not np.isfinite(scatter).any():
        note("no light curve has a scatter: the usual half width stays")
        return
    at = int(chosen.any(axis=1).argmax())
    if len(plan.half_widths) > 2 and at in (0, len(plan.half_widths) - 1):
        end = "narrowest" if at == 0 else "widest"
        note(f"the choice of {plan.half_widths[at]:g} pixels is the {end} that was compared")


_TEXTS = (
    ("scatter of the white light", "ppm"),
    ("1 sigma error of the scatter", "ppm"),
    ("scatter over the least one less 1", "1"),
    ("1 sigma error of the excess", "1"),
    ("excess in standard errors", "1"),
    ("scatter of means of several integrations", "ppm"),
    ("1 sigma error of the scatter of means", "ppm"),
    ("1 for the choice", "1"),
)
"""Names and units of `_optimize_aperture.PLANES`."""


@diagnostic(optimize_aperture)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw scatter against half width with the choice, and that of means without ``ax``."""
    if "optimize_aperture_scatter" not in ds:
        raise TsoError(
            "plot.optimize_aperture: nothing was compared; see the note of the step in ds.tso.history"
        )
    if ax is not None:
        return _draw.scatter(ax, ds)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(8.0, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _draw.scatter(above, ds).set_xlabel("")
    _draw.binned(below, ds)
    return above
