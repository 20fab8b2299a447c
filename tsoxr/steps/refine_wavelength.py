"""Shift the wavelengths so that the star's own lines, or a model of it, fall where they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import lazy, schema
from tsoxr.errors import TsoError
from tsoxr.kernels import wavelength_collapse as collapse
from tsoxr.kernels import wavelength_shift
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _rates, _wavelength_models

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["refine_wavelength"]

ENOUGH = 5.0
"""Significance below which nothing is shifted, sigma."""

HALF_WIDTH = 8
"""Pixels of each line on both sides of the trace, where it is known."""

N_SAMPLE = 32
"""Integrations that the median frame is made of."""

TERMS = ("shift", "shift_error", "stretch", "stretch_error", "significance", "reduced_chi2")


@step(kind=("rates", "spectra"), needs=("wavelength",))
def refine_wavelength(
    ds: xr.Dataset,
    model: Any = "hydrogen",
    *,
    reach: float = 6.0,
    stretch: bool = False,
    width: float = 2.2,
    degree: int = 8,
    velocity: float = 0.0,
    medium: str = "vacuum",
) -> xr.Dataset:
    """Shift the wavelengths so that lines of the star fall where they are seen.

    The median spectrum is fitted by a polynomial continuum and lines of unknown depth, or by
    a model spectrum times a polynomial; the shift in pixels, and if asked for a stretch, that
    fits best is applied to the wavelengths. Flux, covariates and flags stay as they are.
    Where the lines are seen with less than 5 sigma nothing is shifted.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates, free of background, with ``wavelength`` (y, x); or loaded spectra.
    model : {"hydrogen"}, lines, DataArray, (wavelength, flux) or path
        ``"hydrogen"`` or a list of lines (um): their depths are free. A DataArray over
        ``wavelength``, a pair of arrays or a text table of two columns: a model spectrum, in
        photons (or any unit that a polynomial turns into them), um.
    reach : float
        Largest shift, pixels.
    stretch : bool
        Fit a change of the shift from one end to the other as well.
    width : float
        Full width at half maximum of a sharp line, pixels.
    degree : int
        Degree of the continuum, which also takes up sensitivity.
    velocity : float
        Speed at which the star recedes from the observatory, km/s: the lines are moved by
        it. For wavelengths that are barycentric, the star's systemic velocity.
    medium : {"vacuum", "air"}
        What the wavelengths of ``model`` hold for.

    Returns
    -------
    xarray.Dataset
        With new wavelengths and, as diagnostics, ``refine_wavelength_shift`` and
        ``_stretch`` with their errors (pix), ``_significance`` (sigma), ``_reduced_chi2``,
        and the spectrum with its fit.

    Raises
    ------
    ValueError
        For a model without wavelengths in the range of the data, or a bad parameter.
    TsoError
        For lazy spectra, whose axis has to be known.

    Notes
    -----
    Errors are those of least squares with the errors of the median spectrum, enlarged where
    the model does not fit in the pixels that tell the shift, and by the length over which its residuals are alike.
    Below a significance of 5 nothing is shifted. A shift common to all lines cannot be told from ``velocity``.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=4, seed=1)
    >>> out = rates.tso.refine_wavelength()
    >>> bool(out.refine_wavelength_significance < 5)  # a black body has no lines
    True
    """
    _check(reach=reach, width=width, degree=degree)
    options = {"reach": float(reach), "width": float(width), "degree": int(degree)}
    template = _wavelength_models.template(model, velocity=velocity, medium=medium)
    if schema.kind_of(ds) == "spectra":
        return _of_spectra(ds, template, bool(stretch), options)
    along, across = ds.attrs["dispersion_dim"], ds.attrs["spatial_dim"]

    n_sampled = min(ds.sizes["time"], N_SAMPLE)

    def fit(
        rate: np.ndarray, error: np.ndarray, wave: np.ndarray, center: np.ndarray, _: np.ndarray
    ) -> np.ndarray:
        flux, noise, at = collapse.spectrum(rate, error, wave, center, half_width=HALF_WIDTH)
        return _fitted(flux, _of_median(noise, n_sampled), at, template, bool(stretch), options)

    images = (_rates.median_frame(ds), _rates.typical_error(ds), ds["wavelength"])
    table = lazy.static_from_sample(
        fit,
        *(a.transpose(across, along).reset_coords(drop=True) for a in images),
        _center(ds, along),
        xr.DataArray(np.zeros(3 + len(TERMS), "i1"), dims="part"),
        dims=("part", along),
        dtype=np.float64,
    )
    moved = xr.apply_ufunc(
        _moved,
        ds["wavelength"].reset_coords(drop=True),
        table,
        input_core_dims=[[across, along], ["part", along]],
        output_core_dims=[[across, along]],
        dask="parallelized",
        output_dtypes=[np.float64],
    ).transpose("y", "x")
    wavelength = (("y", "x"), moved.data, ds["wavelength"].attrs)
    return _labelled(ds.assign_coords(wavelength=wavelength), table, along)


def _of_median(error: np.ndarray, n: int) -> np.ndarray:
    """Return the error of the median of n values from that of one."""
    return error * np.sqrt((0.5 * np.pi if n > 2 else 1.0) / n)


def _check(**given: float) -> None:
    low = {"reach": 0.5, "width": 0.5, "degree": 0}
    high = {"reach": 60.0, "width": 30.0, "degree": 40}
    for name, value in given.items():
        if not low[name] <= value <= high[name]:
            raise ValueError(
                f"refine_wavelength: {name} is {value}; it must lie between {low[name]} and {high[name]}"
            )


def _center(ds: xr.Dataset, along: str) -> xr.DataArray:
    """Return the centre of the trace (along), NaN where it is not known."""
    if "trace_center" in ds.variables and ds["trace_center"].dims == (along,):
        return ds["trace_center"].reset_coords(drop=True)
    return xr.DataArray(np.full(ds.sizes[along], np.nan), dims=along)


def _fitted(
    flux: np.ndarray,
    error: np.ndarray,
    wave: np.ndarray,
    template: _wavelength_models.Template,
    stretch: bool,
    options: dict[str, Any],
) -> np.ndarray:
    """Return (3 + terms, along): flux, fit and wavelength over pixels, then constant rows."""
    out = np.full((3 + len(TERMS), flux.size), np.nan)
    out[0], out[2] = flux, wave
    out[3:] = 0.0
    known = np.flatnonzero(np.isfinite(wave) & (wave > 0))
    if known.size < 4 * options["degree"] + 20:
        return out
    part = slice(known[0], known[-1] + 1)
    scale = np.interp(np.arange(known[0], known[-1] + 1), known, wave[known])
    if not (np.all(np.diff(scale) > 0) or np.all(np.diff(scale) < 0)):
        return out
    seen = np.isfinite(flux[part])
    if seen.sum() < 4 * options["degree"] + 20:
        return out
    at = np.arange(seen.size)
    bright = np.interp(at, at[seen], flux[part][seen])
    parts = template.parts(bright, scale, options)
    if parts is None:
        return out
    errors = np.where(seen, error[part], np.nan)
    found = wavelength_shift.measure(bright, errors, parts, reach=options["reach"], stretch=stretch)
    out[1, part] = found.fitted
    for i, name in enumerate(TERMS):
        out[3 + i] = getattr(found, name)
    return out


def _applied(table: np.ndarray) -> tuple[float, float]:
    """Return shift and stretch to apply: none where the lines are not significant."""
    terms = dict(zip(TERMS, table[3:, 0], strict=True))
    seen = terms["significance"] >= ENOUGH
    return (float(terms["shift"]), float(terms["stretch"])) if seen else (0.0, 0.0)


def _moved(wave: np.ndarray, table: np.ndarray) -> np.ndarray:
    shift, stretch = _applied(table)
    if shift == 0.0 and stretch == 0.0:
        return wave.astype(np.float64)
    known = np.flatnonzero(np.isfinite(table[2]))
    t = np.interp(np.arange(wave.shape[-1]), [known[0], known[-1]], [-1.0, 1.0])
    return wavelength_shift.shifted(wave, shift + stretch * t)


def _of_spectra(
    ds: xr.Dataset, template: _wavelength_models.Template, stretch: bool, options: dict[str, Any]
) -> xr.Dataset:
    if lazy.is_lazy(ds["flux"]) or lazy.is_lazy(ds["flux_error"]):
        raise TsoError(
            "refine_wavelength: the spectra are lazy, and wavelength is their axis, which has to be known; "
            "load them with .compute() first, or refine the rates"
        )
    flux = np.nanmedian(ds["flux"].transpose("time", ...).values.astype("f8"), axis=0)
    error = np.nanmedian(ds["flux_error"].transpose("time", ...).values.astype("f8"), axis=0)
    error = _of_median(error, ds.sizes["time"])
    wave = ds["wavelength"].values.astype("f8")
    table = _fitted(flux, error, wave, template, stretch, options)
    moved = _moved(wave, table)
    out = ds.assign_coords(wavelength=("wavelength", moved, ds["wavelength"].attrs))
    return _labelled(out, xr.DataArray(table, dims=("part", "wavelength")), "wavelength")


def _labelled(ds: xr.Dataset, table: xr.DataArray, along: str) -> xr.Dataset:
    note("wavelengths shifted by refine_wavelength_shift, where the lines are significant")
    texts = {
        "shift": "pixels by which the wavelengths were read farther on",
        "stretch": "further shift at the last pixel, its opposite at the first",
        "significance": "significance of the lines",
        "reduced_chi2": "chi-squared over degrees of freedom",
    }
    new = {}
    for i, name in enumerate(TERMS):
        text = texts.get(name, f"1 sigma error of the {name.removesuffix('_error')}")
        unit = "1" if name in ("significance", "reduced_chi2") else "pix"
        value = table.isel(part=3 + i).isel({along: 0}, drop=True)
        new[f"refine_wavelength_{name}"] = value.assign_attrs(long_name=text, units=unit)
    for i, name in enumerate(("spectrum", "fit")):
        units = ds["rate" if "rate" in ds else "flux"].attrs.get("units", "1")
        labels = {"long_name": f"median {name}" if i == 0 else "fit to it", "units": units}
        line = table.isel(part=i).variable
        new[f"refine_wavelength_{name}"] = xr.DataArray(line.data, dims=line.dims, attrs=labels)
    source = ds.attrs.get("wavelength_source", "the data")
    return ds.assign(new).assign_attrs(
        wavelength_source=f"{source}; refined with lines of the star"
    )


@diagnostic(refine_wavelength)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median spectrum and its fit; without ``ax`` also what the fit leaves, in per cent.

    Lines that are left over in the shape of a derivative were not shifted enough; waves are a
    continuum that the polynomial cannot follow, and then the shift is worth nothing.
    """
    beside = None
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, beside) = plt.subplots(
            2, 1, figsize=(7.5, 4.8), sharex=True, layout="constrained", height_ratios=(3, 2)
        )
    flux, fit = (np.asarray(ds[f"refine_wavelength_{n}"].values) for n in ("spectrum", "fit"))
    ax.plot(flux, color=style.COLORS["data"], lw=1, label="median spectrum")
    ax.plot(fit, color=style.COLORS["model"], lw=1, label="fit")
    terms = {n: float(ds[f"refine_wavelength_{n}"]) for n in TERMS}
    text = f"shift {terms['shift']:+.3f} +- {terms['shift_error']:.3f} pix"
    if terms["significance"] < ENOUGH:
        text = "wavelengths left as they are: no lines"
    ax.set_title(f"{text}; significance {terms['significance']:.0f} sigma", fontsize="medium")
    ax.set_ylabel(style.label_of(ds["refine_wavelength_spectrum"]))
    ax.legend(frameon=False)
    last = ax if beside is None else beside
    last.set_xlabel(f"pixel along {ds.attrs.get('dispersion_dim', 'dispersion')}")
    if beside is not None:
        bright = np.where(flux > 0.05 * np.nanmax(np.nan_to_num(flux)), flux, np.nan)
        left = 100.0 * (bright / fit - 1.0)
        beside.plot(left, color=style.COLORS["after"], lw=0.8)
        beside.axhline(0.0, color="k", lw=0.6)
        reach = max(abs(x) for x in style.robust_limits(left, 2, 98))
        beside.set(ylabel="spectrum / fit - 1 [%]", ylim=(-1.5 * reach, 1.5 * reach))
    return ax
