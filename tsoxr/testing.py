"""The contract of a step, as checks that anyone can run on his own step.

>>> from tsoxr import testing
>>> data = testing.example("rates")
>>> testing.check_step("flag_outliers", data)
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import history, registry, schema

__all__ = ["CHECKS", "check_step", "example", "prepared", "raise_if_computes"]


@contextmanager
def raise_if_computes() -> Iterator[None]:
    """Fail inside this block when lazy data are computed.

    Raises
    ------
    AssertionError
        At the first computation.
    """
    import dask

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("lazy data were computed while a step was being built")

    with dask.config.set(scheduler=refuse):
        yield


@functools.cache
def _simulated(kind: str, mode: str) -> xr.Dataset:
    from tsoxr.simulation import simulate

    made = "spectra" if kind == "spectrum" else kind
    return simulate(mode, kind=made, n_integrations=24, seed=7)


def example(kind: str, mode: str = "nirspec-prism") -> xr.Dataset:
    """Return a small simulated Dataset of a kind, in memory.

    Parameters
    ----------
    kind : {"ramps", "rates", "spectra", "lightcurves"}
        Product.
    mode : str
        A mode that the simulator has.
    """
    return _simulated(kind, mode).copy()


def prepared(name: str, ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` after the steps that supply what step ``name`` needs."""
    spec = registry.discover()[name]
    for need in spec.needs:
        if need not in ds.variables:
            maker = next(s for s in registry.STEPS.values() if need in s.adds and s.name != name)
            ds = _run(maker.name, prepared(maker.name, ds), {})
    return ds


def _run(name: str, ds: xr.Dataset, given: dict[str, Any]) -> xr.Dataset:
    spec = registry.STEPS[name]
    used, from_mode = registry.resolve(spec, ds, given)
    return registry.apply(spec, ds, used, from_mode=from_mode)


def _lazily(name: str, given: dict[str, Any]) -> dict[str, Any]:
    lazy_only = {"compute": False} if "compute" in registry.STEPS[name].parameters else {}
    return {**given, **lazy_only}


def _fingerprint(ds: xr.Dataset) -> dict[str, str]:
    prints = {
        str(n): hashlib.sha1(np.ascontiguousarray(v.values).tobytes()).hexdigest()  # noqa: S324 -- identifies
        for n, v in ds.variables.items()
    }
    return {
        **prints,
        **{f"attrs of {n}": repr(v.attrs) for n, v in ds.variables.items()},
        "attrs": repr(ds.attrs),
    }


def input_is_untouched(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """The step writes nothing into what it is given."""
    before = _fingerprint(ds)
    _run(name, ds, given)
    changed = [k for k, v in _fingerprint(ds).items() if before.get(k) != v]
    assert not changed, f"{name} changed its input: {changed}"


def lazy_stays_lazy(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """Building the step on lazy data computes nothing, and the result is lazy."""
    chunked = ds.chunk(time=7)
    with raise_if_computes():
        out = _run(name, chunked, _lazily(name, given))
    heavy = [
        n for n, v in out.variables.items() if "time" in v.dims and v.ndim > 1 and v.chunks is None
    ]
    assert not heavy, f"{name} gave loaded variables from lazy data: {heavy}"


def lazy_equals_eager(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """Lazy and loaded data give the same result to the bit."""
    given = _lazily(name, given)
    lazy = _run(name, ds.chunk(time=7), given).compute()
    xr.testing.assert_identical(lazy, _run(name, ds, given).compute())


def result_is_valid(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """The result keeps to the schema of its kind."""
    out = _run(name, ds, given)
    assert schema.validate(out) == []
    expected = registry.STEPS[name].to
    assert out.attrs["tso_kind"] == (expected if expected is not None else ds.attrs["tso_kind"])


def history_grows_by_one(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """Exactly one record is added, and it names every parameter."""
    before, after = history.records(ds.attrs), history.records(_run(name, ds, given).attrs)
    assert after[:-1] == before
    assert after[-1]["step"] == name
    assert set(after[-1]["params"]) == set(registry.STEPS[name].parameters)


def diagnostics_are_small(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """Diagnostics are marked, and none is larger than an eighth of the data."""
    out = _run(name, ds, given)
    largest = max(v.nbytes for v in ds.data_vars.values())
    for variable in (v for n, v in out.data_vars.items() if str(n).startswith(f"{name}_")):
        assert variable.attrs["diagnostic_of"] == name
        assert "units" in variable.attrs, f"{variable.name} has no units"
        assert variable.nbytes <= largest / 8, f"{variable.name} is too large for a diagnostic"


def survives_netcdf(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """Saved and opened again, the result is identical."""
    from tsoxr import io

    out = _run(name, ds, given)
    with tempfile.TemporaryDirectory() as folder:
        again = io.open(io.save(out, Path(folder) / "product.nc"))
        xr.testing.assert_identical(again.load(), out.compute())


def replays(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """The record alone repeats the step, unless an argument was an object."""
    from tsoxr.replay import replay

    out = _run(name, ds, given)
    objects = {f"{name}.{k}": v for k, v in given.items()}
    start = ds.assign_attrs(tso_history="[]")
    last = out.assign_attrs(tso_history=history.append({}, history.records(out.attrs)[-1]))
    xr.testing.assert_identical(replay(last, start, arguments=objects).compute(), last.compute())


def is_documented(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:  # noqa: ARG001 -- one signature
    """The docstring has its sections and names every parameter."""
    text = inspect.getdoc(registry.STEPS[name].func) or ""
    for section in ("Parameters\n---", "Returns\n---"):
        assert section in text, f"{name}: docstring lacks {section.split()[0]}"
    missing = [p for p in registry.STEPS[name].parameters if p not in text]
    assert not missing, f"{name}: docstring lacks {missing}"


def draws_axes(name: str, ds: xr.Dataset, given: dict[str, Any]) -> None:
    """The diagnostic plot returns axes and draws on those that it is given."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    assert name in registry.DIAGNOSTICS, f"{name} has no diagnostic plot"
    out = _run(name, ds, given)
    drawn = registry.DIAGNOSTICS[name](out)
    found = list(drawn.values()) if isinstance(drawn, dict) else [drawn]
    assert found
    assert all(isinstance(ax, mpl.axes.Axes) for ax in found)
    found[0].figure.canvas.draw()
    plt.close("all")


CHECKS = (
    input_is_untouched,
    lazy_stays_lazy,
    lazy_equals_eager,
    result_is_valid,
    history_grows_by_one,
    diagnostics_are_small,
    survives_netcdf,
    replays,
    is_documented,
    draws_axes,
)
"""What every registered step must hold."""


def check_step(name: str, ds: xr.Dataset, **given: Any) -> None:
    """Run every check of the contract on one step.

    Parameters
    ----------
    name : str
        A registered step.
    ds : xarray.Dataset
        Small, loaded data of the kind that it takes; steps that supply what it needs are
        applied first.
    **given
        Parameters for the step.

    Raises
    ------
    AssertionError
        At the first check that fails.
    """
    ds = prepared(name, ds)
    for check in CHECKS:
        check(name, ds, given)
