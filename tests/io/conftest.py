"""Small FITS files in the layouts of the JWST archive, written with astropy."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

PRIMARY = {
    "TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_BRIGHTOBJ",
    "GRATING": "PRISM", "FILTER": "CLEAR", "TSOVISIT": True, "TARGNAME": "STAR", "PROGRAM": "01234",
    "OBSERVTN": "001", "VISIT": "001", "EXPOSURE": "00001", "SUBARRAY": "SUB512", "SUBSTRT1": 1025,
    "SUBSTRT2": 959, "SUBSIZE1": 16, "SUBSIZE2": 8, "FASTAXIS": 2, "SLOWAXIS": 1, "NOUTPUTS": 1,
    "TFRAME": 0.22616, "TGROUP": 0.22616, "NFRAMES": 1, "GROUPGAP": 0, "NSAMPLES": 1,
    "READPATT": "NRSRAPID", "EXPSTART": 60000.0, "GAINFACT": 1.429,
}  # fmt: skip
START = 60000.25
CADENCE = 10.0 / 86400.0
INT_TIMES = [
    ("integration_number", "i4"), ("int_start_MJD_UTC", "f8"), ("int_mid_MJD_UTC", "f8"), ("int_end_MJD_UTC", "f8"),
    ("int_start_BJD_TDB", "f8"), ("int_mid_BJD_TDB", "f8"), ("int_end_BJD_TDB", "f8"),
]  # fmt: skip


def int_times(first, last, **columns):
    """Return an INT_TIMES table; BJD lies 0.003 d after UTC."""
    rows = np.zeros(last - first + 1, dtype=INT_TIMES)
    rows["integration_number"] = np.arange(first, last + 1)
    mid = START + (rows["integration_number"] - 1) * CADENCE
    rows["int_mid_MJD_UTC"], rows["int_mid_BJD_TDB"] = mid, mid + 0.003
    for name, values in columns.items():
        rows[name] = values
    return rows


def mid_bjd(numbers):
    return START + (np.asarray(numbers) - 1) * CADENCE + 0.003


def _write(path, hdus, cards):
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    fits.HDUList([primary, *hdus]).writeto(path, overwrite=True)
    return path


def _cards(n, first, n_total, cards):
    return {
        **PRIMARY, "NINTS": n if n_total is None else n_total, "INTSTART": first, "INTEND": first + n - 1, **cards,
    }  # fmt: skip


def _table_hdu(times, first, n):
    if times is False:
        return []
    rows = int_times(first, first + n - 1) if times is None else times
    return [fits.BinTableHDU(rows, name="INT_TIMES")]


def _image(data, name, **cards):
    hdu = fits.ImageHDU(data, name=name)
    hdu.header.update(cards)
    return hdu


def uncal(path, data, *, first=1, n_total=None, times=None, sci=None, **cards):
    """Write raw ramps: uint16 SCI (integration, group, y, x), no flags."""
    cards = _cards(data.shape[0], first, n_total, {"NGROUPS": data.shape[1], **cards})
    hdus = [
        _image(data, "SCI", BUNIT="DN", **(sci or {})),
        *_table_hdu(times, first, data.shape[0]),
    ]
    return _write(path, hdus, cards)


def ramp(path, data, *, groupdq, pixeldq, first=1, n_total=None, times=None, **cards):
    """Write corrected ramps: float32 SCI, GROUPDQ and PIXELDQ."""
    cards = _cards(data.shape[0], first, n_total, {"NGROUPS": data.shape[1], **cards})
    hdus = [
        _image(data, "SCI", BUNIT="DN"),
        _image(pixeldq, "PIXELDQ"),
        _image(groupdq, "GROUPDQ"),
        *_table_hdu(times, first, data.shape[0]),
    ]
    return _write(path, hdus, cards)


def rateints(
    path, rate, *, first=1, n_total=None, times=None, dq=None, wavelength=None, sci=None, **cards
):
    """Write rates, and as calints with ``wavelength`` (y, x)."""
    dq = np.zeros(rate.shape, np.uint32) if dq is None else dq
    hdus = [
        _image(rate, "SCI", **{"BUNIT": "DN/s", **(sci or {})}),
        _image(np.full_like(rate, 0.5), "ERR"),
        _image(dq, "DQ"),
        _image(np.full_like(rate, 0.2), "VAR_POISSON"),
        _image(np.full_like(rate, 0.05), "VAR_RNOISE"),
        *_table_hdu(times, first, rate.shape[0]),
    ]
    if wavelength is not None:
        hdus.append(_image(wavelength.astype(np.float32), "WAVELENGTH"))
    return _write(path, hdus, _cards(rate.shape[0], first, n_total, {"NGROUPS": 5, **cards}))


def x1dints_old(path, spectra, *, first=1, times=None, keywords=None, **cards):
    """Write one table per integration and order; ``spectra`` maps order to (wavelength, flux)."""
    hdus, n = [], 0
    for order, (wavelength, flux) in spectra.items():
        n = flux.shape[0]
        for i in range(n):
            rows = np.zeros(
                wavelength.size,
                dtype=[
                    ("WAVELENGTH", "f8"),
                    ("FLUX", "f8"),
                    ("FLUX_ERROR", "f8"),
                    ("DQ", "u4"),
                    ("NPIXELS", "f8"),
                ],
            )
            rows["WAVELENGTH"], rows["FLUX"], rows["FLUX_ERROR"], rows["NPIXELS"] = (
                wavelength,
                flux[i],
                2.0,
                9.0,
            )
            hdu = fits.BinTableHDU(rows, name="EXTRACT1D", ver=len(hdus) + 1)
            hdu.header.update(
                {"SPORDER": order, "TUNIT1": "um", "TUNIT2": "DN/s", "INT_NUM": first + i}
            )
            hdu.header.update(keywords(first + i) if keywords is not None else {})
            hdus.append(hdu)
    return _write(
        path, [*hdus, *_table_hdu(times, first, n)], _cards(n, first, None, {"NGROUPS": 5, **cards})
    )


def x1dints_new(path, tables, *, first=1, n_total=None, times=None, **cards):
    """Write one table per (order, detector, segment): (wavelength, flux, numbers, pad)."""
    hdus, n = [], 0
    for (order, detector, segment), (wavelength, flux, numbers, pad) in tables.items():
        n = max(n, flux.shape[0])
        width = wavelength.size + pad
        rows = np.zeros(
            flux.shape[0],
            dtype=[
                ("INT_NUM", "i4"), ("WAVELENGTH", "f8", width), ("FLUX", "f8", width), ("FLUX_ERROR", "f8", width),
                ("DQ", "u4", width), ("NPIXELS", "f8", width), ("N_ALONGDISP", "u4"), ("SEGMENT", "i4"),
                ("MJD-AVG", "f8"), ("TDB-MID", "f8"),
            ],
        )  # fmt: skip
        for name in ("WAVELENGTH", "FLUX", "FLUX_ERROR", "NPIXELS"):
            rows[name] = np.nan
        rows["DQ"] = 1
        good = slice(0, wavelength.size)
        rows["INT_NUM"], rows["SEGMENT"], rows["N_ALONGDISP"] = numbers, segment, wavelength.size
        rows["WAVELENGTH"][:, good], rows["FLUX"][:, good] = wavelength, flux
        rows["FLUX_ERROR"][:, good], rows["NPIXELS"][:, good], rows["DQ"][:, good] = 2.0, 9.0, 0
        rows["TDB-MID"], rows["MJD-AVG"] = mid_bjd(numbers) + 1e-9, mid_bjd(numbers) - 0.003
        hdu = fits.BinTableHDU(rows, name="EXTRACT1D", ver=len(hdus) + 1)
        hdu.header.update({"SPORDER": order, "DETECTOR": detector, "TUNIT2": "um", "TUNIT3": "Jy"})
        hdus.append(hdu)
    return _write(
        path,
        [*hdus, *_table_hdu(times, first, n)],
        _cards(n, first, n_total, {"NGROUPS": 5, **cards}),
    )


def reference(path, reftype, data, *, dq=None, definitions=None, extension="SCI", **cards):
    """Write a reference file."""
    hdus = [] if data is None else [_image(data, extension)]
    if dq is not None:
        hdus.append(_image(dq, "DQ"))
    if definitions is not None:
        rows = np.array(
            [(i, value, name, "") for i, (name, value) in enumerate(definitions.items())],
            dtype=[("BIT", "i4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")],
        )
        hdus.append(fits.BinTableHDU(rows, name="DQ_DEF"))
    keys = {
        "TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "REFTYPE": reftype, "SUBARRAY": "FULL",
        "SUBSTRT1": 1, "SUBSTRT2": 1, **cards,
    }  # fmt: skip
    return _write(path, hdus, keys)


@pytest.fixture(scope="session")
def make():
    """Return the writers and the facts on which they rest."""
    return SimpleNamespace(
        uncal=uncal, ramp=ramp, rateints=rateints, x1dints_old=x1dints_old, x1dints_new=x1dints_new,
        reference=reference, int_times=int_times, mid_bjd=mid_bjd, cadence=CADENCE, primary=PRIMARY,
    )  # fmt: skip


@pytest.fixture
def counts():
    """Return numbers that differ in every sample, (integration, group, y, x) uint16."""

    def of(n=6, groups=3, ny=8, nx=16, start=0):
        size = n * groups * ny * nx
        return (
            ((np.arange(size, dtype=np.int64) + start) * 37 % 65536)
            .astype(np.uint16)
            .reshape(n, groups, ny, nx)
        )

    return of
