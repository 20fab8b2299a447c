"""What each step's diagnostics are judged by: numbers, units, and what is expected of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import history, modes

__all__ = ["AS_PREDICTED", "STEPS", "Row", "noise_share", "parameter", "scatter"]

AS_PREDICTED = (0.9, 1.1)
FLAT = 0.1  # pix: scatter about a trace, above which a reduction should be looked at
LINES = 5.0  # sigma: significance of lines that move the wavelengths
POINT_TO_POINT = 1.39  # error of a scatter from point to point, relative, times sqrt(n)
FEWEST = 12  # differences, below which a scatter says nothing
LARGEST_ERROR = 0.25  # of a ratio that is judged
MOVED = 100.0  # mpix: motion of a star that a fixed aperture should be wide for
LIGHT_TIME = 3.0  # s: by which the Lagrange point is off at most
VERDICTS = ("bright", "dark", "noisy", "jumping", "known")
MOTION = {
    "trace_shift": ("motion across, rms", 1e3, "mpix"),
    "trace_shift_dispersion": ("motion along dispersion, rms", 1e3, "mpix"),
    "trace_fwhm": ("change of the FWHM, rms", 1e3, "mpix"),
    "trace_roll": ("roll, rms", 206264.8, "arcsec"),
}
ALONG = {
    "trace_shift": ("motion along y, rms", 1e3, "mpix"),
    "trace_shift_dispersion": ("motion along x, rms", 1e3, "mpix"),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; without ``expected`` the bounds are what is expected."""

    quantity: str
    value: float
    unit: str = "1"
    low: float = -math.inf
    high: float = math.inf
    expected: str = ""

    def cells(self, step: str) -> tuple[Any, ...]:
        """Return step, quantity, value, unit, what is expected, and the mark."""
        value = float(self.value)
        outside = np.isfinite(value) and not self.low <= value <= self.high
        return step, self.quantity, value, self.unit, self._text(), "<--" if outside else ""

    def _text(self) -> str:
        low, high = (f"{bound:.3g}" for bound in (self.low, self.high))
        if self.expected or not (math.isfinite(self.low) or math.isfinite(self.high)):
            return self.expected
        if low == high:
            return low
        if not math.isfinite(self.low):
            return f"< {high}"
        return f"{low} to {high}" if math.isfinite(self.high) else f"> {low}"


def noise_share(sigma: float) -> float:
    """Return the share of normal values farther than ``sigma`` from the mean, on both sides.

    Examples
    --------
    >>> round(noise_share(3.0), 4)
    0.0027
    """
    return math.erfc(sigma / math.sqrt(2.0))


def parameter(ds: xr.Dataset, step: str, name: str) -> Any:
    """Return a parameter of the last application of a step, ``None`` where there is none."""
    used = [r["params"] for r in history.records(ds.attrs) if r["step"] == step]
    return used[-1].get(name) if used else None


def _flag_bad_pixels(ds: xr.Dataset) -> Iterator[Row]:
    verdict = ds.get("flag_bad_pixels_verdict")
    if verdict is None:
        return
    for value, name in enumerate(VERDICTS, 1):
        yield Row(f"{name} pixels", 100.0 * float((verdict == value).mean()), "%", high=1.0)
    ratio = float(ds["flag_bad_pixels_noise_ratio"].median())
    yield Row("noise over that of similar pixels (median)", ratio, "1", *AS_PREDICTED)


def _flag_outliers(ds: xr.Dataset) -> Iterator[Row]:
    if "flag_outliers_count" not in ds:
        return
    share, count = ds["flag_outliers_fraction"], ds["flag_outliers_count"]
    noise = 100.0 * noise_share(parameter(ds, "flag_outliers", "sigma") or math.inf)
    mean = 100.0 * float(share.mean())
    yield Row("samples flagged", mean, "%", high=0.5, expected=f"noise alone: up to {noise:.2g}")
    worst = 100.0 * float(count.max()) / share.size
    yield Row("samples flagged, worst integration", worst, "%", high=1.0)
    often = int((share > 0.1).sum()) if ds.sizes["time"] > 20 else math.nan
    yield Row("pixels flagged in a tenth of the integrations", often, high=0.001 * share.size)
    ratio = float(ds["flag_outliers_noise_ratio"].median())
    yield Row("noise over rate_error (median)", ratio, "1", *AS_PREDICTED)


def _find_trace(ds: xr.Dataset) -> Iterator[Row]:
    if "find_trace_centroid" not in ds:
        return
    first, last = np.asarray(ds["find_trace_range"])
    along = ds[ds.attrs["dispersion_dim"]]
    left = (ds["find_trace_centroid"] - ds["trace_center"]).where(
        (along >= first) & (along <= last)
    )
    yield Row("measured places about the trace, scatter", _spread(left), "pix", high=FLAT)
    yield Row("lines with light", 100.0 * float(np.isfinite(left).mean()), "%", low=20.0)
    yield Row("full width at half maximum (median)", float(ds["find_trace_fwhm"].median()), "pix")


def _subtract_background(ds: xr.Dataset) -> Iterator[Row]:
    level = ds.get("subtract_background_level")
    if level is None:
        return
    unit = level.attrs.get("units", "")
    yield Row("level (median)", float(level.median()), unit)
    if "level_variance" in ds and ds.sizes["time"] >= FEWEST:
        ratio = (scatter(level) / np.sqrt(ds["level_variance"])).median()
        yield Row("level: scatter over its error", float(ratio), "1", *AS_PREDICTED)
    share = 100.0 * float(ds["subtract_background_region"].mean())
    yield Row("pixels that show background", share, "%", low=10.0)


def _track(ds: xr.Dataset) -> Iterator[Row]:
    mode = ds.attrs.get("tso_mode")
    imaging = mode in modes.names() and modes.get(mode).imaging
    for name, (text, factor, unit) in (MOTION | (ALONG if imaging else {})).items():
        if name in ds.coords and np.isfinite(ds[name]).any():
            error = factor * float(ds[f"{name}_error"].median())
            yield Row(text, factor * float(ds[name].std()), unit, expected=f"error {error:.2g}")
    if "track_amplitude" not in ds:
        return
    yield from _light(ds)
    yield Row("jumps", float((ds["track_step"] > 0).sum()), low=0.0, high=0.0)


def _light(ds: xr.Dataset) -> Iterator[Row]:
    """Return the scatter of the light out of transit, where no limb of the star bends it."""
    bends = np.abs(np.diff(np.asarray(ds["track_amplitude"], dtype=float), 2))
    if "in_transit" in ds.coords:
        inside = np.asarray(ds["in_transit"], dtype=bool)
        bends = bends[~(inside[:-2] | inside[1:-1] | inside[2:])]
    if bends.size >= FEWEST:
        ratio = np.nanmedian(bends) / 1.652 / float(ds["track_amplitude_error"].median())
        margin = 0.1 + 2.8 / math.sqrt(bends.size)  # two errors of one such ratio
        yield Row("light: scatter over its error", ratio, "1", 1.0 - margin, 1.0 + margin)


def _assign_wavelength(ds: xr.Dataset) -> Iterator[Row]:
    if "wavelength" not in ds.coords or not np.isfinite(ds["wavelength"]).any():
        return
    name = ds.attrs.get("tso_mode")
    limits = modes.get(name).wavelength_range if name in modes.names() else None
    low, high = (0.9 * limits[0], 1.1 * limits[1]) if limits else (0.3, 40.0)
    text = f"mode: {limits[0]} to {limits[1]}" if limits else ""
    yield Row("first wavelength", float(ds["wavelength"].min()), "um", low, high, text)
    yield Row("last wavelength", float(ds["wavelength"].max()), "um", low, high, text)


def _refine_wavelength(ds: xr.Dataset) -> Iterator[Row]:
    if "refine_wavelength_shift" not in ds:
        return
    terms = ("significance", "shift", "shift_error", "reduced_chi2")
    seen, shift, error, chi2 = (float(ds[f"refine_wavelength_{n}"]) for n in terms)
    yield Row("significance of the lines", seen, "sigma", low=LINES)
    what = "shift" if seen >= LINES else "shift, not applied"
    yield Row(what, shift, "pix", expected=f"error {error:.2g}")
    yield Row("chi-squared over degrees of freedom", chi2)


def _barycentric(ds: xr.Dataset) -> Iterator[Row]:
    if "barycentric_difference" in ds:
        late = float(ds["barycentric_difference"].median())
        yield Row("times of the data less those recomputed", late, "s", -LIGHT_TIME, LIGHT_TIME)


def _replace_bad_pixels(ds: xr.Dataset) -> Iterator[Row]:
    if "replace_bad_pixels_fraction" not in ds:
        return
    share = 100.0 * ds["replace_bad_pixels_fraction"]
    yield Row("samples replaced", float(ds["replace_bad_pixels_count"].sum()))
    yield Row("replaced light, mean of the lines", float(share.mean()), "%", high=2.0)
    yield Row("replaced light, worst line", float(share.max()), "%")


def _combine(ds: xr.Dataset) -> Iterator[Row]:
    if "combine_pull" in ds:
        yield Row("integrations used (median)", float(ds["combine_n_used"].median()))
        pull = float(ds["combine_pull"].median())
        yield Row("scatter of the samples over their errors", pull, "1", *AS_PREDICTED)


def _optimize_aperture(ds: xr.Dataset) -> Iterator[Row]:
    if "optimize_aperture_chosen" not in ds:
        return
    chosen = ds["optimize_aperture_chosen"] == 1

    def of_choice(name: str) -> float:
        return float(ds[f"optimize_aperture_{name}"].where(chosen).max())

    usual = ds["optimize_aperture_half_width"].attrs["usual"]
    yield Row("half width", of_choice("half_width"), "pix", expected=f"usually {usual:g}")
    ratio, error = (of_choice(name) / of_choice("predicted") for name in ("scatter", "error"))
    low, high = AS_PREDICTED
    yield Row("scatter over prediction", ratio, "1", low - 2.0 * error, high + 2.0 * error)


def _extract(ds: xr.Dataset) -> Iterator[Row]:
    if "extract_scatter" in ds:
        ratio = float(ds["extract_scatter"].median())
        yield Row("scatter from point to point over error (median)", ratio, "1", *AS_PREDICTED)
    if "extract_estimated_share" in ds:
        share = 100.0 * ds["extract_estimated_share"]
        yield Row("light that was estimated, mean", float(share.mean()), "%", high=2.0)
        yield Row("light that was estimated, worst wavelength", float(share.max()), "%")
    if "extract_rejected" in ds:
        yield Row("samples rejected against the profile", float(ds["extract_rejected"].sum()))
    if "aperture_loss" in ds:
        loss, known = (100.0 * float(ds[f"aperture_loss{n}"].median()) for n in ("", "_error"))
        text = f"< 2, error {known:.2g}"
        yield Row("light outside of the aperture (median)", loss, "%", high=2.0, expected=text)


def _calibrate_flux(ds: xr.Dataset) -> Iterator[Row]:
    if "calibrate_flux_conversion" not in ds:
        return
    own = 100.0 * float(ds["calibrate_flux_uncertainty"].median())
    yield Row("error of the calibration (median)", own, "%")
    lost = 100.0 * float(ds["calibrate_flux_conversion"].isnull().mean())
    yield Row("wavelengths without calibration", lost, "%", high=20.0)


def _noise_ratio(ds: xr.Dataset) -> Iterator[Row]:
    ratio, error = ds["noise_ratio"], ds["noise_ratio_error"]
    known = np.isfinite(ratio)
    if not known.any():
        return
    if ratio.size > 1:
        middle = float(ratio.median())
        yield Row("scatter over error (median channel)", middle, "1", *AS_PREDICTED)
        far = 100.0 * float((abs(ratio - middle) > 3.0 * error).where(known).mean())
        yield Row(
            "channels 3 sigma from the median", far, "%", high=2.0, expected="noise alone: 0.3"
        )
    if "noise_ratio_white" in ds or ratio.size == 1:
        yield from _white_ratios(ds)


def _white_ratios(ds: xr.Dataset) -> Iterator[Row]:
    """Return the white light's ratios, at one integration and in the longest bins of enough."""
    part = "_white" if "noise_ratio_white" in ds else ""
    binned = {n: ds[f"noise_ratio{part}_binned{n}"].squeeze(drop=True) for n in ("", "_error")}
    few = np.asarray(binned["_error"] / binned[""])
    enough = np.flatnonzero(few < LARGEST_ERROR)
    for k in {0, *enough[-1:]}:
        ratio, margin = float(np.ravel(binned[""])[k]), 0.1 + 2.0 * float(np.ravel(few)[k])
        size = int(np.ravel(ds["bin_size"])[k]) if "bin_size" in ds.coords else 2**k
        text = "scatter over error, white light" + (f", bins of {size}" if k else "")
        yield Row(text, ratio, "1", max(1.0 - margin, 0.0), 1.0 + margin)


def _photometry(ds: xr.Dataset) -> Iterator[Row]:
    if "photometry_scatter" not in ds:
        return
    ratio, n = float(ds["photometry_scatter"]), ds.sizes.get("time", 0)
    if n >= FEWEST:
        margin = 0.1 + 3.0 * POINT_TO_POINT / math.sqrt(n)
        text = "scatter from point to point over error"
        yield Row(text, ratio, "1", 1.0 - margin, 1.0 + margin)
    yield Row("error of one integration", 1e6 * float(ds["photometry_error"]), "ppm")
    yield from _sums(ds)
    for dim in ("y", "x"):
        if f"centroid_{dim}" in ds.coords and np.isfinite(ds[f"centroid_{dim}"]).any():
            error = 1e3 * float(ds[f"centroid_{dim}_error"].median())
            moved = 1e3 * float(ds[f"centroid_{dim}"].std())
            text = f"< {MOVED:.0f}, error {error:.2g}"
            yield Row(f"centroid along {dim}, rms", moved, "mpix", high=MOVED, expected=text)


def _sums(ds: xr.Dataset) -> Iterator[Row]:
    """Return what was summed and what was not."""
    level = ds["background_level"]
    unit = level.attrs.get("units", "")
    yield Row("background (median)", float(level.median()), unit)
    if float(ds["photometry_follows"]):
        yield Row("background, rms", float(level.std()), unit)
    share = 100.0 * ds["photometry_estimated"]
    yield Row("light that was estimated, mean", float(share.mean()), "%", high=2.0)
    yield Row("light that was estimated, worst integration", float(share.max()), "%", high=20.0)
    yield Row("light in pixels never usable", 100.0 * float(ds["photometry_lost"]), "%", high=5.0)
    if not float(ds["photometry_whole"]):
        inside = 100.0 * float(ds["photometry_inside"])
        yield Row("aperture inside the frame", inside, "%", low=99.0)
    drift = max(float(ds[f"photometry_line_{n}"]) for n in ("level", "drift"))
    most = math.inf if float(ds["photometry_optimal"]) else 0.0
    text = "weights allow for it" if drift and most else "0"
    yield Row("drift of lines, rms", drift, unit, high=most, expected=text)


STEPS: dict[str, Callable[[xr.Dataset], Iterator[Row]]] = {
    f.__name__.removeprefix("_"): f
    for f in (
        _flag_bad_pixels, _flag_outliers, _find_trace, _subtract_background, _track,
        _assign_wavelength, _refine_wavelength, _barycentric, _replace_bad_pixels, _combine,
        _optimize_aperture, _extract, _noise_ratio, _calibrate_flux, _photometry,
    )
}  # fmt: skip


def scatter(array: xr.DataArray) -> xr.DataArray:
    """Return the scatter from one integration to the next, which transits and trends hardly touch.

    That of a normal series is the median of ``|successive differences| / 0.954``.
    """
    return abs(array.diff("time")).median("time") / 0.954


def _spread(array: xr.DataArray) -> float:
    return float(1.4826 * abs(array - array.median()).median())
