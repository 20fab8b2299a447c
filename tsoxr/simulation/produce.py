"""What can be drawn from an exposure: its products, its truth, its files and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from tsoxr.simulation import overview, products, spectral, truth, write, write_references

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tsoxr.simulation.builder import Exposure

__all__ = ["Produces"]


class Produces:
    """Methods of an `Exposure` that draw it."""

    def ramps(self: Exposure, chunks: int | None = None) -> xr.Dataset:
        """Return raw ramps (time, group, y, x), DN: uint16, float32 without quantization.

        Parameters
        ----------
        chunks : int, optional
            Integrations per chunk of lazy ramps, which dask draws when they are asked for;
            the values are the same. All are drawn now where left out.
        """
        return products.ramps(self, chunks)

    def rates(self: Exposure) -> xr.Dataset:
        """Return count rates (time, y, x), DN s-1, drawn without ramps."""
        return products.rates(self)

    def spectra(self: Exposure) -> xr.Dataset:
        """Return spectra (time, wavelength), electron s-1, drawn without rates."""
        return spectral.spectra(self)

    def lightcurves(self: Exposure) -> xr.Dataset:
        """Return relative light curves (time, wavelength) of ``n_bins`` bins."""
        return spectral.lightcurves(self)

    def truth(self: Exposure, *, stripes: bool = True) -> xr.Dataset:
        """Return what was put in: light curves, spectrum, trace, hits, noise.

        Parameters
        ----------
        stripes : bool
            Add the level of every line of every group, which means to draw the 1/f noise.
        """
        return truth.truth(self, stripes=stripes)

    def hit_mask(self: Exposure) -> xr.DataArray:
        """Return True where charge of a hit first appears, (time, group, y, x) bool."""
        return truth.hit_mask(self)

    def added_by_electronics(self: Exposure, integration: int) -> xr.DataArray:
        """Return what the read-out adds to one integration, (group, y, x) DN.

        Parameters
        ----------
        integration : int
            From 1, as in the coordinate ``integration``.
        """
        return truth.added_by_electronics(self, integration)

    def plot(self: Exposure) -> dict[str, Axes]:
        """Draw one raw frame, a ramp, the noise on the clock and a plain light curve.

        Returns
        -------
        dict of str to matplotlib.axes.Axes
            ``frame``, ``ramp``, ``power`` and ``light``.
        """
        return overview.plot_overview(self)

    def write(self: Exposure, folder: str | Path, n_segments: int = 1) -> list[Path]:
        """Write raw FITS segments and ``truth.nc``, one integration in memory at a time.

        The truth is written without the stripes, which would be as long as the data; that of
        other orders than ``order`` goes to ``truth_order2.nc`` and so on. Files
        are 16 bit also without ``"quantization"``; without ``"bias"`` negative noise is lost.

        Parameters
        ----------
        folder : str or Path
            Made where it does not exist.
        n_segments : int
            Number of files that the integrations are shared among.

        Returns
        -------
        list of Path
            The FITS files, in order of time.
        """
        return write.write_segments(self, Path(folder), n_segments)

    def write_references(self: Exposure, folder: str | Path, *, errors: bool = False) -> list[Path]:
        """Write the detector's properties as reference files in the JWST layout.

        Parameters
        ----------
        folder : str or Path
            Made where it does not exist.
        errors : bool
            Write what a calibration would measure, with its errors, instead of the truth:
            superbias and read noise from 100 darks, gain to 1 %, curvature of the response
            to 0.5 %, flat to 0.3 %, nine of ten bad pixels known.

        Returns
        -------
        list of Path
            One file for each type of reference.
        """
        return write_references.write_references(self, Path(folder), errors=errors)
