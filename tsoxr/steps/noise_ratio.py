"""Compare the scatter of spectra or light curves with their errors, per wavelength and in bins.

Errors that are right are those that the data scatter by. The ratio of the two is measured from
differences of neighbouring integrations, which transits and ramps hardly touch, for each
wavelength, for the white light, and for means over 2, 4, 8 and more integrations, where noise
that is slower than one integration shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, history
from tsoxr.errors import TsoError
from tsoxr.kernels import noise_ratio as kernel
from tsoxr.lazy import is_lazy
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _light_curves, _noise_ratio_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["noise_ratio"]

FEWEST_BINS = 12
"""Bins in the exposure, with fewer of which a size is not tried."""

TEXT = "scatter over predicted error"


@step(kind=("spectra", "lightcurves"), needs=("flux", "flux_error", "dq"), adds=("noise_ratio",))
def noise_ratio(ds: xr.Dataset, *, sizes: Sequence[int] | None = None) -> xr.Dataset:
    """Measure scatter over predicted error, for each wavelength and the white light.

    Nothing but the ratios is added: flux and errors stay as they are.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra or light curves with ``flux``, ``flux_error`` and ``dq`` (time, wavelength).
        Integrations that ``in_transit`` marks are left out, where enough others are there;
        flagged points are left out always.
    sizes : sequence of int, optional
        Integrations in a bin, for ``noise_ratio_binned``. Powers of two from 1 on, as long as
        there are 12 bins, if not given.

    Returns
    -------
    xarray.Dataset
        With ``noise_ratio`` and ``noise_ratio_error`` (wavelength), 1 where the errors are
        right, and ``noise_ratio_binned`` and ``noise_ratio_binned_error`` (bin_size,
        wavelength), the same for means over ``bin_size`` integrations, predicted as if their
        noise was independent. Spectra get ``noise_ratio_white`` and ``noise_ratio_white_error``
        (scalars) and ``noise_ratio_white_binned`` with its error (bin_size) for the sum over
        all wavelengths, predicted with the errors that wavelengths share (``level_error``).
        NaN with fewer than 5 differences.

    Raises
    ------
    ValueError
        For sizes that are no integers above 0 or longer than the exposure allows.

    Notes
    -----
    Ratio = sqrt(mean of (f_i - (f_{i-1} + f_{i+1})/2)^2 / its variance), differences beyond 4
    sigma left out with their neighbours. N differences give it to sqrt(1.94 / 2N); that is
    what the errors hold, for white noise. Noise correlated in time by rho_1, rho_2 from one
    integration to the next two changes the ratio's square by 1 - 4 rho_1 / 3 + rho_2 / 3. A
    transit that nobody has marked can raise the ratio in bins of a tenth of its duration and more.

    Examples
    --------
    >>> import tsoxr
    >>> spectra = tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=60, seed=1)
    >>> checked = spectra.tso.noise_ratio()
    >>> bool(abs(checked.noise_ratio.median() - 1) < 0.05)
    True
    >>> checked.bin_size.values
    array([1, 2, 4], dtype=int32)
    """
    chosen = _sizes(ds.sizes["time"], sizes)
    own = [n for n in ds.variables if str(n).startswith("noise_ratio") or n == "bin_size"]
    out = ds.drop_vars(own).drop_dims("bin_size", errors="ignore")
    if "in_transit" not in ds.coords:
        note("in_transit is not marked: a transit can raise the ratios in long bins")
    usable = ~dq.has_flag(ds["dq"], *dq.UNUSABLE_RATE)
    found = _ratios(ds["flux"].where(usable), ds["flux_error"], _baseline(ds), chosen)
    variables = _named(found, "", ("wavelength",))
    if any(r["step"] == "calibrate_flux" for r in history.records(ds.attrs)):
        note("the spectra are calibrated: no ratio of the white light, which is a sum of electrons")
    elif ds.attrs.get("tso_kind") == "spectra" and ds.sizes["wavelength"] > 1:
        variables |= _named(_white(ds, chosen), "_white", ())
    sizes_of = xr.Variable(
        "bin_size", np.array(chosen, np.int32), {"long_name": "integrations in a bin", "units": "1"}
    )
    return out.assign(variables).assign_coords(bin_size=sizes_of)


def _sizes(n_time: int, given: Sequence[int] | None) -> tuple[int, ...]:
    if given is None:
        most = max(n_time // FEWEST_BINS, 1)
        return tuple(derived(sizes=[2**k for k in range(most.bit_length())]))
    found = np.atleast_1d(np.asarray(given))
    longest = n_time // (kernel.FEWEST + 2)
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu" or (found < 1).any():
        raise ValueError(
            f"noise_ratio: sizes={given!r}; give whole numbers of integrations from 1 on"
        )
    if found.max() > max(longest, 1):
        raise ValueError(
            f"noise_ratio: sizes={given!r}; bins of {found.max()} integrations are fewer than "
            f"{kernel.FEWEST + 2} in {n_time} integrations; give sizes up to {max(longest, 1)}"
        )
    return tuple(dict.fromkeys([1, *(int(size) for size in found)]))


def _baseline(ds: xr.Dataset) -> xr.DataArray:
    """Return the integrations that count, (time) bool: those out of transit if marked."""
    if "in_transit" in ds.coords:
        return ~_whole(ds["in_transit"]).astype(bool)
    return xr.DataArray(np.ones(ds.sizes["time"], dtype=bool), dims="time")


def _whole(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates, in one chunk along time where it is lazy."""
    bare = xr.DataArray(array.variable.data, dims=array.dims)
    return bare.chunk(time=-1) if is_lazy(bare) else bare


def _ratios(
    flux: xr.DataArray, error: xr.DataArray, use: xr.DataArray, sizes: tuple[int, ...]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return ratio and its error, (bin_size, wavelength) float32."""
    dims = ["time", "wavelength"]
    return xr.apply_ufunc(
        _of_arrays,
        *[_whole(a.transpose(*dims)) for a in (flux, error)],
        use,
        kwargs={"sizes": sizes},
        input_core_dims=[dims, dims, ["time"]],
        output_core_dims=[["bin_size", "wavelength"]] * 2,
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"bin_size": len(sizes)}},
        output_dtypes=[np.float32] * 2,
    )


def _of_arrays(
    flux: np.ndarray, error: np.ndarray, use: np.ndarray, *, sizes: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    if (use[:-2] & use[1:-1] & use[2:]).sum() < kernel.FEWEST:
        use = np.ones_like(use)
    return tuple(a.astype(np.float32) for a in kernel.noise_ratio(flux, error, use, sizes))


def _white(ds: xr.Dataset, sizes: tuple[int, ...]) -> tuple[xr.DataArray, ...]:
    """Return ratio and error of the sum over all wavelengths, (bin_size,)."""
    lower, upper = _light_curves.limits(ds)
    whole = np.array([[lower[0], upper[-1]]])
    white = _light_curves.light_curves(ds, whole, name="noise_ratio", normalize=True)
    usable = ~dq.has_flag(white["dq"], *dq.UNUSABLE_RATE)
    found = _ratios(white["flux"].where(usable), white["flux_error"], _baseline(ds), sizes)
    return tuple(a.isel(wavelength=0) for a in found)


def _named(
    found: tuple[xr.DataArray, ...], part: str, dims: tuple[str, ...]
) -> dict[str, xr.Variable]:
    """Return the variables of one pair of ratio and error, with their attributes."""
    of = f"{TEXT} of the white light" if part else TEXT
    binned = tuple(a.transpose("bin_size", *dims) for a in found)
    single = tuple(a.isel(bin_size=0) for a in binned)
    out: dict[str, Any] = {}
    for pair, end, more in ((single, "", ""), (binned, "_binned", ", of means over bins in time")):
        for array, error in zip(pair, ("", "_error"), strict=True):
            text = f"1 sigma error of the {of}{more}" if error else f"{of}{more}"
            attrs = {"long_name": text, "units": "1", "diagnostic_of": "noise_ratio"}
            out[f"noise_ratio{part}{end}{error}"] = array.variable.copy(deep=False)
            out[f"noise_ratio{part}{end}{error}"].attrs = attrs
    return out


@diagnostic(noise_ratio)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the ratio against wavelength with what noise allows, and against the size of bins.

    With ``ax`` the first alone.
    """
    if "noise_ratio" not in ds:
        raise TsoError(
            "plot.noise_ratio: the ratios are not in this Dataset; run .tso.noise_ratio()"
        )
    return _noise_ratio_plot.draw(ds, ax)
