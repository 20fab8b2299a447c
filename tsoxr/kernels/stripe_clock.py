r"""1/f noise as a process on the clock: its covariance, and pixels in reading order.

The electronics add noise of the one-sided density :math:`S(f) = A^2 / f`, the same to whatever
pixel is read at a tick. The variance of a sequence diverges with its length, but that of a
difference does not: over k ticks it is

.. math:: \langle (n_{t+k} - n_t)^2 \rangle = 2 A^2\, \mathrm{Cin}(\pi k),
          \qquad \mathrm{Cin}(x) = \gamma + \ln x - \mathrm{Ci}(x),

the integral of :math:`2 S(f) (1 - \cos 2 \pi f k)` up to the Nyquist frequency. The level of
a frame is therefore free in every model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "FREE",
    "InOrder",
    "Outputs",
    "Sums",
    "Terms",
    "check_outputs",
    "filled",
    "in_reading_order",
    "one_over_f_terms",
    "structure",
]

FREE = 100.0
"""Variance of the level of a frame about the mean of its pixels, in units of A^2: free."""

SLOWEST = 1e4
"""Correlation time of that level, frames."""

BLOCK = 64
"""Neighbours on the clock whose mean stands in for a value that is not finite."""


def structure(lag: np.ndarray) -> np.ndarray:
    """Return half the variance of 1/f noise over a lag, for an amplitude A of 1.

    Parameters
    ----------
    lag : (...) number
        Ticks, at least 0.

    Returns
    -------
    (...) float64
        Cin(pi lag).

    Examples
    --------
    >>> structure(np.array([0, 1, 1000])).round(3)
    array([0.   , 1.648, 8.63 ])
    """
    from scipy.special import sici

    x = np.pi * np.asarray(lag, dtype=np.float64)
    safe = np.where(x > 0, x, 1.0)
    return np.where(x > 0, np.euler_gamma + np.log(safe) - sici(safe)[1], 0.0)


class Terms(NamedTuple):
    """Exponential covariances ``sum_j variance_j exp(-rate_j lag)``, for an amplitude A of 1.

    ``rate`` (term,), 1/tick; ``variance`` (term,).
    """

    rate: np.ndarray
    variance: np.ndarray

    def covariance(self, lag: np.ndarray) -> np.ndarray:
        """Return the covariance at a lag (...) of ticks, (...) float64."""
        lag = np.abs(np.asarray(lag, dtype=np.float64))[..., None]
        return (self.variance * np.exp(-self.rate * lag)).sum(axis=-1)


def one_over_f_terms(n_ticks: int, *, per_decade: float = 1.5) -> Terms:
    """Return exponentials whose sum is 1/f noise from one tick to a frame.

    Parameters
    ----------
    n_ticks : int
        Clocks of a frame.
    per_decade : float
        Terms per decade of time.

    Returns
    -------
    Terms
        Between 6 and 10 for a frame of 1e4 to 1e6 ticks. The first is the level of the frame.
    """
    from scipy.optimize import nnls

    n_terms = max(int(np.ceil(per_decade * np.log10(max(n_ticks, 10)))), 4)
    rate = np.geomspace(1.0 / n_ticks, 2.0, n_terms)
    lag = np.unique(np.geomspace(1, max(n_ticks - 1, 2), 100).round())
    wanted = structure(lag)
    variance, _ = nnls((1.0 - np.exp(-rate * lag[:, None])) / wanted[:, None], np.ones(lag.size))
    kept = variance > 0
    level = 1.0 / (SLOWEST * n_ticks)
    return Terms(np.append(level, rate[kept]), np.append(FREE, variance[kept]))


class InOrder(NamedTuple):
    """Pixels of one output in the order in which they are read.

    ``order`` (pixel,) sorts them, ``back`` (pixel,) undoes it, ``tick`` and ``weight``
    (pixel,) are sorted, ``used`` (pixel,) bool marks positive weights, ``n_ticks`` is the
    length of a frame.
    """

    order: np.ndarray
    back: np.ndarray
    tick: np.ndarray
    weight: np.ndarray
    used: np.ndarray
    n_ticks: int

    def take(self, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of the used pixels about each frame's mean, and that mean.

        Parameters
        ----------
        residual : (frame, pixel) float
            In the order of the caller. A value that is not finite is replaced by the mean of
            its neighbours on the clock, which adds next to nothing to what they say.

        Returns
        -------
        values : (frame, used) float32 or float64
            Without their weighted mean.
        mean : (frame, 1) float
            0 for a frame without a finite value.
        """
        if residual.ndim != 2 or residual.shape[1] != self.tick.size:
            raise ValueError(
                f"clock_model: residual has the shape {residual.shape}; it must be (frame, "
                f"{self.tick.size}); give the pixels that weight and tick describe"
            )
        dtype = np.result_type(residual.dtype, np.float32)
        values = filled(residual[:, self.order[self.used]].astype(dtype))
        share = self.weight[self.used] / self.weight[self.used].sum()
        mean = np.einsum("fp,p->f", values, share.astype(dtype))[:, None]  # each frame by itself
        values -= mean
        return values, mean


class Outputs(NamedTuple):
    """Outputs whose noise is estimated together.

    Attributes
    ----------
    number : (pixel,) int
        Output that reads each pixel, from 0, pixels in the order of the caller.
    common : float
        Share of the variance of the noise that all outputs have in common, 0 to 1: their
        correlation at the same tick.
    """

    number: np.ndarray
    common: float


class Sums(NamedTuple):
    """Weighted sums of pixels whose error is asked for, such as the mean over each line.

    Attributes
    ----------
    share : (pixel,) float64
        Weight of each pixel in its sum, pixels in the order of the caller.
    block : (pixel,) int
        The sum that it belongs to, from 0. Pixels of a sum follow each other on the clock.
    """

    share: np.ndarray
    block: np.ndarray


def check_outputs(outputs: Outputs | None, n_pixels: int) -> None:
    """Raise ValueError for a share outside 0 to 1 or numbers of another shape."""
    if outputs is None:
        return
    if not 0.0 <= outputs.common <= 1.0:
        raise ValueError(
            f"clock_model: common is {outputs.common}; it must lie within 0 and 1; give the "
            "correlation of two outputs"
        )
    if outputs.number.shape != (n_pixels,):
        raise ValueError(
            f"clock_model: the outputs' numbers have the shape {outputs.number.shape}; it must be "
            f"({n_pixels},); give the output of each pixel"
        )


def in_reading_order(weight: np.ndarray, tick: np.ndarray, n_ticks: int) -> InOrder:
    """Check and sort what is known of the pixels of one output.

    Parameters
    ----------
    weight : (pixel,) float
        Inverse variance of the white noise, DN-2; 0 for pixels that do not measure.
    tick : (pixel,) int
        Clock of the frame at which each pixel is read.
    n_ticks : int
        Clocks of a frame, overheads included.

    Returns
    -------
    InOrder

    Raises
    ------
    ValueError
        For shapes that differ, ticks outside the frame, weights that are negative or not
        finite, or where no weight is positive.
    """
    weight, tick = np.asarray(weight, dtype=np.float64), np.asarray(tick)
    if weight.ndim != 1 or weight.shape != tick.shape:
        raise ValueError(
            f"clock_model: weight {weight.shape} and tick {tick.shape} must have the same shape "
            "(pixel,); flatten the pixels of one output"
        )
    if tick.size and not (tick.min() >= 0 and tick.max() < n_ticks):
        raise ValueError(
            f"clock_model: tick runs from {tick.min()} to {tick.max()}; it must lie within the "
            f"{n_ticks} ticks of a frame; count from the first pixel of the frame"
        )
    if not np.all(np.isfinite(weight) & (weight >= 0)):
        raise ValueError(
            "clock_model: weight has values that are negative or not finite; give inverse "
            "variances; set 0 for pixels that are not to be used"
        )
    if not np.any(weight > 0):
        raise ValueError(
            "clock_model: no pixel has a positive weight; at least one must measure the noise; "
            "widen the mask"
        )
    order = np.argsort(tick, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    used = weight[order] > 0
    return InOrder(order, back, tick[order].astype(np.int64), weight[order], used, n_ticks)


def filled(values: np.ndarray) -> np.ndarray:
    """Replace what is not finite by the mean of its block of neighbours, in place.

    Parameters
    ----------
    values : (frame, pixel) float
        In reading order.

    Returns
    -------
    (frame, pixel) float
        The same array. A frame without a finite value becomes 0.
    """
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    values[bad] = 0.0
    starts = np.arange(0, values.shape[1], BLOCK)
    count = np.add.reduceat(~bad, starts, axis=1, dtype=np.int64)
    total = np.add.reduceat(values, starts, axis=1, dtype=np.float64)
    overall = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), overall)
    frame, pixel = np.nonzero(bad)
    values[frame, pixel] = mean[frame, pixel // BLOCK]
    return values
