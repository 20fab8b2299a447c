"""Attach the detector's reference data, cut to the subarray.

References hold what is known of each pixel from calibration exposures: gain, read noise,
superbias, dark, linearity, saturation, flat, and which pixels are bad. They are given by hand,
as arrays or paths, or found in a folder of JWST reference files. Steps that could use
one and do not find it say in their record what they did instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.errors import SchemaError
from tsoxr.io import reference, reference_cut
from tsoxr.io.reference import ReferenceFile
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["use_references"]

_OF_KIND = {
    "ramps": tuple(reference.TYPES),
    "rates": ("gain", "readnoise", "flat", "mask"),
}
_ALIASES = {"read_noise": "readnoise", "bad_pixels": "mask"}
_SAME_SETUP = {"READPATT": "P_READPA", "FILTER": "P_FILTER", "PUPIL": "P_PUPIL"}
_ANY = ("", "ANY", "N/A", "GENERIC")


@step(
    kind=("ramps", "rates"),
    adds=("gain", "read_noise", "superbias", "linearity", "saturation", "dark", "flat", "reset"),
)
def use_references(
    ds: xr.Dataset,
    source: str | Path | Mapping[str, Any],
    *,
    types: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """Attach reference data from a folder, from files or from arrays.

    Full-frame files are cut to the subarray of the exposure. Flags of a reference join
    those of the data under their standard names.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps or rates.
    source : path or mapping
        A folder of JWST reference files, of which those that fit the detector, the subarray and
        the read-out pattern are taken; or ``{type: path, array or number}`` with types
        ``superbias``, ``dark``, ``linearity``, ``saturation``, ``gain``, ``readnoise``,
        ``mask``, ``flat``, ``reset``. A ``readnoise`` file holds the noise of a difference of two
        reads, which is divided by the square root of 2; an array or a number given here is the
        noise of a single read, DN.
    types : tuple of str, optional
        Only these types; all that the kind of data can use if not given.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``gain`` (y, x) electron/DN, ``read_noise``, ``superbias`` and
        ``saturation`` (y, x) DN, ``linearity`` (coefficient, y, x), ``dark`` and ``reset``
        (group, y, x) DN, ``flat`` (y, x): what there was. Darks and resets that differ between
        the first integrations have ``nth_integration`` as their first dim. Flags are added to ``dq_pixel`` (``dq`` for rates).
        Each variable carries the path and the SHA-1 checksum of its file.

    Raises
    ------
    FileNotFoundError
        For a folder or a file that is not there.
    SchemaError
        For a file of another detector or that does not cover the subarray, a folder with
        several files that fit, an array of another shape.
    ValueError
        For an unknown type.

    Notes
    -----
    Rates of the archive are scaled to the gain of the full frame where the header says so
    (S_GANSCL); the gain of the subarray is then divided by the same factor (GAINFACT).
    """
    kind = str(schema.kind_of(ds))
    wanted = _OF_KIND[kind] if types is None else tuple(_known(t) for t in types)
    if isinstance(source, Mapping):
        found = _from_mapping(ds, source, wanted)
    else:
        found = _from_folder(ds, Path(source).expanduser(), wanted)
    missing = [t for t in wanted if t not in found]
    note(f"references found: {', '.join(found) if found else 'none'}")
    if missing:
        note(f"not found: {', '.join(missing)}")
    if "mask" in found and "reference_sha1" in found["mask"].attrs:
        mask = found["mask"].attrs
        note(f"mask: {mask['reference_file']}, sha1 {mask['reference_sha1']}")
    out = ds
    for reftype, part in found.items():
        out = _attached(out, reftype, part, kind)
    return out


def _known(name: str) -> str:
    known = _ALIASES.get(name, name)
    if known not in reference.TYPES:
        raise ValueError(
            f"use_references: {name!r} is no type of reference; types are {', '.join(reference.TYPES)}"
        )
    return known


def _from_mapping(
    ds: xr.Dataset, source: Mapping[str, Any], wanted: tuple[str, ...]
) -> dict[str, xr.Dataset]:
    found = {}
    for name, given in source.items():
        reftype = _known(name)
        if reftype not in wanted:
            continue
        if isinstance(given, str | Path):
            file = reference.describe_reference(given)
            if file.reftype != reftype:
                raise SchemaError(
                    f"use_references: {file.name} is a {file.reftype} reference but was given as {name!r}; "
                    "give it under its own type"
                )
            found[reftype] = _fitted(ds, file)
        else:
            found[reftype] = _from_array(ds, reftype, given)
    return found


def _from_array(ds: xr.Dataset, reftype: str, given: Any) -> xr.Dataset:
    array = given if isinstance(given, xr.DataArray) else xr.DataArray(given)
    array = array.reset_coords(drop=True).drop_vars(list(array.coords), errors="ignore")
    wrong = {
        d: (n, ds.sizes[d]) for d, n in array.sizes.items() if d in ds.sizes and n != ds.sizes[d]
    }
    unknown = [d for d in array.dims if d not in (*ds.dims, "coefficient", "nth_integration")]
    if wrong or unknown or "time" in array.dims:
        raise SchemaError(
            f"use_references: {reftype!r} has dims {dict(array.sizes)}; the data have "
            f"{ {d: n for d, n in ds.sizes.items() if d != 'time'} }; give an array that fits"
        )
    name = reference.TYPES[reftype]
    if name is None:
        flags = schema.label(array.astype("uint32"), "ramps", "dq_pixel")
        return xr.Dataset({"dq": flags.rename("dq")})
    return xr.Dataset(
        {
            name: schema.label(
                array.astype("float32"), "ramps", name, reference_file="given as an array"
            )
        }
    )


def _from_folder(ds: xr.Dataset, folder: Path, wanted: tuple[str, ...]) -> dict[str, xr.Dataset]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"use_references: there is no folder {str(folder)!r}; give a folder of reference files, or "
            "{type: path}"
        )
    candidates: dict[str, list[ReferenceFile]] = {}
    unfit: dict[str, str] = {}
    for path in sorted(folder.glob("*.fits")):
        try:
            file = reference.describe_reference(path)
            reason = _mismatch(ds, file) if file.reftype in wanted else "not wanted"
        except SchemaError as error:
            reason = str(error)
        if reason is None:
            candidates.setdefault(file.reftype, []).append(file)
        elif reason != "not wanted":
            unfit[path.name] = reason
    if unfit:
        note(f"passed over {len(unfit)} files of the folder: {'; '.join(unfit.values())}")
    return {t: _fitted(ds, _best(ds, candidates[t])) for t in wanted if t in candidates}


def _mismatch(ds: xr.Dataset, file: ReferenceFile) -> str | None:
    """Return why a file of a folder does not belong to this exposure, ``None`` if it does."""
    header = ds.tso.header.get("PRIMARY", {})
    for key, pattern in _SAME_SETUP.items():
        given = str(file.primary.get(pattern) or file.primary.get(key) or "").upper()
        allowed = {part.strip() for part in given.split("|") if part.strip()}
        own = str(header.get(key, "")).strip().upper()
        if own and allowed and not allowed & {own, *_ANY}:
            return f"{file.name} is for {key}={given}, the exposure has {own}"
    try:
        reference_cut.check_covers(file, ds.attrs, *_window(ds))
        reference_cut.check_groups(file, ds.attrs)
    except SchemaError as error:
        return str(error)
    return None


def _best(ds: xr.Dataset, files: list[ReferenceFile]) -> ReferenceFile:
    """Prefer the file of the very subarray to one that has to be cut."""
    own = [
        f for f in files if str(f.primary.get("SUBARRAY", "")).upper() == ds.attrs.get("subarray")
    ]
    choice = own or files
    if len(choice) > 1:
        raise SchemaError(
            f"use_references: {len(choice)} files of type {choice[0].reftype} fit "
            f"({', '.join(f.name for f in choice)}); give {{'{choice[0].reftype}': path}} or remove one"
        )
    return choice[0]


def _window(ds: xr.Dataset) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size of the image and the place of its first pixel in the subarray."""
    origin = []
    for dim in ("y", "x"):
        index = np.asarray(ds[dim].values)
        if np.any(np.diff(index) != 1):
            raise SchemaError(
                f"use_references: pixels along {dim!r} are not consecutive ({index[0]} to {index[-1]}, "
                f"{index.size} of them); attach references before selecting pixels"
            )
        origin.append(int(index[0]))
    return (ds.sizes["y"], ds.sizes["x"]), (origin[0], origin[1])


def _fitted(ds: xr.Dataset, file: ReferenceFile) -> xr.Dataset:
    shape, origin = _window(ds)
    part = reference_cut.cut(file, ds.attrs, shape, origin)
    factor = ds.attrs.get("gain_factor")
    if file.reftype == "gain" and ds.attrs.get("gain_scaled"):
        if factor is None:
            note("rates are scaled by an unknown factor (S_GANSCL without GAINFACT): gain as filed")
            return part
        scaled = (part["gain"] / np.float32(factor)).assign_attrs(
            {**part["gain"].attrs, "divided_by_gain_factor": float(factor)}
        )
        note(f"gain divided by GAINFACT = {factor:g}, by which the rates were multiplied")
        part = part.assign(gain=scaled)
    return part


def _attached(ds: xr.Dataset, reftype: str, part: xr.Dataset, kind: str) -> xr.Dataset:
    name = reference.TYPES[reftype]
    target = "dq_pixel" if kind == "ramps" else "dq"
    if "dq" in part and target in ds:
        merged = (ds[target] | part["dq"].variable).transpose(*ds[target].dims).astype("uint32")
        merged.attrs = dict(ds[target].attrs)
        ds = ds.assign({target: merged})
    return ds if name is None else ds.assign({name: part[name].variable})


@diagnostic(use_references)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the unusable pixels over one of the attached references."""
    names = [n for n in reference.TYPES.values() if n in ds and {"y", "x"} <= set(ds[n].dims)]
    ny, nx = ds.sizes["y"], ds.sizes["x"]
    ax = style.axes(ax, size=(8.0, 2.6) if nx >= ny else (3.6, 7.0))
    y, x = np.asarray(ds["y"]), np.asarray(ds["x"])
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    if names:
        shown = ds[names[0]]
        shown = shown.isel({d: -1 for d in shown.dims if d not in ("y", "x")}).transpose("y", "x")
        style.image(ax, shown.values, extent=extent, label=style.label_of(ds[names[0]]))
    flags = ds["dq_pixel"] if "dq_pixel" in ds else dq.or_reduce(ds["dq"], "time")
    bad = dq.has_flag(flags, "DO_NOT_USE").transpose("y", "x").values
    rows, columns = np.nonzero(bad)
    ax.plot(x[columns], y[rows], ".", ms=2, color=style.COLORS["bad"])
    ax.set(xlabel="x [pix]", ylabel="y [pix]", title=f"{bad.sum()} pixels not to be used")
    return ax
