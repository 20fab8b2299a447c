"""Raw FITS files of a simulated exposure, written one integration at a time.

A file holds what the archive's raw files hold: the primary header, ``SCI`` (unsigned 16 bit,
stored with BZERO), the ``GROUP`` table with the end of each group and the ``INT_TIMES``
table with the times of the segment's integrations. The archive's ``ASDF`` and, for MIRI,
``REFOUT`` extensions are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tsoxr.simulation import headers
from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.headers import Segment
from tsoxr.simulation.ramp import digitize, draw_integration
from tsoxr.simulation.truth import truth

if TYPE_CHECKING:
    from astropy.io import fits

    from tsoxr.simulation.builder import Exposure

__all__ = ["write_segments"]

BLOCK = 2880
BZERO = 32768


def write_segments(exposure: Exposure, folder: Path, n_segments: int) -> list[Path]:
    """Write the raw files and ``truth.nc``; see `Exposure.write`.

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
    truth(exposure, stripes=False).to_netcdf(folder / "truth.nc")
    return paths


def _write_segment(
    exposure: Exposure, electronics: Electronics, folder: Path, segment: Segment
) -> Path:
    """Write one file under a passing name, so that an interrupted run leaves no half file."""
    from astropy.io import fits

    path = folder / headers.file_name(exposure, segment)
    partial = path.with_suffix(".partial")
    primary = fits.PrimaryHDU(header=_header(headers.primary_cards(exposure, segment)))
    primary.header["NEXTEND"] = 3
    primary.writeto(partial, overwrite=True)
    with partial.open("ab") as stream:
        stream.write(_science_header(exposure, segment).tostring().encode("ascii"))
        _stream_ramps(exposure, electronics, segment, stream)
    for table in (_group_table(exposure, segment), _times_table(exposure, segment)):
        fits.append(partial, table.data, table.header)
    return partial.replace(path)


def _header(cards: dict[str, Any]) -> fits.Header:
    from astropy.io import fits

    return fits.Header([fits.Card(k, v) for k, v in cards.items()])


def _science_header(exposure: Exposure, segment: Segment) -> fits.Header:
    n_y, n_x = exposure.setup.shape
    storage = {
        "XTENSION": "IMAGE",
        "BITPIX": 16,
        "NAXIS": 4,
        "NAXIS1": n_x,
        "NAXIS2": n_y,
        "NAXIS3": exposure.n_groups,
        "NAXIS4": segment.last - segment.first,
        "PCOUNT": 0,
        "GCOUNT": 1,
        "BSCALE": 1,
        "BZERO": BZERO,
    }
    return _header({**storage, **headers.science_cards(exposure)})


def _stream_ramps(
    exposure: Exposure, electronics: Electronics, segment: Segment, stream: BinaryIO
) -> None:
    raw = np.empty((exposure.n_groups, *exposure.setup.shape), dtype=np.uint16)
    n_bytes = 0
    for index in range(segment.first, segment.last):
        digitize(draw_integration(exposure, electronics, index), raw)
        # flipping the highest bit subtracts BZERO without leaving 16 bits
        stored = (raw ^ np.uint16(BZERO)).view(np.int16).astype(">i2")
        n_bytes += stream.write(stored.tobytes())
    stream.write(b"\0" * (-n_bytes % BLOCK))


def _times_table(exposure: Exposure, segment: Segment) -> fits.BinTableHDU:
    from astropy.io import fits

    part = slice(segment.first, segment.last)
    number = np.arange(segment.first + 1, segment.last + 1, dtype=np.int32)
    moments = (("start", 0.0), ("mid", 0.5), ("end", 1.0))
    columns = [fits.Column("integration_number", "J", array=number)]
    columns += [
        fits.Column(f"int_{name}_MJD_UTC", "D", unit="d", array=exposure.clock.utc(where)[part])
        for name, where in moments
    ]
    columns += [
        fits.Column(f"int_{name}_BJD_TDB", "D", unit="d", array=exposure.clock.tdb(where)[part])
        for name, where in moments
    ]
    return fits.BinTableHDU.from_columns(columns, name="INT_TIMES")


def _group_table(exposure: Exposure, segment: Segment) -> fits.BinTableHDU:
    from astropy.io import fits
    from astropy.time import Time

    clock, (n_y, n_x) = exposure.clock, exposure.setup.shape
    index = np.arange(segment.first, segment.last)
    seconds = (
        clock.integration_start[index][:, None]
        + clock.group_time
        + (0.5 * clock.n_frames + 0.5) * clock.frame_time
    )
    end = (clock.start + seconds / SECONDS_PER_DAY).ravel()
    bary = (
        end
        + (np.repeat(clock.tdb(0.5) - clock.utc(0.5), clock.n_groups))[
            segment.first * clock.n_groups : segment.last * clock.n_groups
        ]
    )
    milliseconds, rest = np.divmod((end % 1.0) * SECONDS_PER_DAY * 1e3, 1.0)
    n = end.size
    first_day = 51544  # 2000-01-01, from which the telescope counts its days
    text = np.array(Time(end, format="mjd", scale="utc", precision=6).isot, dtype="S26")

    def constant(value: int) -> np.ndarray:
        return np.full(n, value, dtype=np.int16)

    columns = {
        "integration_number": ("J", np.repeat(index + 1, clock.n_groups)),
        "group_number": ("I", np.tile(np.arange(1, clock.n_groups + 1), index.size)),
        "end_day": ("I", (end - first_day).astype(np.int16)),
        "end_milliseconds": ("J", milliseconds.astype(np.int32)),
        "end_submilliseconds": ("I", (1e3 * rest).astype(np.int16)),
        "group_end_time": ("26A", text),
        "number_of_columns": ("I", constant(n_x)),
        "number_of_rows": ("I", constant(n_y)),
        "number_of_gaps": ("I", constant(0)),
        "completion_code_number": ("I", constant(0)),
        "completion_code_text": ("36A", np.full(n, b"COMPLETE")),
        "bary_end_time": ("D", bary),
        "helio_end_time": ("D", bary),
    }
    made = [fits.Column(name, form, array=data) for name, (form, data) in columns.items()]
    return fits.BinTableHDU.from_columns(made, name="GROUP")
