"""1/f noise on the clock of the read-out.

The electronics add a voltage with the one-sided power spectral density ``S(f) = A^2 / f``. It
is drawn on every clock tick of the exposure, line and frame overheads, reset and skipped
frames included, and each pixel picks the value of the tick at which it is read; so stripes,
their correlation along a line and their change from line to line come out by themselves.
(The form is that of Rauscher 2015, PASP 127, 1144; the amplitude is set by the density and
not by the variance of the sequence, which would depend on its length.)

A sequence runs on through the exposure, yet any part of it can be drawn alone: it is the sum
of fast blocks and one slow sequence. Block j spans the samples from (j - 1) L to (j + 1) L.
It is drawn by inverse Fourier transform, with the variance A^2 / k at the frequency k / 2L,
and faded in and out by a half sine wave, whose squares add up to one in neighbouring blocks.
With u = 2 L f in units of the lowest frequency of a block, the blocks have the density

    B(u) = 2 A^2 sum_k (1/k) (W^2(u - k) + W^2(u + k)),    W(u) = 2 cos(pi u) / (pi (1 - 4 u^2))

and what is missing, ``A^2 / u - B(u)``, all of it below u = 1.5, is the density of the slow
sequence. That has four knots in L, joined by straight lines, for the exposure as a whole.
The line k = 1 is drawn with 0.8 of its variance, with which the two parts make up 1/u within
4%; the lowest frequency is one over twice the length of the exposure.

A is set from the rms r of the noise about its mean within one frame of n ticks,
``r^2 = A^2 (ln(pi n) + gamma - 3/2)``, the integral of ``A^2/f (1 - sinc^2(f n dt))`` up to
the Nyquist frequency.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["PinkNoise", "Reader", "amplitude", "block_length"]

SHORTEST, LONGEST = 2**6, 2**18
BLOCKS_PER_INTEGRATION = 8
KNOTS = 4
FIRST_LINE = 0.8
LINES = 8

Generators = Callable[[int], np.random.Generator]
"""Gives the generator of a block; -1 stands for the slow sequence."""


def amplitude(frame_rms: float, n_ticks: int) -> float:
    """Return A of ``S(f) = A^2 / f`` whose noise has a given rms within one frame.

    Parameters
    ----------
    frame_rms : float
        Standard deviation about the frame's mean, DN.
    n_ticks : int
        Samples of the frame.
    """
    return frame_rms / np.sqrt(np.log(np.pi * n_ticks) + np.euler_gamma - 1.5)


def block_length(n_samples: int) -> int:
    """Return the length L for integrations of ``n_samples``, a power of two."""
    length = 2 ** round(np.log2(max(n_samples / BLOCKS_PER_INTEGRATION, 1.0)))
    return int(min(max(length, SHORTEST), LONGEST))


def _gaussian(deviation: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n samples (even) whose cosine and sine terms have given deviations, float32.

    ``deviation`` (n // 2,) belongs to the frequencies 1 to n // 2 over n; the mean is 0.
    """
    from scipy.fft import irfft

    parts = np.zeros((n // 2 + 1, 2), dtype=np.float32)
    rng.standard_normal(out=parts, dtype=np.float32)
    coefficients = parts.view(np.complex64)[:, 0]
    coefficients[0] = 0.0
    coefficients[1:] *= deviation
    return irfft(coefficients, n, overwrite_x=True)


def _window_power(u: np.ndarray) -> np.ndarray:
    """Return 2 W^2(u), the power spectrum of the half sine wave."""
    bottom = 1.0 - 4.0 * u**2
    near = np.abs(bottom) < 1e-6
    wave = 2.0 * np.cos(np.pi * u) / (np.pi * np.where(near, 1.0, bottom))
    return 2.0 * np.where(near, 0.5, wave) ** 2


def _slow_density(u: np.ndarray) -> np.ndarray:
    """Return the part of 1/u that the blocks of unit A leave out, (frequency,)."""
    missing = 1.0 / u
    for line in range(1, LINES + 1):  # a table of all lines would be large in long exposures
        share = FIRST_LINE if line == 1 else 1.0 / line
        missing -= share * (_window_power(u - line) + _window_power(u + line))
    return np.maximum(missing, 0.0)


class PinkNoise:
    """One endless sequence of density ``scale^2 / f``, of which any part can be drawn.

    Parameters
    ----------
    scale : float
        A, DN.
    n_samples : int
        Length of the exposure.
    length : int
        L, samples; see `block_length`.
    generators : callable
        Gives the generator of a block, and at -1 that of the slow sequence.
    """

    def __init__(self, scale: float, n_samples: int, length: int, generators: Generators) -> None:
        self.length, self._generators = length, generators
        line = np.arange(1, length + 1)
        share = np.where(line == 1, FIRST_LINE, 1.0) / line
        self._deviation = (length * scale * np.sqrt(share)).astype(np.float32)
        phase = 0.5 * np.pi * (np.arange(2 * length) + 0.5) / length
        self._fade = np.sin(phase).astype(np.float32)
        self._knots = self._slow(scale, KNOTS * (-(-n_samples // length) + 1) + 1)

    def _slow(self, scale: float, n_knots: int) -> np.ndarray:
        from scipy.fft import next_fast_len

        n = 2 * next_fast_len(n_knots, real=True)
        u = 2.0 * KNOTS * np.arange(1, n // 2 + 1) / n
        variance = _slow_density(u) * u[0]
        deviation = (0.5 * n * scale * np.sqrt(variance)).astype(np.float32)
        return _gaussian(deviation, n, self._generators(-1))[:n_knots]

    def block(self, number: int) -> np.ndarray:
        """Return one block, faded in and out, (2 L,) float32."""
        out = _gaussian(self._deviation, 2 * self.length, self._generators(number))
        out *= self._fade
        return out

    def slow(self, number: int) -> np.ndarray:
        """Return the slow part from ``number`` L on, (L,) float32."""
        knots = self._knots[KNOTS * number : KNOTS * number + KNOTS + 1, None]
        step = self.length // KNOTS
        along = np.arange(step, dtype=np.float32) / np.float32(step)
        return (knots[:-1] + (knots[1:] - knots[:-1]) * along).ravel()


class Reader:
    """Reads a sequence forwards, with two blocks in memory.

    Parameters
    ----------
    noise : PinkNoise
        What is read.
    """

    def __init__(self, noise: PinkNoise) -> None:
        self._noise = noise
        self._block = (-1, np.empty(0, dtype=np.float32))
        self._segment = (-1, np.empty(0, dtype=np.float32))

    def _segment_of(self, number: int) -> np.ndarray:
        """Return the samples from ``number`` L on, (L,) float32."""
        if self._segment[0] != number:
            noise = self._noise
            before = self._block[1] if self._block[0] == number else noise.block(number)
            after = noise.block(number + 1)
            out = noise.slow(number)
            out += before[noise.length :]
            out += after[: noise.length]
            self._block, self._segment = (number + 1, after), (number, out)
        return self._segment[1]

    def cut(self, start: int, stop: int) -> np.ndarray:
        """Return the samples from ``start`` to before ``stop``, float32 DN."""
        length, parts = self._noise.length, []
        while start < stop:
            number, first = divmod(start, length)
            last = min(first + stop - start, length)
            parts.append(self._segment_of(number)[first:last])
            start += last - first
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
