"""Give each pixel its wavelength.

Wavelengths come from a calibration that the data bring along, from one that the user has,
or from nominal relations that are built in. The last know the instrument and not the visit:
they are good to about two pixels, and a line of the star's spectrum or the position of the
star in the aperture says how far off they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import modes, schema
from tsoxr.errors import ModeError
from tsoxr.kernels.wavelength import NOMINAL, Dispersion, nominal_key, wavelength_at
from tsoxr.kernels.wavelength_units import air_to_vacuum, doppler
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _rates, _wavelength_models, _wavelengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["assign_wavelength"]

PLAUSIBLE = (0.3, 40.0)
"""Wavelengths that JWST sees, um."""

WHEEL = _wavelength_models.WHEEL

Source = str | Path | xr.DataArray | np.ndarray | Mapping[str, Any] | Callable[..., Any] | None


@step(kind="rates", adds=("wavelength",))
def assign_wavelength(
    ds: xr.Dataset,
    source: Source = None,
    *,
    order: int | None = None,
    medium: str = "vacuum",
    velocity: float | str = 0.0,
) -> xr.Dataset:
    """Give each pixel its wavelength.

    Without a source, wavelengths that the data have already are kept (calibrated files
    bring their own), and the mode's built-in relation is taken where there are none. That
    one is nominal: it reproduces the published calibration to hundredths of a pixel, but
    the star of a visit may stand a pixel or two from where the calibration expects it.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates. ``x_start`` and ``y_start`` say where the subarray lies on the detector.
    source : path, DataArray, array, mapping, callable, optional
        A text table (CSV, ECSV or blanks) with columns pixel and wavelength; a FITS file
        with an image WAVELENGTH, or with a table that has WAVELENGTH and PIXEL, X or Y; a
        DataArray or array along the dispersion dim or over (y, x), um unless it has another
        unit of length; or a function of pixel numbers, ``f(x, y)``, that returns um. Pixels
        are those of the subarray, counted from 0.
        A JSON file or mapping holds a polynomial in the pixels of the full detector, from 0:
        ``coefficients`` of ascending powers of ``(pixel - center) / scale``, and where it
        matters ``pixel_range``, ``detector`` and ``subarray``; or a model of PASTASOSS
        (NIRISS), a polynomial in pixel and angle of the pupil wheel.
    order : int, optional
        Spectral order. Left out, that of the trace or the wavelengths that the data have, and 1
        without them.
    medium : {"vacuum", "air"}
        What the wavelengths of ``source`` hold for; those of air are changed to vacuum.
    velocity : float or "header"
        Wavelengths are multiplied by 1 + velocity / c, km/s: the speed with which the
        observatory approaches the target makes barycentric wavelengths out of those that the
        detector sees. ``"header"`` takes -VELOSYS, as the STScI pipeline divides by
        1 + VELOSYS / c. 0 leaves them as they are.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the coordinate ``wavelength`` (y, x), float64 um in vacuum, NaN where
        there is none, and the attribute ``wavelength_source``. The coordinate's attribute
        ``velocity`` (km/s) is what it was multiplied with. In imaging modes unchanged, with
        a note.

    Raises
    ------
    ModeError
        Without a source, where neither the data nor the mode have wavelengths.
    ValueError
        For a source of the wrong shape, of another detector or subarray, with values that
        are no wavelengths, or that do not rise or fall along the dispersion.
    FileNotFoundError
        For a path without a file.

    References
    ----------
    The built-in relations and what they were fitted to: `tsoxr.kernels.wavelength`.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=4, seed=1)
    >>> linear = rates.tso.assign_wavelength(lambda x, y: 0.5 + 0.01 * x)
    >>> float(linear.wavelength.sel(x=100, y=16))
    1.5
    """
    _wavelength_models.check_medium(medium, "assign_wavelength")
    speed = _speed(ds, velocity)
    mode = ds.attrs.get("tso_mode")
    if mode in modes.names() and modes.get(mode).imaging and source is None:
        note("imaging: there is no dispersion, data unchanged")
        return ds
    if order is None:
        order = int(derived(order=_rates.order_of(ds, "trace_center", "wavelength")))
    if source is None and _has_own(ds, order):
        note("wavelengths of the data are kept")
        return ds.assign_attrs(wavelength_source=ds.attrs.get("wavelength_source", "the data"))
    values, origin = _builtin(ds, order) if source is None else _given(ds, source, order)
    values = doppler(air_to_vacuum(values) if medium == "air" else values, speed)
    values = _checked(values, origin, ds.attrs["dispersion_dim"])
    attrs = {"spectral_order": order, "medium": "vacuum", "velocity": speed}
    wavelength = schema.label(xr.DataArray(values, dims=("y", "x")), "rates", "wavelength", **attrs)
    origin += ", from air" if medium == "air" else ""
    return ds.assign_coords(wavelength=wavelength.variable).assign_attrs(wavelength_source=origin)


def _speed(ds: xr.Dataset, velocity: float | str) -> float:
    """Return the velocity, km/s, that wavelengths are moved by."""
    if velocity == "header":
        cards = json.loads(ds.attrs.get("fits_header", "{}"))
        found = cards.get("SCI", {}).get("VELOSYS", cards.get("PRIMARY", {}).get("VELOSYS"))
        if found is None:
            raise ValueError(
                "assign_wavelength: velocity='header' needs the keyword VELOSYS, which the header lacks; give "
                "the velocity in km/s"
            )
        return -float(found) / 1000.0
    if isinstance(velocity, str) or not abs(float(velocity)) < 3000.0:
        raise ValueError(
            f"assign_wavelength: velocity is {velocity!r}; it must be km/s, at most 3000, or 'header'"
        )
    return float(velocity)


def _has_own(ds: xr.Dataset, order: int) -> bool:
    return "wavelength" in ds.coords and _rates.order_of(ds, "wavelength") == order


def _given(ds: xr.Dataset, source: Any, order: int) -> tuple[np.ndarray, str]:
    """Return the map of a source that the caller gave, and a text that names it."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.suffix.lower() == ".json" and path.is_file():
            return _polynomial(ds, _wavelength_models.read_polynomial(path), path.name), path.name
        return _wavelengths.from_file(ds, path, order), path.name
    if isinstance(source, Mapping):
        return _polynomial(ds, source, "the polynomial"), "polynomial given by the caller"
    if callable(source):
        name = getattr(source, "__qualname__", type(source).__name__)
        return _wavelengths.from_callable(ds, source), f"function {name}"
    kind = "DataArray" if isinstance(source, xr.DataArray) else "array"
    return _wavelengths.from_array(ds, source), f"{kind} given by the caller"


def _polynomial(ds: xr.Dataset, model: Mapping[str, Any], where: str) -> np.ndarray:
    """Return the map of a polynomial in the pixels of the full detector."""
    _wavelengths.check_place(ds, model, where, along_only=True)
    dispersion = ds.attrs["dispersion_dim"]
    y, x = _wavelengths.pixel_grid(ds)
    pixel = (y if dispersion == "y" else x) + float(ds.attrs.get(f"{dispersion}_start", 1)) - 1.0
    header = json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {})
    wheel = header.get("PWCPOS")
    usable = wheel is not None and abs(float(wheel) - WHEEL) <= 1.0
    values = _wavelength_models.polynomial(model, pixel, float(wheel) if usable else None, where)
    return _wavelengths.spread(ds, values)


def _checked(values: np.ndarray, origin: str, dispersion: str) -> np.ndarray:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError(
            f"assign_wavelength: no wavelength from {origin} falls on this subarray; pixels are those of "
            "the subarray, counted from 0; give a source that covers them"
        )
    low, high = PLAUSIBLE
    if finite.min() < low or finite.max() > high:
        raise ValueError(
            f"assign_wavelength: wavelengths from {origin} run from {finite.min():g} to {finite.max():g}; "
            f"they must lie between {low} and {high} um; convert the unit"
        )
    lines = values.T if dispersion == "y" else values
    steps = np.diff(lines, axis=1)
    rises, falls = (steps > 0).sum(axis=1), (steps < 0).sum(axis=1)
    turned = np.minimum(rises, falls) + (steps == 0).sum(axis=1)
    if (turned > 0).any():
        line = int(np.argmax(turned > 0))
        step, sign = steps[line], 1.0 if rises[line] >= falls[line] else -1.0
        at = int(np.flatnonzero(np.isfinite(step) & (sign * step <= 0))[0])
        raise ValueError(
            f"assign_wavelength: wavelengths from {origin} do not rise or fall all along {dispersion}: they "
            f"turn at pixel {at} of line {line}; smooth the table, or cut it to where it holds"
        )
    return values


def _builtin(ds: xr.Dataset, order: int) -> tuple[np.ndarray, str]:
    """Return the map of the mode's nominal relation, and its name and accuracy."""
    header = json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {})
    key = _key(ds, order, header)
    relation = NOMINAL[key]
    pixel = _relation_pixels(ds, relation, key)
    wheel = _wheel(header) if relation.pixel_per_degree else 0.0
    values = wavelength_at(relation, pixel, wheel=wheel)
    text = f"nominal {key}, within {relation.accuracy:g} um of {relation.basis}; not calibrated for this visit"
    note(text)
    return _wavelengths.spread(ds, values), text


def _key(ds: xr.Dataset, order: int, header: dict[str, Any]) -> str:
    mode, detector = str(ds.attrs.get("tso_mode")), str(ds.attrs.get("detector", "")).upper()
    band = str(header.get("FILTER", "")).upper()
    if mode == "nircam-grism" and not band:
        band = "F322W2"
        note("the filter is not in the header: taken to be F322W2")
    key = nominal_key(mode, detector=detector, order=order, band=band)
    grating = str(header.get("GRATING", "")).upper()
    if key is None or (
        mode.startswith("nirspec") and grating not in ("", mode.split("-")[1].upper())
    ):
        setting = " ".join(t for t in (mode, detector, grating or band) if t)
        raise ModeError(
            f"assign_wavelength: no built-in wavelengths for {setting}, order {order}; there are "
            f"{', '.join(NOMINAL)}; give a source: a calibrated file of this visit (WAVELENGTH) or a table"
        )
    return key


def _relation_pixels(ds: xr.Dataset, relation: Dispersion, key: str) -> np.ndarray:
    """Return the pixels along dispersion as the relation counts them."""
    dispersion = ds.attrs["dispersion_dim"]
    y, x = _wavelengths.pixel_grid(ds)
    along = y if dispersion == "y" else x
    subarray = ds.attrs.get("subarray")
    if not relation.subarrays:
        return along + float(ds.attrs.get(f"{dispersion}_start", 1)) - 1.0
    if subarray is not None and subarray not in relation.subarrays:
        raise ModeError(
            f"assign_wavelength: the built-in wavelengths of {key} hold for {', '.join(relation.subarrays)}; "
            f"this is {subarray}; give a source: a calibrated file of this visit (WAVELENGTH) or a table"
        )
    return along


def _wheel(header: dict[str, Any]) -> float:
    """Return the angle of the pupil wheel from nominal, degrees; 0 where it is not told."""
    angle = header.get("PWCPOS")
    if angle is None or abs(float(angle) - WHEEL) > 1.0:
        note("no usable pupil-wheel angle (PWCPOS) in the header: taken to be nominal")
        return 0.0
    return float(angle) - WHEEL


@diagnostic(assign_wavelength)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the wavelength along the dispersion, and the step from pixel to pixel."""
    dispersion, spatial = ds.attrs["dispersion_dim"], ds.attrs["spatial_dim"]
    ax = style.axes(ax)
    if "wavelength" not in ds.coords:
        ax.text(0.5, 0.5, "no dispersion", ha="center", transform=ax.transAxes)
        return ax
    middle = ds["wavelength"].isel({spatial: ds.sizes[spatial] // 2})
    y, x = _wavelengths.pixel_grid(ds)
    pixel, values = (y if dispersion == "y" else x), np.asarray(middle.values)
    ax.plot(pixel, values, color=style.COLORS["data"])
    ax.set_xlabel(f"{dispersion} [pix]")
    ax.set_ylabel("wavelength [um]")
    source = str(ds.attrs.get("wavelength_source", "")).split(",", maxsplit=1)[0]
    first, last = np.nanmin(values), np.nanmax(values)
    ax.set_title(f"{first:.3f} to {last:.3f} um, from {source}", fontsize="medium")
    ax.grid(alpha=0.3)
    beside = ax.twinx()
    beside.plot(pixel, np.abs(np.gradient(values)), color=style.COLORS["after"], lw=1)
    beside.set_ylabel("step [um/pix]", color=style.COLORS["after"])
    return ax
