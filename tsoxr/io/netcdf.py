"""Products on disk: netCDF4 files that open with plain xarray too.

The root group holds the science; each step's diagnostics lie in ``/diagnostics/<step>``
and share the dims and coordinates of the group above. A file appears whole or not at all.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import history, lazy, schema
from tsoxr.errors import SchemaError
from tsoxr.io.fits_lazy import integrations_per_chunk
from tsoxr.options import OPTIONS
from tsoxr.progress import progress

__all__ = ["load", "nodes", "root_of", "save"]

CONVENTIONS = "CF-1.11"
_OF_THE_FILE = ("Conventions", "date_created", "history")
"""Attributes that belong to the file, not to the Dataset: added by `save`, taken off by `load`."""

_GROUP = "diagnostics"
_LAZY_KINDS = ("ramps",)
_WORTH_COMPRESSING = 4096


def save(ds: xr.Dataset | xr.DataTree, path: str | Path) -> Path:
    """Write a Dataset or a DataTree to netCDF4; the file appears whole or not at all.

    Lazy data are computed chunk by chunk on the way.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataTree
        Any product, or several in a tree.
    path : str or Path
        Where to. The new file is built as ``<path>.partial`` and then takes the place of an
        old one; on an error or an interruption the old file is untouched.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    SchemaError
        For an attribute that netCDF cannot hold.
    FileNotFoundError
        When the folder does not exist.
    OSError
        When the disk is full, or cannot be written for another reason.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {str(path.parent)!r}; make it first")
    is_tree = isinstance(ds, xr.DataTree)
    groups = dict(_tree_groups(ds) if isinstance(ds, xr.DataTree) else _groups(ds, "/"))
    root = groups.get("/", xr.Dataset())
    groups["/"] = root.assign_attrs(_file_attributes(groups))
    for group, content in groups.items():
        _check_attributes(content, group)
    _check_room(groups, path)
    partial = path.with_name(path.name + ".partial")
    with _removed_on_error(partial), progress(path.name), lazy.prepared(*groups.values()):
        groups = {group: lazy.load_static(content) for group, content in groups.items()}
        tree = xr.DataTree.from_dict(groups)
        contents = {
            node.path: node.to_dataset(inherit=is_tree or node is tree) for node in tree.subtree
        }
        _write(contents, partial)
        partial.replace(path)
    return path


class _Waiting:
    """What xarray would write with dask, kept for a pass of our own; see `lazy.store`."""

    def __init__(self, path: Path) -> None:
        self.arrays: list[Any] = []
        self.writes: list[lazy.Write] = []
        self._path = path

    def add(self, source: Any, target: Any, region: Any = None) -> None:
        """Write an array to its place in the file, or remember to."""
        write = functools.partial(self._write, target)
        if lazy.is_lazy(source):
            self.arrays.append(source)
            self.writes.append(write)
        else:
            write(... if region is None else region, source)

    def _write(self, target: Any, place: Any, block: Any) -> None:
        with _explained(self._path):
            target[place] = block


def _write(contents: Mapping[str, xr.Dataset], path: Path) -> None:
    """Write the groups of a new file, lazy variables of all groups in one pass.

    The targets lock the library while they write.
    """
    waiting = _Waiting(path)
    with _explained(path):
        file = xr.backends.NetCDF4DataStore.open(path, mode="w", format="NETCDF4")
    try:
        for group, ds in contents.items():
            place = file if group == "/" else file.get_child_store(group)
            ds.dump_to_store(place, writer=waiting, encoding=_encoding(ds))
        lazy.store(waiting.arrays, waiting.writes)
    except BaseException:
        with suppress(OSError, RuntimeError):  # what went wrong first is what counts
            file.close()
        raise
    with _explained(path):
        file.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what an error of the library means: it calls every one of them an HDF error."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OSError(
            f"save: {path.name.removesuffix('.partial')} cannot be written ({error}); {free:.0f} MB are free in "
            f"{str(path.parent)!r}; make room there, or save to another folder"
        ) from error


def _check_room(groups: Mapping[str, xr.Dataset], path: Path) -> None:
    """Raise before hours of work whose result has no room; integers are compressed, and count nothing."""
    variables = [v for ds in groups.values() for v in ds.variables.values()]
    needed = sum(v.nbytes for v in variables if v.dtype.kind == "f") / 1e6
    free = shutil.disk_usage(path.parent).free / 1e6
    if needed > free:
        raise OSError(
            f"save: {path.name} takes {needed:.0f} MB or more, and {free:.0f} MB are free in "
            f"{str(path.parent)!r}; make room there, or save to another folder"
        )


def _tree_groups(tree: xr.DataTree) -> Iterator[tuple[str, xr.Dataset]]:
    for node in tree.subtree:
        if node.has_data or node is tree:
            yield from _groups(node.to_dataset(), node.path)


def _groups(ds: xr.Dataset, path: str) -> Iterator[tuple[str, xr.Dataset]]:
    """Split a Dataset into its science and the diagnostics of each step."""
    ds = ds.drop_encoding()
    of_step: dict[str, list[Any]] = {}
    for name, array in ds.data_vars.items():
        if "diagnostic_of" in array.attrs:
            of_step.setdefault(str(array.attrs["diagnostic_of"]), []).append(name)
    science = ds.drop_vars([n for names in of_step.values() for n in names])
    yield path, science
    for step, names in of_step.items():
        bare = {n: ds[n].variable for n in names}
        yield f"{path.rstrip('/')}/{_GROUP}/{step}", xr.Dataset(bare)


def _file_attributes(groups: Mapping[str, xr.Dataset]) -> dict[str, str]:
    told = next((g.attrs for g in groups.values() if history.ATTRIBUTE in g.attrs), {})
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {"Conventions": CONVENTIONS, "date_created": now, "history": repr(history.History(told))}


def _check_attributes(ds: xr.Dataset, group: str) -> None:
    where = {"": ds.attrs, **{f" of {name!r}": v.attrs for name, v in ds.variables.items()}}
    for what, attrs in where.items():
        for name, value in attrs.items():
            if value is None or isinstance(value, bool | np.bool_ | dict):
                raise SchemaError(
                    f"save: attribute {name!r}{what} in group {group} is {value!r}, which netCDF cannot hold; "
                    "leave it out, or write 0/1 or JSON text"
                )


def _encoding(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Integers compress well and quickly; noise in floats does not and stays as it is."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in ds.variables.items():
        own: dict[str, Any] = {}
        if variable.dtype.kind == "f":
            own["_FillValue"] = None
        if variable.dtype.kind in "iu" and variable.size > _WORTH_COMPRESSING:
            own |= {"zlib": True, "complevel": 1, "shuffle": True}
        chunks = _chunks(variable)
        if chunks is not None and (variable.chunks is not None or "zlib" in own):
            own["chunksizes"] = chunks
        encoding[str(name)] = own
    return encoding


def _chunks(variable: xr.Variable) -> tuple[int, ...] | None:
    if variable.ndim < 2 or variable.size <= _WORTH_COMPRESSING or "time" not in variable.dims:
        return None
    sizes = dict(variable.sizes)
    if variable.chunks is not None:
        n = max(variable.chunks[variable.get_axis_num("time")])
    else:
        n = _time_chunk(sizes)
    return tuple(n if d == "time" else s for d, s in sizes.items())


def _time_chunk(sizes: Mapping[Any, int]) -> int:
    one = math.prod(n for d, n in sizes.items() if d != "time")
    return integrations_per_chunk((sizes["time"], one), OPTIONS.chunk_mb)


@contextmanager
def _removed_on_error(partial: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        partial.unlink(missing_ok=True)
        name = partial.name.removesuffix(".partial")
        error.add_note(f"save: {name} was not written; if there was one before, it is as it was")
        raise


def nodes(path: str) -> dict[str, dict[str, Any]]:
    """Return the attributes of each product in a netCDF file by group; nothing is read.

    The order of spectra is added as ``order`` where there is one.
    """
    import netCDF4

    found: dict[str, dict[str, Any]] = {}
    with netCDF4.Dataset(path) as root:
        waiting = [root]
        while waiting:
            group = waiting.pop(0)
            waiting += [g for n, g in group.groups.items() if n != _GROUP]
            if "tso_kind" in group.ncattrs():
                attrs = {n: group.getncattr(n) for n in group.ncattrs()}
                if "order" in group.variables and group.variables["order"].ndim == 0:
                    attrs["order"] = int(group.variables["order"][...])
                found[group.path] = attrs
    return found


def root_of(path: str) -> tuple[dict[str, str], list[str]]:
    """Return the text attributes and the names of the variables of the root group."""
    import netCDF4

    with netCDF4.Dataset(path) as root:
        attrs = {n: root.getncattr(n) for n in root.ncattrs()}
        return {n: v for n, v in attrs.items() if isinstance(v, str)}, list(root.variables)


def load(path: str, group: str = "/", chunk_mb: float | None = None) -> xr.Dataset:
    """Return one product of a netCDF file, its diagnostics merged back.

    Ramps come back lazily; everything else is loaded and the file closed.
    """
    ds = _read(path, group, chunk_mb)
    parts = {
        name: array.variable
        for step in _steps(path, group)
        for name, array in step.data_vars.items()
    }
    ds = ds.assign(parts) if parts else ds
    ds.attrs = {n: v for n, v in ds.attrs.items() if n not in _OF_THE_FILE}
    return ds.drop_encoding()


def _open(path: str, group: str, **more: Any) -> xr.Dataset:
    return xr.open_dataset(
        path, group=group, engine="netcdf4", decode_times=False, cache=False, **more
    )


def _read(path: str, group: str, chunk_mb: float | None) -> xr.Dataset:
    with _open(path, group) as ds:
        if schema.kind_of(ds) not in _LAZY_KINDS:
            return ds.load()
        cubes = [n for n, v in ds.data_vars.items() if {"time", "group", "y", "x"} <= set(v.dims)]
        stored = [ds[n].encoding.get("chunksizes") for n in cubes]
        n_time = _lazy_chunk(dict(ds[cubes[0]].sizes), stored, chunk_mb) if cubes else 1
        small = ds.drop_vars(cubes).load()
    large = _open(path, group, chunks={"time": n_time})[cubes].reset_coords(drop=True)
    return small.assign({n: large[n].variable for n in cubes})[list(ds.data_vars)]


def _lazy_chunk(sizes: dict[Any, int], stored: list[Any], chunk_mb: float | None) -> int:
    """Return integrations per chunk: whole chunks of the file, as near ``chunk_mb`` as they allow."""
    shape = (sizes["time"], math.prod(n for d, n in sizes.items() if d != "time"))
    wanted = integrations_per_chunk(shape, OPTIONS.chunk_mb if chunk_mb is None else chunk_mb)
    on_disk = max((s[0] for s in stored if s), default=1)
    return max(wanted // on_disk, 1) * on_disk


def _steps(path: str, group: str) -> list[xr.Dataset]:
    import netCDF4

    with netCDF4.Dataset(path) as root:
        parent = root if group == "/" else root[group]
        names = list(parent.groups[_GROUP].groups) if _GROUP in parent.groups else []
    found = []
    for name in names:
        with _open(path, f"{group.rstrip('/')}/{_GROUP}/{name}") as ds:
            found.append(ds.load())
    return found
