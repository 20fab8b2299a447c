"""1/f noise on the clock of the read-out.

The electronics of one output add a voltage with the one-sided power spectral density
``S(f) = A^2 / f``. It is drawn on every clock tick (10 us), line and frame overheads and the
reset frame included, and each pixel picks the value of the tick at which it is read; so
stripes, their correlation along a line and their change from line to line come out by
themselves. (The form is that of Rauscher 2015, PASP 127, 1144; the amplitude is set by the
density and not by the variance of the sequence, which would depend on its length.)

Two parts make up the density. Within an integration of length T, a sequence of at least 2 T
is drawn by inverse Fourier transform and its first half is kept, so that its ends are not
tied together; it holds the frequencies above 1/(2T). Frequencies below come from one sequence
for the exposure with one knot at each integration's start, joined by straight lines; it makes
the level wander from one integration to the next.

A is set from the rms r of the noise about its mean within one frame of n ticks,
``r^2 = A^2 (ln(pi n) + gamma - 3/2)``, the integral of ``A^2/f (1 - sinc^2(f n dt))`` up to
the Nyquist frequency.
"""

from __future__ import annotations

import numpy as np

from tsoxr.simulation.clock import TICK, Clock
from tsoxr.simulation.streams import stream

__all__ = ["amplitude", "pink_sequence", "slow_drift", "ticks_of_integration"]


def amplitude(frame_rms: float, n_ticks: int) -> float:
    """Return A of ``S(f) = A^2 / f`` whose noise has a given rms within one frame.

    Parameters
    ----------
    frame_rms : float
        Standard deviation about the frame's mean, DN.
    n_ticks : int
        Clock ticks of the frame.
    """
    return frame_rms / np.sqrt(np.log(np.pi * n_ticks) + np.euler_gamma - 1.5)


def pink_sequence(
    n_outputs: int, n_samples: int, interval: float, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw sequences of density ``scale^2 / f`` above the frequency 1/(2 n_samples interval).

    Parameters
    ----------
    n_outputs : int
        Number of independent sequences.
    n_samples : int
        Length of each.
    interval : float
        Time from sample to sample, s.
    scale : float
        A, DN.
    rng : numpy Generator
        Source of randomness.

    Returns
    -------
    (n_outputs, n_samples) float32
    """
    from scipy.fft import irfft, next_fast_len

    n = next_fast_len(2 * n_samples, real=True)
    n_frequencies = n // 2 + 1
    frequency = np.arange(1, n_frequencies) / (n * interval)
    envelope = (0.5 * scale * np.sqrt(n / (interval * frequency))).astype(np.float32)
    parts = rng.standard_normal((n_outputs, n_frequencies, 2), dtype=np.float32)
    coefficients = parts.view(np.complex64)[..., 0]
    coefficients[:, 1:] *= envelope
    coefficients[:, 0] = 0.0
    return irfft(coefficients, n, axis=-1)[:, :n_samples]


def slow_drift(clock: Clock, scale: float, seed: int) -> np.ndarray:
    """Draw the part below 1/(2T), one knot at each integration's start and one at the end.

    Returns
    -------
    (n_outputs, n_integrations + 1) float32
    """
    return pink_sequence(
        clock.readout.n_outputs,
        clock.n_integrations + 1,
        clock.integration_interval,
        scale,
        stream(seed, "drift"),
    )


def ticks_of_integration(
    clock: Clock, index: int, scale: float, drift: np.ndarray, seed: int
) -> np.ndarray:
    """Return the noise on every tick of one integration, reset frame first.

    Parameters
    ----------
    clock : Clock
        Times of the exposure.
    index : int
        Integration, from 0.
    scale : float
        A, DN.
    drift : (n_outputs, n_integrations + 1) float32
        From `slow_drift`.
    seed : int
        Seed of the exposure.

    Returns
    -------
    (n_outputs, n_ticks) float32
        DN; ``n_ticks`` is (n_groups + 1) frames.
    """
    n_ticks = (clock.n_groups + 1) * clock.readout.frame_clocks
    rng = stream(seed, "one_over_f", index)
    noise = pink_sequence(clock.readout.n_outputs, n_ticks, TICK, scale, rng)
    along = np.arange(n_ticks, dtype=np.float32) / n_ticks
    noise += drift[:, index, None]
    noise += (drift[:, index + 1] - drift[:, index])[:, None] * along
    return noise
