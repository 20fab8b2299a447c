"""Measure how the light moves and widens from integration to integration.

What moves is measured on the rates, before anything is extracted, and travels along as
covariates on ``time``. Where a covariate jumps, a mirror has tilted or the antenna has moved.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import registry, schema
from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import motion_model, motion_steps
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _rates, _track_plot
from tsoxr.steps._track import N_COLOURS, Plan, measured, model_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["track"]

METHODS = ("decomposition", "correlation", "moments")
TERMS = ("roll", "width", "constant")
COVARIATES = {
    "shift": "trace_shift",
    "shift_dispersion": "trace_shift_dispersion",
    "width": "trace_fwhm",
    "roll": "trace_roll",
}
JUDGED = ("shift", "shift_dispersion", "width")
"""Columns in which jumps are sought together."""
MIN_INTEGRATIONS = 3
MIN_FOR_STEPS = 16


@step(
    kind="rates",
    needs=("rate", "rate_error", "dq"),
    adds=("trace_shift", "trace_shift_dispersion", "trace_fwhm"),
)
def track(
    ds: xr.Dataset,
    *,
    method: str = "decomposition",
    half_width: float = 5.0,
    terms: tuple[str, ...] = TERMS,
    components: xr.DataArray | None = None,
    false_alarm: float = 0.01,
) -> xr.Dataset:
    """Measure how the light moves and widens from integration to integration.

    Each integration is compared with the mean frame, of spectra and of images alike. Shifts
    across dispersion, the width and the rotation do not depend on what happens to the light
    of single wavelengths, so that a transit leaves no trace in them.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. For spectra
        ``trace_center``; where it is missing `find_trace` is asked with its defaults.
    method : {"decomposition", "correlation", "moments"}
        ``"decomposition"``: weighted least squares onto the mean frame and its derivatives,
        at the limit of photons. ``"correlation"``: the vertex of the cross-correlation with the
        mean frame, for shifts of half a pixel and more. ``"moments"``: centroid and
        second moment, the plainest and the noisiest.
    half_width : float
        Pixels used on either side of the trace; for images the radius, 0 to find where the
        light ends.
    terms : tuple of {"roll", "width", "constant"}
        What is fitted beside the shifts. Rotation is not fitted to images. Without
        ``"constant"`` the background must have been subtracted.
    components : xarray.DataArray, optional
        Images (component, y, x) to fit too, in the unit of ``rate``, such as a ghost or
        a principal component; with ``"decomposition"``.
    false_alarm : float
        Probability that a series without jumps shows one, for white noise.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with coordinates on ``time``, float32: ``trace_shift`` and
        ``trace_shift_dispersion``, pix, from the mean frame; ``trace_fwhm``, pix;
        ``trace_roll``, radian; and ``<name>_error`` for each. Adds ``track_amplitude`` and
        ``track_amplitude_error`` (time), the light over that of the mean frame;
        ``track_step`` (time), 1 where a new level begins, and ``track_step_significance``
        (time), the likelihood ratio over its threshold; ``track_component`` (time, component).
        Data are not changed. With one or two integrations: unchanged, with a note.

    Raises
    ------
    ValueError
        For an unknown method or term, a width or probability out of range, or components
        of another shape.
    TsoError
        From `find_trace`, where there is no trace.

    Notes
    -----
    A shift along dispersion is one of the spectrum along its trace, and is as good as the
    spectrum has structure; changes of its colour up to a cubic are no shift. Equations,
    measured precision and limits stand on the page about motion.

    References
    ----------
    .. [1] Lim et al. (2023), ApJL 955, L22, for the decomposition.
    .. [2] Cappellari (2002), MNRAS 333, 400, for the sum of Gaussians.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-g395h", kind="rates", n_integrations=20, seed=1)
    >>> moved = rates.tso.track()
    >>> moved.trace_shift.dims, moved.trace_shift.attrs["units"]
    (('time',), 'pix')
    >>> bool(moved.trace_shift_error.max() < 2e-4)
    True
    """
    terms = (terms,) if isinstance(terms, str) else tuple(terms)
    imaging = _rates.is_imaging(ds)
    _check(ds, method, half_width, terms, components, imaging=imaging, false_alarm=false_alarm)
    if ds.sizes["time"] < MIN_INTEGRATIONS:
        note(f"{ds.sizes['time']} integrations: nothing to compare with, data unchanged")
        return ds
    if method == "moments" and "width" not in terms:
        terms = (*terms, "width")
    if imaging and "roll" in terms:
        terms = tuple(t for t in terms if t != "roll")
    plan = _plan(ds, method, half_width, terms, components, imaging=imaging)
    packed = model_of(plan, ds, _trace(ds, imaging=imaging), _images(ds, components))
    rate, error, flags = (ds[n].transpose("time", "y", "x") for n in ("rate", "rate_error", "dq"))
    (found,) = per_chunk(
        functools.partial(_one, plan), *(a.reset_coords(drop=True) for a in (rate, error, flags)), packed,
        dims=("time", "value"), dtypes=("float64",), sizes={"value": 2 * len(plan.columns)},
    )  # fmt: skip
    return _assembled(ds, plan, found, false_alarm)


def _one(plan: Plan, *arrays: np.ndarray) -> tuple[np.ndarray]:
    return (measured(plan, *arrays),)


def _check(
    ds: xr.Dataset,
    method: str,
    half_width: float,
    terms: tuple[str, ...],
    components: xr.DataArray | None,
    *,
    imaging: bool,
    false_alarm: float,
) -> None:
    if method not in METHODS:
        raise ValueError(f"track: method={method!r}; it must be one of {METHODS}")
    unknown = [t for t in terms if t not in TERMS]
    if unknown or len(set(terms)) < len(terms):
        raise ValueError(f"track: terms={terms}; they are {TERMS}, each at most once")
    if not (half_width >= 2 or (imaging and half_width == 0)):
        raise ValueError(
            f"track: half_width={half_width}; it must be at least 2 pixels"
            + (", or 0 to find where the light ends" if imaging else "")
        )
    if not 0 < false_alarm < 1:
        raise ValueError(f"track: false_alarm={false_alarm}; it is a probability between 0 and 1")
    if components is None:
        return
    wanted = {"y": ds.sizes["y"], "x": ds.sizes["x"]}
    found = dict(components.sizes) if isinstance(components, xr.DataArray) else {}
    if {k: v for k, v in found.items() if k != "component"} != wanted or "component" not in found:
        raise ValueError(
            f"track: components is {found or type(components).__name__}; "
            f"give a DataArray with dims component, y, x and sizes {wanted}"
        )
    if method != "decomposition":
        raise ValueError(f'track: components with method={method!r}; use method="decomposition"')


def _plan(
    ds: xr.Dataset,
    method: str,
    half_width: float,
    terms: tuple[str, ...],
    components: xr.DataArray | None,
    *,
    imaging: bool,
) -> Plan:
    n_extra = 0 if components is None else components.sizes["component"]
    space, along = ("y", "x") if imaging else (ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"])
    shape = motion_model.Shape(
        (2 if imaging else 1) + len(terms) + n_extra,
        ds.sizes[space], ds.sizes[along],
        2 if imaging else N_COLOURS + 1,
    )  # fmt: skip
    return Plan(method, imaging, space == "x", float(half_width), terms, n_extra, shape)


def _trace(ds: xr.Dataset, *, imaging: bool) -> xr.DataArray:
    """Return the index of the trace on the spatial axis, along dispersion."""
    if imaging:
        return xr.DataArray(np.zeros(1), dims="nowhere")
    space = ds.attrs["spatial_dim"]
    if "trace_center" not in ds.variables:
        note("no trace_center: the trace is that of find_trace with its defaults")
        spec = registry.STEPS["find_trace"]
        with registry.listening() as said:  # its parameters are not those of track
            ds = spec.func(ds, **registry.resolve(spec, ds, {})[0])
        for text in said.notes:
            note(text)
    centre = ds["trace_center"].reset_coords(drop=True)
    return (centre - _rates.first_position(ds, space)).drop_vars(list(centre.coords))


def _images(ds: xr.Dataset, components: xr.DataArray | None) -> xr.DataArray:
    if components is None:
        return xr.DataArray(
            np.zeros((0, ds.sizes["y"], ds.sizes["x"])), dims=("component", "y", "x")
        )
    bare = components.transpose("component", "y", "x").drop_vars(list(components.coords))
    return bare.astype("f8").fillna(0.0)


def _assembled(ds: xr.Dataset, plan: Plan, found: xr.DataArray, false_alarm: float) -> xr.Dataset:
    """Return the Dataset with covariates as coordinates and the diagnostics."""
    n = len(plan.columns)
    if plan.imaging and ds.attrs.get("spatial_dim") == "x":
        swap = {"shift": "shift_dispersion", "shift_dispersion": "shift"}
    else:
        swap = {}
    coords, parts = {}, {}
    for i, column in enumerate(plan.columns):
        value, error = found.isel(value=i), found.isel(value=n + i)
        name = COVARIATES.get(swap.get(column, column))
        if name is not None:
            coords[name] = _covariate(name, value)
            coords[f"{name}_error"] = _covariate(f"{name}_error", error)
    parts["track_amplitude"] = _labelled(found.isel(value=0), "light over that of the mean frame")
    parts["track_amplitude_error"] = _labelled(found.isel(value=n), "1 sigma error of the light")
    first = n - plan.n_extra
    if plan.n_extra:
        extra = found.isel(value=slice(first, n)).rename(value="component")
        parts["track_component"] = _labelled(extra, "components over the light")
    if ds.sizes["time"] < MIN_FOR_STEPS:
        note(
            f"{ds.sizes['time']} integrations: too few to look for jumps; {MIN_FOR_STEPS} are needed"
        )
    parts |= _jumps(found, plan, false_alarm)
    return ds.assign_coords(coords).assign(parts)


def _covariate(name: str, values: xr.DataArray) -> xr.Variable:
    return schema.label(values.astype("f4"), "rates", name).variable


def _labelled(array: xr.DataArray, long_name: str, dtype: str = "f8") -> xr.DataArray:
    return array.astype(dtype).assign_attrs(units="1", long_name=long_name)


def _jumps(found: xr.DataArray, plan: Plan, false_alarm: float) -> dict[str, xr.DataArray]:
    """Return where the covariates jump; one task for the whole series."""
    columns = [plan.columns.index(c) for c in JUDGED if c in plan.columns]
    n = len(plan.columns)

    def search(values: np.ndarray) -> tuple[np.ndarray]:
        if len(values) < MIN_FOR_STEPS:
            return (np.zeros((len(values), 2)),)
        with np.errstate(invalid="ignore"):
            error = np.array([_median(values[:, n + c]) for c in columns])
        steps = motion_steps.find_steps(values[:, columns].T, error, false_alarm)
        return (np.stack(steps, axis=1),)

    whole: Any = found.chunk(time=-1) if found.chunks is not None else found
    (both,) = per_chunk(
        search, whole, dims=("time", "part"), dtypes=("float64",), sizes={"part": 2}
    )
    if found.chunks is not None:
        both = both.chunk(time=found.chunksizes["time"])
    about = {"false_alarm": float(false_alarm)}
    return {
        "track_step_significance": _labelled(
            both.isel(part=0), "likelihood ratio of a jump over its threshold", "f4"
        ).assign_attrs(about),
        "track_step": _labelled(both.isel(part=1), "a new level begins", "i1").assign_attrs(about),
    }


def _median(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if good.size else np.nan


@diagnostic(track)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the covariates against time with their errors, jumps marked.

    Without ``ax`` one panel each, and the light; with it the shift across dispersion alone.
    """
    if "track_amplitude" not in ds:
        raise TsoError(
            "plot.track: nothing was tracked; see the note of the step in ds.tso.history"
        )
    jumps = style.hours(ds)[np.asarray(ds["track_step"]) > 0]
    if ax is not None:
        _track_plot.panel(ax, ds, "trace_shift", jumps)
        ax.set_xlabel("time since start [h]")
        return ax
    import matplotlib.pyplot as plt

    names = [n for n in COVARIATES.values() if n in ds.coords and np.isfinite(ds[n]).any()]
    names.append("track_amplitude")
    _, panels = plt.subplots(
        len(names), 1, figsize=(7.5, 1.0 + 1.35 * len(names)), sharex=True, layout="constrained"
    )
    for panel, name in zip(panels, names, strict=True):
        _track_plot.panel(panel, ds, name, jumps)
    panels[-1].set_xlabel("time since start [h]")
    text = "no jump" if not jumps.size else f"{jumps.size} jump" + "s" * (jumps.size > 1)
    panels[0].set_title(
        f"{text} at a false-alarm rate of {ds['track_step'].attrs['false_alarm']:g}", fontsize=9
    )
    return dict(zip(names, panels, strict=True))
