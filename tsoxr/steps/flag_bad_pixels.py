"""Flag pixels that are wrong at all times, as the exposure itself shows them.

A reference mask is as old as its darks. In a time series every pixel is seen hundreds of times:
its noise, its jumps between levels and its place in the image of the star tell whether it can
be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, summary
from tsoxr.errors import TsoError
from tsoxr.kernels import bad_pixels as kernel
from tsoxr.kernels import outliers as outlier_kernel
from tsoxr.lazy import static_from_sample
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _outliers, _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_bad_pixels"]

REFERENCE = 5
"""Verdict of the reference mask."""
NAMES = {
    kernel.BRIGHT: ("HOT", "DO_NOT_USE"),
    kernel.DARK: ("DEAD", "DO_NOT_USE"),
    kernel.NOISY: ("UNRELIABLE_SLOPE", "DO_NOT_USE"),
    kernel.JUMPING: ("TELEGRAPH", "DO_NOT_USE"),
    REFERENCE: ("DO_NOT_USE",),
}
KNOWN_BAD = ("DEAD", "HOT", "OPEN", "ADJ_OPEN")
"""Flags of a reference that take a pixel out of use."""
SUSPECT = (
    "WARM", "LOW_QE", "RC", "TELEGRAPH", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT", "OTHER_BAD_PIXEL",
)  # fmt: skip
"""Flags of a reference that make a pixel suspect."""
NEVER = ("REFERENCE_PIXEL", "NON_SCIENCE")
N_STATIC = 16
"""Integrations that tell which flags are there at all times."""
MIN_INTEGRATIONS = 3


@step(kind="rates", needs=("rate", "rate_error", "dq"))
def flag_bad_pixels(
    ds: xr.Dataset, *, sigma: float = 5.0, suspect_sigma: float = 3.0, reference: bool = True
) -> xr.Dataset:
    """Flag pixels that are too bright, too dark, too noisy or jump between two levels.

    What light and motion of the star explain is taken off first. The median frame is compared with
    the pixels along the dispersion, in the light of their columns; without dispersion, with those
    around. The noise in time is compared with the prediction and with the pixels along the
    dispersion, so that what moves the whole spectrum makes no pixel noisy. Where the star is bright,
    a pixel must lack or exceed half of the light expected, or be three times as noisy as those around. Data
    are not changed.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate`` and ``rate_error`` (time, y, x), DN s-1, and ``dq``. Outliers
        count here: a pixel that is one time and again is a bad pixel.
    sigma : float
        Threshold in standard deviations of what is measured of a pixel.
    suspect_sigma : float
        Threshold for pixels that the reference mask suspects: WARM, LOW_QE, RC, TELEGRAPH,
        UNRELIABLE_BIAS, UNRELIABLE_DARK, UNRELIABLE_SLOPE, UNRELIABLE_FLAT, OTHER_BAD_PIXEL.
    reference : bool
        Take pixels out of use that the reference mask calls DEAD, HOT, OPEN or ADJ_OPEN, and
        heed its suspicions.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq`` gains, in all integrations, ``DO_NOT_USE`` and ``HOT`` (too bright),
        ``DEAD`` (too dark), ``UNRELIABLE_SLOPE`` (too noisy) or ``TELEGRAPH`` (two levels). Adds
        ``flag_bad_pixels_verdict`` (y, x), 0 for good and 1 to 5 for bright, dark, noisy, jumping and
        known; ``flag_bad_pixels_departure`` (y, x), median frame less what is expected, in standard
        deviations; and ``flag_bad_pixels_noise_ratio`` (y, x), noise over that of the pixels
        around. With fewer than three integrations only the reference mask is used, with a note;
        noise needs eight.

    Raises
    ------
    ValueError
        For a threshold that is not positive.

    Notes
    -----
    All is measured on up to 96 integrations, in eight runs spread over the exposure. Two levels are
    more than 4.5 times their own scatter apart; pixels with four or more excursions beyond 4.5 sigma are
    noisy. A bright pixel with three bright neighbours is taken for a star. What is found and what
    is not is measured in the documentation, page "Outliers and bad pixels".

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> hot = rates.rate + 500.0 * ((rates.y == 4) & (rates.x == 40))
    >>> found = rates.assign(rate=hot.astype("f4")).tso.flag_bad_pixels()
    >>> int(found.flag_bad_pixels_verdict[4, 40])
    1
    """
    if not (sigma > 0 and suspect_sigma > 0):
        raise ValueError(
            f"flag_bad_pixels: sigma={sigma}, suspect_sigma={suspect_sigma}; both must be positive, "
            "usually 3 to 10"
        )
    n_time = ds.sizes["time"]
    static = _static_flags(ds)
    if n_time < MIN_INTEGRATIONS:
        note(f"{n_time} integrations: only the reference mask is used")
    elif n_time < kernel.MIN_SAMPLES:
        note(f"{n_time} integrations: noise and jumps are not judged")
    images = _judged(ds, static, (float(sigma), float(suspect_sigma), bool(reference)))
    verdict = images.isel(image=0, drop=True).round().astype("u1")
    flags = ds["dq"]
    for value, names in NAMES.items():
        flags = dq.set_flag(flags, verdict == value, *names)
    texts = {
        "verdict": (verdict, "0 good, 1 bright, 2 dark, 3 noisy, 4 jumping, 5 known"),
        "departure": (images.isel(image=1, drop=True), "departure of the median, sigma"),
        "noise_ratio": (images.isel(image=2, drop=True), "noise over that of the pixels around"),
    }
    return ds.assign(dq=flags).assign(
        {
            f"flag_bad_pixels_{n}": a.assign_attrs(long_name=t, units="1")
            for n, (a, t) in texts.items()
        }
    )


def _static_flags(ds: xr.Dataset) -> xr.DataArray:
    """Return the flags that a pixel carries in all sampled integrations, (y, x) uint32."""
    return static_from_sample(
        lambda flags: np.bitwise_and.reduce(flags, axis=0),
        _outliers.bare(ds["dq"].transpose(*_outliers.DIMS)),
        dims=("y", "x"), dtype="u4", n_sample=N_STATIC,
    )  # fmt: skip


def _judged(ds: xr.Dataset, static: xr.DataArray, given: tuple[float, float, bool]) -> xr.DataArray:
    """Return verdict, departure and noise ratio, (image, y, x) float32."""
    flags = ds["dq"].transpose(*_outliers.DIMS)
    frames = _outliers.frames(ds)
    bad = _outliers.unusable(ds, flags, but="OUTLIER")
    index = xr.DataArray(np.arange(ds.sizes["time"]), dims="time")
    three = xr.DataArray(np.zeros(3), dims="image")
    dispersed = not _rates.is_imaging(ds)
    turned = dispersed and str(ds.attrs["dispersion_dim"]) == "y"
    n_time = ds.sizes["time"]

    def judge(*arrays: Any) -> np.ndarray:
        rate, lost, fits, number, templates, error, mask, _ = arrays
        sigma, suspect, usable = _thresholds(mask, given)
        if n_time < MIN_INTEGRATIONS:
            return np.stack([suspect, np.zeros(mask.shape), np.zeros(mask.shape)])
        noise = outlier_kernel.pixel_noise(rate, lost, fits, templates, number, True)
        common = outlier_kernel.class_factors(noise, error)
        known = np.isfinite(error) & usable & (suspect == 0)
        width = (np.where(known, error, 1.0) * common).astype(np.float32)
        statistics = kernel.time_statistics(rate, lost, fits, templates, width)
        median = np.where(known, templates[0], np.nan)
        parts = [median.astype(float), error.astype(float), common, noise, statistics, known, sigma]
        if turned:
            parts = [np.swapaxes(a, -1, -2) for a in parts]
        found = kernel.judge(kernel.Evidence(*parts), dispersed=dispersed, n_median=min(n_time, 32))
        verdict, departure, ratio = (np.swapaxes(a, -1, -2) if turned else a for a in found)
        return np.stack([np.where(known, verdict, suspect), departure, ratio])

    return static_from_sample(
        judge, frames.rate, _outliers.bare(bad), frames.fits, index, frames.templates,
        frames.error_image, static, three, dims=("image", "y", "x"), n_sample=_outliers.N_SCATTER,
    )  # fmt: skip


def _thresholds(
    mask: np.ndarray, given: tuple[float, float, bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the threshold of each pixel, `REFERENCE` where the mask decides, and what is sensitive."""
    sigma, suspect_sigma, reference = given
    never = dq.has_flag(mask, *NEVER)
    known = dq.has_flag(mask, *KNOWN_BAD) if reference else np.zeros(mask.shape, bool)
    known |= dq.has_flag(mask, "DO_NOT_USE")
    threshold = np.full(mask.shape, sigma)
    if reference:
        threshold[dq.has_flag(mask, *SUSPECT)] = min(sigma, suspect_sigma)
    return threshold, np.where(known & ~never, REFERENCE, 0), ~never


@diagnostic(flag_bad_pixels)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw noise ratio against departure, each pixel with its verdict; without ``ax`` also a map.

    Good pixels fill the lower middle; a tail of good pixels to a side means that the image is not as
    smooth along the dispersion as the threshold takes it to be.
    """
    if "flag_bad_pixels_verdict" not in ds:
        raise TsoError(
            "plot.flag_bad_pixels: the step was not run; run .tso.flag_bad_pixels() first"
        )
    names = [f"flag_bad_pixels_{n}" for n in ("verdict", "departure", "noise_ratio")]
    verdict, departure, ratio = (ds[n].transpose("y", "x").compute().values for n in names)
    looks = {
        "bright": style.COLORS["bad"], "dark": style.COLORS["after"],
        "noisy": style.COLORS["model"], "jumping": style.COLORS["good"], "known": "0.6",
    }  # fmt: skip
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, below) = plt.subplots(2, 1, figsize=(7.5, 6.0), layout="constrained")
        extent = style.edges(ds)
        for value, (name, color) in enumerate(looks.items(), 1):
            y, x = np.nonzero(verdict == value)
            below.plot(
                extent[0] + 0.5 + x,
                extent[2] + 0.5 + y,
                "s",
                ms=2.5,
                color=color,
                label=f"{name}: {y.size}",
            )
        below.set(
            xlim=extent[:2], ylim=extent[2:], xlabel="x [pix]", ylabel="y [pix]",
        )  # fmt: skip
        below.legend(ncol=5, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.plot(departure[verdict == 0], ratio[verdict == 0], ",", color=style.COLORS["before"])
    for value, color in enumerate(looks.values(), 1):
        which = verdict == value
        if value < REFERENCE:
            ax.plot(departure[which], ratio[which], "o", ms=3, color=color)
    sigma = float(summary.parameter(ds, "flag_bad_pixels", "sigma"))
    for side in (-sigma, sigma):
        ax.axvline(side, color=style.COLORS["model"], lw=0.8, ls="--")
    ax.axhline(1.0, color="k", lw=0.5, alpha=0.4)
    n_bad, n_known = int((verdict > 0).sum()), int((verdict == REFERENCE).sum())
    ax.set_title(
        f"{n_bad - n_known} pixels found bad, {n_known} known, of {verdict.size} "
        f"({100 * n_bad / verdict.size:.2f} %); dashed: {sigma:g} sigma", fontsize=9,
    )  # fmt: skip
    ax.set_xscale("symlog", linthresh=5)
    ax.set(
        xlabel="median frame less expectation [sigma]", ylabel="noise / usual noise", ylim=(0, None)
    )
    ax.axvline(0, color="k", lw=0.5, alpha=0.4)
    return ax
