"""Reading and writing: JWST products, netCDF, reference files, spectra of other pipelines."""

from __future__ import annotations

from tsoxr.io.netcdf import save
from tsoxr.io.opening import open, open_tree  # noqa: A004 -- tsoxr.open, as in xarray
from tsoxr.io.readout import read_offset
from tsoxr.io.reference import read_reference
from tsoxr.io.segments import concat

__all__ = ["concat", "open", "open_tree", "read_offset", "read_reference", "save"]
