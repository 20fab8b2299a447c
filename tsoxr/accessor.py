"""``ds.tso``: the registry seen from a Dataset.

The accessor is a view made anew at each access. It holds no state, so nothing can go
stale, and it is not stored on the Dataset: xarray's cached registration makes a reference
cycle that keeps whole cubes alive until the cyclic collector happens to run.
"""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from tsoxr import history, lazy, memory, modes, registry, schema, summary, tree_accessor, trees
from tsoxr.errors import SchemaError, TsoWarning
from tsoxr.tree_accessor import TreeAccessor

__all__ = ["PlotView", "TreeAccessor", "TsoAccessor", "install"]


class _Uncached:
    """Give ``obj.tso`` a fresh view each time; the first access discovers the steps."""

    def __init__(self, view: type) -> None:
        self._view = view

    def __get__(self, obj: Any, owner: type) -> Any:
        _attach_steps()
        return self._view if obj is None else self._view(obj)


class PlotView:
    """``ds.tso.plot``: the diagnostic of each step, and pictures of the product."""

    __slots__ = ("_ds",)

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def __dir__(self) -> list[str]:
        done = {r["step"] for r in history.records(self._ds.attrs)}
        kind = schema.kind_of(self._ds)
        pictures = [p.name for p in registry.PICTURES.values() if kind in p.kinds]
        return sorted([*pictures, *(s for s in registry.DIAGNOSTICS if s in done)])

    def __repr__(self) -> str:
        return f"plots of these {schema.kind_of(self._ds)}: {', '.join(dir(self))}"


class TsoAccessor:
    """Steps, plots, history and products of a time-series Dataset, as ``ds.tso``.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps, rates, spectra or light curves.
    """

    __slots__ = ("_ds",)

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def __dir__(self) -> list[str]:
        kind = schema.kind_of(self._ds)
        every = [*registry.STEPS.values(), *trees.SPLITS.values()]
        other = {s.name for s in every if kind not in s.kinds}
        return [name for name in object.__dir__(self) if name not in other]

    @property
    def kind(self) -> str | None:
        """Product kind: ramps, rates, spectra, lightcurves or spectrum."""
        return schema.kind_of(self._ds)

    @property
    def mode(self) -> modes.Mode | None:
        """Observing mode, ``None`` where it is not one of `tsoxr.modes`."""
        name = self._ds.attrs.get("tso_mode")
        return modes.get(name) if name in modes.names() else None

    @property
    def history(self) -> history.History:
        """What was done, as a table and as code (``.as_code()``)."""
        return history.History(self._ds.attrs)

    @property
    def header(self) -> dict[str, dict[str, Any]]:
        """FITS cards of the file that the data came from: ``{"PRIMARY": {...}, "SCI": {...}}``."""
        return dict(json.loads(self._ds.attrs.get("fits_header", "{}")))

    @property
    def plot(self) -> PlotView:
        """Plots: a step's diagnostic, or a picture of the product."""
        return PlotView(self._ds)

    def defaults(self, step: str) -> pd.DataFrame:
        """Return the defaults of a step for this Dataset's mode, with their reasons.

        Parameters
        ----------
        step : str
            Name of a step.

        Returns
        -------
        pandas.DataFrame
            One row per parameter: the function's default, the mode's value, the reason.

        Raises
        ------
        KeyError
            For an unknown step.
        """
        spec = _step(step)
        of_mode = modes.step_defaults(self._ds.attrs.get("tso_mode"), step)
        rows = [
            {
                "parameter": name,
                "function": None if p.default is inspect.Parameter.empty else p.default,
                "mode": of_mode[name].value if name in of_mode else None,
                "reason": of_mode[name].reason if name in of_mode else "the function's own default",
            }
            for name, p in spec.parameters.items()
        ]
        columns = {
            name: pd.Series([row[name] for row in rows], dtype=object)  # keeps None as None
            for name in ("parameter", "function", "mode", "reason")
        }
        return pd.DataFrame(columns).set_index("parameter")

    def validate(self, *, strict: bool = False) -> list[str]:
        """Return what differs from the schema of this kind; see `tsoxr.schema.validate`."""
        return schema.validate(self._ds, strict=strict)

    def summary(self) -> pd.DataFrame:
        """Return what to judge each step by, beside what is expected; flags, times and noise.

        Lazy diagnostics are computed.

        Returns
        -------
        pandas.DataFrame
            Columns ``step``, ``quantity``, ``value``, ``unit``, ``expected``, and ``look``, an
            arrow where a value is not as expected.
        """
        return summary.table(self._ds)

    def estimate_memory(self) -> pd.DataFrame:
        """Return what is in memory now and what the next stage will add; nothing is computed.

        Returns
        -------
        pandas.DataFrame
            One row for each part, GB (1e9 bytes): ``data`` on disk, ``loaded``, ``sample`` and
            ``working`` memory of a pass, what is ``kept`` between samples, the ``rates`` that
            come out of ramps, the ``peak`` that is added to ``loaded``, and what is
            ``available``. Peaks are within a factor of 1.6 of measured ones (a test). Smaller
            chunks (``tsoxr.open(chunk_mb=)``), fewer threads (``set_options(threads=)``) and
            ``fit_ramps(compute=False)`` lower it.

        Examples
        --------
        >>> import tsoxr
        >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=4, seed=1)
        >>> ramps.tso.estimate_memory().loc["rates", "GB"]
        np.float64(0.001)
        """
        return memory.estimate(self._ds)

    def save(self, path: str | Path) -> Path:
        """Write the Dataset to netCDF; the file appears whole or not at all.

        Parameters
        ----------
        path : str or Path
            Where to. An existing file is replaced once the new one is complete.

        Returns
        -------
        pathlib.Path
            The file.
        """
        from tsoxr import io

        return io.save(self._ds, path)

    def drop_diagnostics(self) -> xr.Dataset:
        """Return the Dataset without the diagnostic variables of its steps."""
        names = [n for n, v in self._ds.data_vars.items() if "diagnostic_of" in v.attrs]
        return self._ds.drop_vars(names)

    def pixel_time(self, *, of: str = "integration") -> xr.DataArray:
        """Return when each pixel, or wavelength, was measured; see `tsoxr.times.pixel_time`.

        Parameters
        ----------
        of : {"integration", "slope"}
            The middle of the pixel's integration from reset to last read (``time`` plus
            ``read_offset``), or the mean time of the light that its slope measures, half a
            frame later where all groups are used. Fit light curves with the latter.

        Returns
        -------
        xarray.DataArray
            (time, y, x) or (time, wavelength), float64, d.

        Raises
        ------
        SchemaError
            Without ``read_offset``.
        """
        from tsoxr import times

        return times.pixel_time(self._ds, of=of)

    def median_image(self) -> xr.DataArray:
        """Return the median over time of the rates (y, x), or of the last group of ramps.

        Flagged samples count like others; at most 32 integrations are read.

        Raises
        ------
        SchemaError
            For a product without a detector image.
        """
        if self.kind == "rates":
            image, source = self._ds["rate"], "rate"
        elif self.kind == "ramps":
            image, source = self._ds["ramp"].isel(group=-1, drop=True), "last group"
        else:
            raise SchemaError(f"median_image takes ramps or rates; this Dataset is {self.kind}")
        out = lazy.time_median(image).assign_coords({d: self._ds[d] for d in ("y", "x")})
        return out.rename("median_image").assign_attrs(
            units=image.attrs.get("units", "1"), long_name=f"median over time of the {source}"
        )

    def spectrum(self) -> xr.Dataset:
        """Return the mean in-transit depth of each light curve, (wavelength), ppm.

        The depth is one minus the ratio of the weighted mean fluxes in and out of
        transit, a straight line in time having been fitted to the points out of transit.
        Points are in transit where the coordinate ``in_transit`` is true
        (``ds.tso.mark_transit``). It is a first look: the mean over the transit contains
        limb darkening and the limbs' passages.

        Returns
        -------
        xarray.Dataset
            ``depth``, ``depth_error`` (wavelength), ppm.

        Raises
        ------
        SchemaError
            For another kind, or without ``in_transit``.
        TsoError
            Without at least one point in and three out of transit.
        """
        from tsoxr import depth

        return depth.spectrum(self._ds)

    def __repr__(self) -> str:
        return f"{summary.identity(self._ds)}\n{self.history!r}"

    def _repr_html_(self) -> str:
        import html

        return (
            f"<p><b>{html.escape(summary.identity(self._ds))}</b></p>{self.history._repr_html_()}"
        )


def _step(name: str) -> registry.Step:
    every = trees.registered()
    if name not in every:
        raise KeyError(f"no step is called {name!r}; steps are {sorted(every)}")
    return every[name]


@functools.cache
def _attach_steps() -> None:
    """Give the accessors a method for each step and the plot view one for each plot."""
    registry.discover()
    for name, spec in {**registry.STEPS, **trees.SPLITS}.items():
        setattr(TsoAccessor, name, _method(spec.run, "_ds"))
    for name, picture in registry.PICTURES.items():
        setattr(PlotView, name, _picture_method(picture))
    for name, func in registry.DIAGNOSTICS.items():
        setattr(PlotView, name, _diagnostic_method(name, func))
    tree_accessor.attach()


def _method(func: Callable[..., Any], slot: str) -> Callable[..., Any]:
    """Return ``func(ds, ...)`` as a method; completion shows the step's own parameters."""

    @functools.wraps(func)
    def method(self: Any, *args: Any, **given: Any) -> Any:
        return func(getattr(self, slot), *args, **given)

    signature = inspect.signature(func)
    _, *rest = signature.parameters.values()
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(parameters=[own, *rest])  # type: ignore[attr-defined]
    return method


def _picture_method(picture: registry.Picture) -> Callable[..., Any]:
    @functools.wraps(picture.func)
    def checked(ds: xr.Dataset, **given: Any) -> Any:
        if schema.kind_of(ds) not in picture.kinds:
            shown = " or ".join(picture.kinds)
            raise SchemaError(
                f"plot.{picture.name} shows {shown}; this Dataset is {schema.kind_of(ds)}"
            )
        return picture.func(ds, **given)

    return _method(checked, "_ds")


def _diagnostic_method(name: str, func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def checked(ds: xr.Dataset, **given: Any) -> Any:
        done = [r["step"] for r in history.records(ds.attrs)]
        if name not in done:
            raise SchemaError(
                f"plot.{name} shows what {name}() did; it has not been applied to this Dataset "
                f"(applied: {', '.join(done) if done else 'nothing'})"
            )
        return func(ds, **given)

    return _method(checked, "_ds")


def install() -> None:
    """Put ``tso`` on `xarray.Dataset` and `xarray.DataTree`; warn if the name is taken."""
    for owner, view in ((xr.Dataset, TsoAccessor), (xr.DataTree, TreeAccessor)):
        present = owner.__dict__.get("tso")
        if present is not None and not isinstance(present, _Uncached):
            warnings.warn(
                f"tsoxr replaces the accessor {owner.__name__}.tso", TsoWarning, stacklevel=2
            )
        owner.tso = _Uncached(view)
