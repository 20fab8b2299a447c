"""Shift spectra along dispersion by parts of a pixel, to one position for all integrations.

Interpolation smooths and correlates; light curves are better made from spectra as they are,
with the shift as a covariate. This is for looking at lines, and for cross-correlation with
templates at high resolution.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.errors import SchemaError, TsoError
from tsoxr.kernels import alignment as kernel
from tsoxr.lazy import is_lazy
from tsoxr.plots import style
from tsoxr.registry import diagnostic, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["align"]

METHODS = ("cubic", "linear")


@step(kind="spectra", needs=("flux", "flux_error", "dq"), once=True)
def align(
    ds: xr.Dataset,
    shift: str | xr.DataArray | np.ndarray = "trace_shift_dispersion",
    *,
    method: str = "cubic",
) -> xr.Dataset:
    """Shift spectra back by parts of a pixel, to one position for all integrations.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra with ``flux`` and ``flux_error`` (time, wavelength), ``dq`` and
        ``dispersion_pixel`` (wavelength).
    shift : str or (time,) array
        How far the spectrum of each integration lies towards larger ``dispersion_pixel``,
        pixels: a coordinate on ``time``, or numbers.
    method : {"cubic", "linear"}
        Polynomial through four pixels or line through two: the line smooths more, the
        polynomial rings beside what is narrower than two pixels.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``flux`` and ``flux_error`` shifted. A value has the flags of all
        pixels that it was made of, and DO_NOT_USE where these lie beyond the ends. Adds
        ``align_shift`` (time), pix, and ``align_correlation`` (time).

    Raises
    ------
    ValueError
        For an unknown method or shifts of another length.
    SchemaError
        Where the covariate or ``dispersion_pixel`` is missing.
    TsoError
        Where the spectra leave out pixels, or shifts are not known.

    Notes
    -----
    All wavelengths shift alike, so the summed light is conserved but for the ends. Errors are
    those of each value; at half a pixel they are 0.80 (cubic) or 0.71 (linear) of what they
    were, and neighbouring wavelengths are correlated by 0.38 or 0.50, which
    ``align_correlation`` states. Errors of binned light curves, which count wavelengths as
    independent, are then too small by up to those factors.

    Examples
    --------
    >>> import numpy as np, tsoxr
    >>> spectra = tsoxr.simulate("nirspec-g395h", kind="spectra", n_integrations=20, seed=1)
    >>> moved = spectra.tso.align(np.linspace(0.0, 0.2, 20))
    >>> moved.sizes == spectra.sizes
    True
    """
    if method not in METHODS:
        raise ValueError(f"align: method={method!r}; it must be one of {METHODS}")
    moved = _shift_of(ds, shift)
    along = moved * _direction(ds)
    names = ("flux", "flux_error", "dq")
    plane = ["time", "wavelength"]
    cubic = method == "cubic"
    new = xr.apply_ufunc(
        partial(_shifted, cubic),
        *[xr.DataArray(ds[n].variable) for n in names], along,
        input_core_dims=[["wavelength"]] * 3 + [[]],
        output_core_dims=[["wavelength"]] * 3,
        dask="parallelized",
        output_dtypes=[ds[n].dtype for n in names],
    )  # fmt: skip
    labelled = {
        str(n): a.transpose(*plane).assign_attrs(ds[n].attrs).variable
        for n, a in zip(names, new, strict=True)
    }
    correlation = xr.apply_ufunc(
        partial(kernel.neighbour_correlation, cubic=cubic), along,
        dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    return ds.assign(
        **labelled,
        align_shift=_over_time(moved, "shift that was taken back", "pix"),
        align_correlation=_over_time(correlation, "correlation of neighbouring wavelengths", "1"),
    )


def _over_time(values: xr.DataArray, text: str, units: str) -> xr.Variable:
    """Return a diagnostic over time."""
    return xr.Variable(("time",), values.astype("f4").data, {"long_name": text, "units": units})


def _shift_of(ds: xr.Dataset, shift: Any) -> xr.DataArray:
    """Return the shifts as (time,) float64; lazy ones stay so, and are looked at when computed."""
    if isinstance(shift, str):
        if shift not in ds.coords or ds[shift].dims != ("time",):
            known = [str(n) for n, c in ds.coords.items() if c.dims == ("time",)]
            raise SchemaError(
                f"align: no coordinate {shift!r} on time; there are {known}; run .tso.track() on the "
                "rates, or give an array"
            )
        shift = ds[shift]
    lazy = is_lazy(shift)
    values = shift.data if lazy else np.asarray(shift, dtype=np.float64)
    if values.shape != (ds.sizes["time"],):
        raise ValueError(
            f"align: the shifts have shape {values.shape}; one for each of the {ds.sizes['time']} "
            "integrations is needed"
        )
    if not lazy and not np.isfinite(values).any():
        raise TsoError("align: no shift is finite; there is nothing to align by")
    return xr.DataArray(values, dims="time").astype(np.float64)


def _direction(ds: xr.Dataset) -> float:
    """Return the sign of the step of the detector's pixels along the wavelengths."""
    if "dispersion_pixel" not in ds.variables:
        raise SchemaError(
            f"align: no 'dispersion_pixel' tells where wavelengths lie; there are "
            f"{sorted(map(str, ds.coords))}; extract the spectra with .tso.extract()"
        )
    pixel = ds["dispersion_pixel"].variable.data
    if is_lazy(ds["dispersion_pixel"]):  # chunking makes small coordinates lazy too
        pixel = pixel.compute(scheduler="synchronous")
    steps = np.diff(np.asarray(pixel, dtype=float))
    if steps.size == 0 or not (np.all(steps == 1) or np.all(steps == -1)):
        n_gaps = int((np.abs(steps) != 1).sum())
        raise TsoError(
            f"align: the spectra leave out pixels at {n_gaps} places; neighbours must be neighbours on "
            "the detector; select a range without gaps"
        )
    return float(steps[0])


def _shifted(
    cubic: bool, flux: np.ndarray, error: np.ndarray, flags: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return kernel.shift_spectra(
        flux, error, flags, shift.astype(np.float64), cubic, int(dq.bits("DO_NOT_USE"))
    )


@diagnostic(align)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the shift over time, and without ``ax`` what the spectra still differ by below."""
    below = None
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, below) = plt.subplots(
            2, 1, figsize=(8.0, 5.6), layout="constrained", height_ratios=(1, 2)
        )
    ax.plot(style.hours(ds), ds["align_shift"], ".-", ms=4, lw=0.8, color=style.COLORS["data"])
    style.shade_transit(ax, ds)
    ax.set(xlabel="time since start [h]", ylabel="shift [pix]")
    if below is not None:
        flux = np.asarray(ds["flux"], dtype=float)
        flux = flux / np.nanmedian(flux, axis=1, keepdims=True)
        ratio = (flux / np.nanmedian(flux, axis=0) - 1.0) * 1e6
        pixel, when = np.asarray(ds["dispersion_pixel"]), style.hours(ds)
        extent = (pixel[0] - 0.5, pixel[-1] + 0.5, when[0], max(when[-1], when[0] + 1e-9))
        style.image(below, ratio, extent=extent, label="over the median [ppm]", signed=True)
        below.set(xlabel="detector pixel", ylabel="time since start [h]")
    return ax
