"""One look at a simulated exposure: a raw frame, a ramp, the noise and the light curve.

The limit that the last panel names is that of photon and read noise alone.

The light curve is the plainest reduction there is: in each integration the last group less
the first, in each line of constant wavelength the sum over space after its median is
subtracted (of an image: the sum of its brightest pixels less the median of the others),
summed over wavelength. It is no measure of what a
reduction can reach, but nothing can hide in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsoxr.plots.style import COLORS, image
from tsoxr.simulation.clock import TICK
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.pink import amplitude
from tsoxr.simulation.ramp import digitize, draw_integration, steady_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tsoxr.simulation.builder import Exposure

__all__ = ["Overview", "line_light_curves", "overview", "plot_overview", "power_spectrum"]

N_BINS = 40
SHORT = 0.5
"""Exposures shorter than this, h, are shown in minutes."""

APERTURE = 0.95
"""Part of an image's light that its aperture holds."""

FAINTEST = 0.5
"""Part of the pixels, the faintest ones, that shows the noise of the read-out."""


@dataclass(frozen=True, eq=False)
class Overview:
    """What the picture shows.

    ``frame`` (y, x) DN, the last group of the first integration; ``ramp`` (group,) DN of the
    brightest pixel ``pixel`` (y, x) and ``faint`` (group,) DN of a median one; ``frequency``
    and ``power`` (bin,) Hz and DN^2/Hz of a difference of two groups; ``lines`` (time, line) electron, the
    light curve of each line of constant wavelength.
    """

    frame: np.ndarray
    ramp: np.ndarray
    faint: np.ndarray
    pixel: tuple[int, int]
    frequency: np.ndarray
    power: np.ndarray
    lines: np.ndarray


def overview(exposure: Exposure) -> Overview:
    """Draw an exposure once, one integration in memory at a time, and keep what is shown.

    Parameters
    ----------
    exposure : Exposure
        What is simulated; with two groups or more.

    Raises
    ------
    ValueError
        With fewer than two groups.
    """
    if exposure.n_groups < 2:
        raise ValueError(
            f"overview: n_groups is {exposure.n_groups}; differences of groups take 2 or more"
        )
    electronics = Electronics(exposure)
    star = exposure.scene.star * (exposure.maps.dq == 0)
    pixel = np.unravel_index(int(np.argmax(star)), star.shape)
    dark = np.unravel_index(int(np.argsort(star, axis=None)[star.size // 2]), star.shape)
    lines, spectra = [], []
    for index in range(exposure.n_integrations):  # each integration has generators of its own
        ramp = draw_integration(exposure, electronics, index)
        if "quantization" in exposure.sources:
            digitize(ramp, ramp)
        if index == 0:
            first = ramp.copy()
        lines.append(line_light_curves(exposure, ramp))
        if index < 4:
            spectra.append(power_spectrum(exposure, ramp))
    frequency = spectra[0][0]
    return Overview(
        frame=first[-1],
        ramp=first[(slice(None), *pixel)],
        faint=first[(slice(None), *dark)],
        pixel=(int(pixel[0]), int(pixel[1])),
        frequency=frequency,
        power=np.mean([p for _, p in spectra], axis=0),
        lines=np.stack(lines),
    )


def line_light_curves(exposure: Exposure, ramp: np.ndarray) -> np.ndarray:
    """Return the light of each line of constant wavelength in one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    ramp : (group, y, x) float32
        One integration, DN.

    Returns
    -------
    (line,) float64
        electron, lines in the order of the pixels along dispersion; of an image one number.
    """
    setup = exposure.setup
    step = (ramp[-1].astype(float) - ramp[0]) * exposure.maps.gain
    good = exposure.maps.dq == 0
    if setup.imaging:
        return np.array([_aperture_sum(exposure, step, good)])
    axis = 0 if setup.spatial_dim == "y" else 1
    known = np.where(good, step, np.nan)
    lit = good.any(axis=axis)
    level = np.zeros(lit.shape)
    level[lit] = np.nanmedian(np.compress(lit, known, axis=1 - axis), axis=axis)
    out = step - np.expand_dims(level, axis)
    return (out * good).sum(axis=axis)


def _aperture_sum(exposure: Exposure, step: np.ndarray, good: np.ndarray) -> float:
    """Return the light in the brightest pixels less the median of the others, electron."""
    share = np.where(good, exposure.component.share(), 0.0)
    falling = np.sort(share, axis=None)[::-1]
    faintest = falling[np.searchsorted(np.cumsum(falling), APERTURE * falling.sum())]
    inside = share >= faintest
    outside = good & ~inside
    level = np.median(step[outside]) if outside.any() else 0.0
    return float((step[inside] - level).sum())


def power_spectrum(exposure: Exposure, ramp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectral density of one read's noise against the time of reading.

    Differences of successive groups of the faintest pixels of the first output, less the
    scene that was put in, are put on the clock; half of the density of a difference is that of one read (where groups are
    single frames, and above the inverse of the frame time).

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    ramp : (group, y, x) float32
        One integration, DN.

    Returns
    -------
    frequency, power : (bin,) float64
        Hz, and DN^2/Hz of a difference, averaged in bins of equal ratio.
    """
    readout = exposure.setup.readout
    rate = exposure.scene.star
    faint = (rate <= np.quantile(rate, FAINTEST)) & (exposure.maps.dq == 0)
    if not faint.any():
        faint = exposure.maps.dq == 0
    mine = faint & (readout.outputs == 0)
    scene = (rate * exposure.maps.response + steady_rate(exposure)) / exposure.maps.gain
    steps = np.diff(ramp.astype(float), axis=0)[:, mine]
    steps -= (scene * exposure.clock.group_interval)[mine]
    steps -= np.median(steps, axis=1, keepdims=True)
    width = 1.4826 * np.median(np.abs(steps), axis=1, keepdims=True)
    np.clip(steps, -5.0 * width, 5.0 * width, out=steps)
    present = np.zeros(readout.frame_clocks)
    present[readout.ticks[mine]] = 1.0
    series = np.zeros((steps.shape[0], present.size))
    series[:, readout.ticks[mine]] = steps
    return _binned(*_density(series, present))


def _density(series: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency and one-sided density of series (n, tick), zero where not ``present``.

    The covariance at each lag is the mean over the pairs that are there (Blackman and Tukey
    1958, with a Hann window over the lags), so gaps neither lower nor whiten it.
    """
    n = present.size
    n_lags = n // 2
    power = (np.abs(np.fft.rfft(series, 2 * n, axis=1)) ** 2).mean(axis=0)
    pairs = np.fft.irfft(np.abs(np.fft.rfft(present, 2 * n)) ** 2)[:n_lags]
    covariance = np.fft.irfft(power)[:n_lags] / np.maximum(np.rint(pairs), 1.0)
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(n_lags) / n_lags)
    half = covariance * window
    density = 2.0 * TICK * (2.0 * np.fft.rfft(half, 2 * n_lags).real - half[0])
    return np.fft.rfftfreq(2 * n_lags, TICK)[1:], density[1:]


def _binned(frequency: np.ndarray, density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.geomspace(frequency[0], frequency[-1] * 1.001, N_BINS + 1)
    which = np.digitize(frequency, edges) - 1
    count = np.bincount(which, minlength=N_BINS)[:N_BINS]
    some = count > 0
    means = [
        np.bincount(which, values, minlength=N_BINS)[:N_BINS][some] / count[some]
        for values in (frequency, density)
    ]
    return means[0], means[1]


def plot_overview(exposure: Exposure) -> dict[str, Axes]:
    """Draw the four panels ``frame``, ``ramp``, ``power`` and ``light``.

    Parameters
    ----------
    exposure : Exposure
        What is simulated; it is drawn once.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    shown = overview(exposure)
    layout = [["frame", "frame", "frame"], ["ramp", "power", "light"]]
    _, panels = plt.subplot_mosaic(layout, figsize=(11, 5.6), layout="constrained")
    setup = exposure.setup
    extent = (-0.5, setup.shape[1] - 0.5, -0.5, setup.shape[0] - 0.5)
    image(panels["frame"], shown.frame, extent=extent, label="raw signal [DN]")
    title = f"{exposure.mode}  {setup.detector} {setup.subarray} {setup.filter}: last group"
    panels["frame"].set(xlabel="x [pix]", ylabel="y [pix]", title=title)
    if setup.imaging:
        panels["frame"].set_aspect("equal", anchor="C")
    _draw_ramp(panels["ramp"], exposure, shown)
    _draw_power(panels["power"], exposure, shown)
    _draw_light(panels["light"], exposure, shown)
    return panels


def _draw_ramp(ax: Any, exposure: Exposure, shown: Overview) -> None:
    time = exposure.clock.group_time
    y, x = shown.pixel
    ax.plot(time, shown.ramp, "o-", ms=4, color=COLORS["after"], label=f"brightest, y={y} x={x}")
    ax.plot(time, shown.faint, "s-", ms=4, color=COLORS["before"], label="median pixel")
    full = float(exposure.maps.saturation[y, x])
    ax.axhline(full, ls=":", color=COLORS["bad"], label="saturation")
    ax.set(xlabel="time since reset [s]", ylabel="raw signal [DN]", title="ramp of a pixel")
    ax.set_ylim(top=1.75 * full)
    ax.legend(fontsize="small", loc="upper left")


def _draw_power(ax: Any, exposure: Exposure, shown: Overview) -> None:
    levels, on = exposure.setup.electronics, exposure.sources
    ax.loglog(shown.frequency, 0.5 * shown.power, color=COLORS["data"], lw=1, label="faint pixels")
    model = np.zeros(shown.frequency.size)
    if "read" in on:
        model += 2.0 * TICK * exposure.setup.constants.read_noise**2
    if "one_over_f" in on:
        scale = amplitude(levels.one_over_f, exposure.setup.readout.frame_clocks)
        model += scale**2 / shown.frequency
    if model.any():
        ax.loglog(shown.frequency, model, color=COLORS["model"], lw=1, label="read and 1/f noise")
    ax.set(
        xlabel="frequency [Hz]", ylabel="power of a read [DN$^2$/Hz]", title="noise on the clock"
    )
    ax.legend(fontsize="small")


def _draw_light(ax: Any, exposure: Exposure, shown: Overview) -> None:
    truth = exposure.truth(stripes=False)
    time = 24.0 * (truth["time"].values - truth["time"].values[0])
    unit = "h"
    if time[-1] < SHORT:
        time, unit = 60.0 * time, "min"
    outside = ~truth["in_transit"].values
    white = shown.lines.sum(axis=1)
    white /= np.median(white[outside]) if outside.any() else np.median(white)
    expected = truth["white_flux"].values
    scatter = 1e6 * np.std(white - expected)
    limit = float(truth["white_flux_error"])
    ax.plot(time, white, ".", color=COLORS["data"], label="plain sums")
    ax.plot(time, expected, color=COLORS["model"], lw=1, label="truth")
    ax.set(
        xlabel=f"time [{unit}]",
        ylabel="relative flux",
        title=f"white light: {scatter:.0f} ppm, limit {limit:.0f} ppm",
    )
    ax.legend(fontsize="small", loc="lower left", framealpha=0.6)
