"""Raw FITS files of a simulated exposure, written one integration at a time.

A file holds what the archive's raw files hold: the primary header, ``SCI`` (unsigned 16 bit,
stored with BZERO), for MIRI ``REFOUT`` (the fifth output, which reads no pixels), the
``GROUP`` table with the end of each group, the ``INT_TIMES`` table with the times of the
segment's integrations, and ``ASDF`` with the header's content as a document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tsoxr.simulation import asdf_text, headers, keywords
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.headers import Segment
from tsoxr.simulation.ramp import digitize, draw_integration
from tsoxr.simulation.tables import group_table, times_table
from tsoxr.simulation.truth import truth

if TYPE_CHECKING:
    from astropy.io import fits

    from tsoxr.simulation.builder import Exposure

__all__ = ["write_segments"]

BLOCK = 2880
BZERO = 32768


@dataclass(frozen=True)
class Image:
    """One array of a file: ``draw(index)`` gives an integration, ``shape`` float32 DN.

    ``name`` of the extension, ``key`` in the ASDF document, ``cards`` beside its storage.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    draw: Callable[[int], np.ndarray]
    cards: dict[str, Any]


def write_segments(exposure: Exposure, folder: Path, n_segments: int) -> list[Path]:
    """Write the raw files, ``truth.nc`` and the truth of further orders; see `Exposure.write`.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    folder : Path
        Made where it does not exist.
    n_segments : int
        Number of files.

    Returns
    -------
    list of Path
        The FITS files, in order of time.
    """
    parts = headers.segments(exposure.n_integrations, n_segments)
    folder.mkdir(parents=True, exist_ok=True)
    electronics = Electronics(exposure)
    paths = [_write_segment(exposure, electronics, folder, segment) for segment in parts]
    for order in exposure.setup.orders:
        name = "truth.nc" if order == exposure.order else f"truth_order{order}.nc"
        truth(exposure.replace(order=order), stripes=False).to_netcdf(folder / name)
    return paths


def _write_segment(
    exposure: Exposure, electronics: Electronics, folder: Path, segment: Segment
) -> Path:
    """Write one file under a passing name, so that an interrupted run leaves no half file."""
    from astropy.io import fits

    path = folder / headers.file_name(exposure, segment)
    partial = path.with_suffix(".partial")
    images = _images(exposure, electronics)
    tables = {"group": group_table(exposure, segment), "int_times": times_table(exposure, segment)}
    primary = fits.PrimaryHDU(header=_header(headers.primary_cards(exposure, segment)))
    primary.header["NEXTEND"] = len(images) + len(tables) + 1
    primary.writeto(partial, overwrite=True)
    with partial.open("ab") as stream:
        for image in images:
            header = _image_header(segment, image)
            stream.write(header.tostring().encode("ascii"))
            _stream(image, segment, stream)
    text = _document(exposure, segment, images, tables)
    for table in (*tables.values(), asdf_text.hdu(text)):
        fits.append(partial, table.data, table.header)
    return partial.replace(path)


def _images(exposure: Exposure, electronics: Electronics) -> tuple[Image, ...]:
    """Return the arrays of a file in their order."""
    shape = (exposure.n_groups, *exposure.setup.shape)
    science = Image(
        "SCI",
        "data",
        shape,
        lambda index: draw_integration(exposure, electronics, index),
        headers.science_cards(exposure),
    )
    if exposure.instrument != "MIRI":
        return (science,)
    fifth = Image(
        "REFOUT",
        "refout",
        (*shape[:2], shape[2] // exposure.setup.readout.n_outputs),
        electronics.reference_output,
        {"EXTNAME": "REFOUT"},
    )
    return (science, fifth)


def _document(
    exposure: Exposure,
    segment: Segment,
    images: tuple[Image, ...],
    tables: dict[str, fits.BinTableHDU],
) -> str:
    """Return the ASDF document of a file."""
    n = segment.last - segment.first
    cards = headers.primary_cards(exposure, segment) | headers.science_cards(exposure)
    arrays = {i.key: asdf_text.array_entry(i.name, "uint16", (n, *i.shape)) for i in images}
    entries = {
        key: asdf_text.table_entry(table.name, table.columns.dtype, len(table.data))
        for key, table in tables.items()
    }
    return asdf_text.document({**arrays, **entries, "meta": keywords.meta(cards)})


def _header(cards: dict[str, Any]) -> fits.Header:
    from astropy.io import fits

    return fits.Header([fits.Card(k, v) for k, v in cards.items()])


def _image_header(segment: Segment, image: Image) -> fits.Header:
    axes = (*image.shape[::-1], segment.last - segment.first)
    storage = {
        "XTENSION": "IMAGE",
        "BITPIX": 16,
        "NAXIS": len(axes),
        **{f"NAXIS{i + 1}": n for i, n in enumerate(axes)},
        "PCOUNT": 0,
        "GCOUNT": 1,
        "BSCALE": 1,
        "BZERO": BZERO,
    }
    return _header({**storage, **image.cards})


def _stream(image: Image, segment: Segment, stream: BinaryIO) -> None:
    """Draw, round and write one integration after the other, then fill the last block."""
    raw = np.empty(image.shape, dtype=np.uint16)
    n_bytes = 0
    for index in range(segment.first, segment.last):
        digitize(image.draw(index), raw)
        # flipping the highest bit subtracts BZERO without leaving 16 bits
        stored = (raw ^ np.uint16(BZERO)).view(np.int16).astype(">i2")
        n_bytes += stream.write(stored.tobytes())
    stream.write(b"\0" * (-n_bytes % BLOCK))
