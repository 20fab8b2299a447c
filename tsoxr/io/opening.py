"""Open any product: what it is follows from its content, never from its name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr

from tsoxr.errors import SchemaError, TsoWarning
from tsoxr.io import eureka, jwst_fits, layout, netcdf, segments, times, x1dints
from tsoxr.io.layout import FitsFile
from tsoxr.io.sources import Source, format_of, paths_of

__all__ = ["open", "open_tree"]


@dataclass(frozen=True)
class _Piece:
    """One product that could be opened: a detector, an order, a node of a tree."""

    detector: str
    order: int | None
    node: str
    load: Callable[[], xr.Dataset]


def open(  # noqa: A001 -- called as tsoxr.open, as in xarray
    source: Source,
    *,
    detector: str | None = None,
    order: int | None = None,
    extraction: str = "optimal",
    chunk_mb: float | None = None,
) -> xr.Dataset:
    """Open an exposure, or a product of tsoxr or of Eureka!, as one Dataset.

    What a file is follows from its content. The segments of an exposure are joined to one
    time axis. Ramps (uncal, ramp) are opened lazily; rates (rateints, calints), spectra
    (x1dints, both layouts; SpecData of Eureka!) and light curves come into memory.

    Parameters
    ----------
    source : path, list of paths, or glob
        All segments of one exposure, in any order, or one product.
    detector : str, optional
        Which detector, such as ``"NRS1"``, where the files are of several.
    order : int, optional
        Which spectral order, where spectra of several are there.
    extraction : {"optimal", "box"}
        Which spectra of an Eureka! file: ``optspec`` or ``stdspec``.
    chunk_mb : float, optional
        Size of one chunk of ramps as float32, megabytes; the option ``chunk_mb`` if not given.

    Returns
    -------
    xarray.Dataset
        Ramps, rates, spectra or light curves; ``attrs["tso_kind"]`` says which.

    Raises
    ------
    FileNotFoundError
        For a file that is not there, or a pattern that matches none.
    SchemaError
        For a file that is truncated, of another kind, or no time series; for segments that
        do not belong together or are not all there; for several detectors or orders.
    ValueError
        For an unknown ``extraction``, or a ``chunk_mb`` that is not positive.

    See Also
    --------
    open_tree : several detectors or orders at once.

    Notes
    -----
    ``time`` is ``int_mid_BJD_TDB`` of INT_TIMES. Where that is absent, zero, NaN, repeated or
    goes back, the next clock is taken for all segments, with a `TsoWarning`: TDB-MID of spectral
    tables, ``int_mid_MJD_UTC``, MJD-AVG of spectral tables, EXPSTART and the cadence, the
    cadence alone. ``attrs["time_source"]`` and ``time.attrs["time_scale"]`` say which it was.
    """
    _check_options(extraction, chunk_mb)
    pieces = _pieces(paths_of(source), extraction, chunk_mb)
    chosen = [
        p
        for p in pieces
        if (detector is None or p.detector == detector.strip().upper()) and order in (None, p.order)
    ]
    if len(chosen) == 1:
        return chosen[0].load()
    raise SchemaError(_choice(pieces, chosen, detector, order))


def open_tree(
    source: Source, *, extraction: str = "optimal", chunk_mb: float | None = None
) -> xr.DataTree:
    """Open several detectors or orders of an exposure as a tree, one node for each.

    Parameters
    ----------
    source : path, list of paths, or glob
        Files of one exposure; the segments of each detector are joined.
    extraction : {"optimal", "box"}
        Which spectra of an Eureka! file.
    chunk_mb : float, optional
        Size of one chunk of ramps as float32, megabytes.

    Returns
    -------
    xarray.DataTree
        Nodes named after the detector (``/NRS1``), the order (``/order2``) or both
        (``/NRS1/order1``); a saved tree keeps its names. Detectors keep their own times.

    Raises
    ------
    FileNotFoundError, SchemaError, ValueError
        As `open`.

    See Also
    --------
    tsoxr.join : spectra of several nodes as one Dataset.
    """
    _check_options(extraction, chunk_mb)
    pieces = _pieces(paths_of(source), extraction, chunk_mb)
    nodes = [p.node for p in pieces]
    if len(set(nodes)) < len(nodes):
        nodes = [_node(p.detector, p.order, pieces) for p in pieces]
    return xr.DataTree.from_dict({n: p.load() for n, p in zip(nodes, pieces, strict=True)})


def _check_options(extraction: str, chunk_mb: float | None) -> None:
    if extraction not in eureka.EXTRACTIONS:
        raise ValueError(
            f"open: extraction is {extraction!r}; it must be one of {sorted(eureka.EXTRACTIONS)}"
        )
    if chunk_mb is not None and not chunk_mb > 0:
        raise ValueError(f"open: chunk_mb is {chunk_mb!r}; it must be positive")


def _pieces(paths: Sequence[str], extraction: str, chunk_mb: float | None) -> list[_Piece]:
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(format_of(path), Path(path).name)
    if len(first) > 1:
        raise SchemaError(
            f"open: the files are of several formats ({', '.join(f'{k}: {v}' for k, v in first.items())}); "
            "open each format on its own"
        )
    if "FITS" in first:
        return _fits_pieces([layout.describe(path) for path in paths], chunk_mb)
    return _hdf_pieces(paths, extraction, chunk_mb)


def _fits_pieces(files: list[FitsFile], chunk_mb: float | None) -> list[_Piece]:
    products: dict[str, str] = {}
    for f in files:
        products.setdefault(f.product, f.name)
    if len(products) > 1:
        raise SchemaError(
            f"open: the files are different products ({', '.join(f'{p}: {n}' for p, n in products.items())}); "
            "open each product on its own"
        )
    if files[0].product == "x1dints":
        keys = list(dict.fromkeys(key for f in files for key in f.spectra))
        if not keys:
            raise SchemaError(
                f"open: {files[0].name}: its EXTRACT1D tables have no rows; nothing to read"
            )
        found = [_Piece(d, o, "", partial(_load_spectra, files, d, o)) for d, o in keys]
        return [
            _Piece(p.detector, p.order, _node(p.detector, p.order, found), p.load) for p in found
        ]
    detectors = list(dict.fromkeys(f.detector for f in files))
    return [
        _Piece(
            d,
            None,
            d or "data",
            partial(_load_images, [f for f in files if f.detector == d], chunk_mb),
        )
        for d in detectors
    ]


def _load_images(files: list[FitsFile], chunk_mb: float | None) -> xr.Dataset:
    clocks = [jwst_fits.clock_of(f) for f in files]
    source = _chosen_source(clocks, files)
    parts = [jwst_fits.read(f, source, c, chunk_mb) for f, c in zip(files, clocks, strict=True)]
    return segments.concat(parts)


def _load_spectra(files: list[FitsFile], detector: str, order: int) -> xr.Dataset:
    found = [x1dints.tables(f, detector, order) for f in files if (detector, order) in f.spectra]
    clocks = [x1dints.clock_of(s) for s in found]
    source = _chosen_source(clocks, files)
    return segments.concat([x1dints.read(s, source, c) for s, c in zip(found, clocks, strict=True)])


def _chosen_source(clocks: list[times.Clock], files: list[FitsFile]) -> str:
    source, warning = times.common_source(clocks)
    if warning is not None:
        more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
        warnings.warn(f"open: {files[0].name}{more}: {warning}", TsoWarning, stacklevel=4)
    return source


def _hdf_pieces(paths: Sequence[str], extraction: str, chunk_mb: float | None) -> list[_Piece]:
    found: dict[tuple[str, int | None, str], list[Callable[[], xr.Dataset]]] = {}
    for path in paths:
        for detector, order, node, load in _hdf_contents(path, extraction, chunk_mb):
            found.setdefault((detector, order, node), []).append(load)
    pieces = [_Piece(*key, partial(_joined, loads)) for key, loads in found.items()]
    return [
        p if p.node else _Piece(p.detector, p.order, _node(p.detector, p.order, pieces), p.load)
        for p in pieces
    ]


def _joined(loads: list[Callable[[], xr.Dataset]]) -> xr.Dataset:
    return segments.concat([load() for load in loads])


def _hdf_contents(
    path: str, extraction: str, chunk_mb: float | None
) -> list[tuple[str, int | None, str, Callable[[], xr.Dataset]]]:
    """Return detector, order, node and loader of each product in an HDF5 file."""
    try:
        groups = netcdf.nodes(path)
        attrs, names = netcdf.root_of(path)
    except PermissionError:
        raise
    except OSError as error:
        raise SchemaError(
            f"open: {Path(path).name} cannot be read as HDF5 ({error}); it holds {Path(path).stat().st_size} "
            "bytes and is probably truncated; write or copy it again"
        ) from error
    if groups:
        return [
            (
                str(a.get("detector", "")).upper(),
                a.get("order"),
                group if len(groups) > 1 else "",
                partial(netcdf.load, path, group, chunk_mb),
            )
            for group, a in groups.items()
        ]
    if eureka.is_eureka(attrs, names):
        detector = str(attrs.get("inst_detector", "")).upper()
        return [
            (detector, o, "", partial(eureka.read, path, order=o, extraction=extraction))
            for o in eureka.orders(path)
        ]
    raise SchemaError(
        f"open: {Path(path).name} is HDF5 but no product of tsoxr (no attribute 'tso_kind') nor of Eureka! "
        f"(it holds {names[:6]}); build a Dataset with xarray and the names of tsoxr.schema instead"
    )


def _node(detector: str, order: int | None, pieces: Sequence[_Piece]) -> str:
    """Name a node after what distinguishes it: detector, order, or both."""
    several_detectors = len({p.detector for p in pieces}) > 1
    several_orders = len({p.order for p in pieces}) > 1
    by_detector, by_order = detector or "data", f"order{order}"
    if several_detectors and several_orders:
        return f"{by_detector}/{by_order}"
    return by_detector if several_detectors or order is None else by_order


def _choice(
    pieces: list[_Piece], chosen: list[_Piece], detector: str | None, order: int | None
) -> str:
    detectors = sorted({p.detector for p in pieces})
    orders = sorted({p.order for p in pieces if p.order is not None})
    has = f"detectors {detectors}" + (f" and orders {orders}" if orders else "")
    if not chosen:
        asked = ", ".join(
            f"{k}={v!r}" for k, v in (("detector", detector), ("order", order)) if v is not None
        )
        return f"open: nothing fits {asked}; the files hold {has}; choose among these"
    detectors = sorted({p.detector for p in chosen})
    orders = sorted({p.order for p in chosen if p.order is not None})
    ways = []
    if len(detectors) > 1:
        ways.append(f"detector={detectors[0]!r}")
    if len(orders) > 1:
        ways.append(f"order={orders[0]}")
    if not ways:
        return f"open: the file holds several products ({[p.node for p in chosen]}); use tsoxr.open_tree"
    return (
        f"open: the files hold {has}; one Dataset is one detector and order: pass {' and '.join(ways)}, or "
        "open all of them with tsoxr.open_tree"
    )
