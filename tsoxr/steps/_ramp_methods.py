"""The ways to fit ramps, as functions of one chunk of integrations: numpy in, numpy out.

Each takes a `Chunk` and gives the named results that its `names` list, in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tsoxr.kernels import ramp_differences, ramp_fit, ramp_likelihood, ramp_ols
from tsoxr.kernels.ramp_noise import usual_pattern
from tsoxr.kernels.ramp_quality import quality
from tsoxr.kernels.ramp_residual import median_residual
from tsoxr.kernels.ramps import Readout, ramp_weights
from tsoxr.steps._ramps import GROUP_DIMS, NOISE_DIMS

__all__ = ["CLASSES", "METHODS", "STATIC", "Fit", "Usual"]

CLASSES = (0.01, 0.1, 1.0)
"""Shares of the pixels, from the brightest, whose residual ramps are drawn."""

PER_CLASS = 256
"""Pixels that stand for such a class."""


class Chunk(NamedTuple):
    """Ramps and flags (time, group, y, x), and what is constant in time.

    ``weights`` (group, y, x) and ``variance`` (term, y, x) of the usual ramps; ``pattern``
    (group, y, x), their flags; ``noise`` (term, y, x) as in `tsoxr.steps._ramps.Sample`;
    ``gain`` and ``dark`` (y, x); ``dq_pixel`` (y, x), flags for all integrations;
    ``residual`` (group - 1, y, x), if one is to be subtracted.
    """

    ramp: np.ndarray
    dq_group: np.ndarray
    weights: np.ndarray
    variance: np.ndarray
    pattern: np.ndarray
    noise: np.ndarray
    gain: np.ndarray
    dark: np.ndarray
    dq_pixel: np.ndarray
    residual: np.ndarray | None = None

    @property
    def detector(self) -> np.ndarray:
        """Photon variance per DN and dark rate (2, y, x), as the likelihood kernel wants them."""
        shape = self.ramp.shape[2:]
        with np.errstate(divide="ignore"):
            per_dn = np.where(self.gain > 0, 1.0 / self.gain, np.nan)
        return np.stack([np.broadcast_to(per_dn, shape), np.broadcast_to(self.dark, shape)])


Results = dict[str, np.ndarray]


def _named(results: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Results:
    return dict(zip(("rate", "rate_error", "dq"), results, strict=True))


def _weighted(chunk: Chunk, fit: Fit) -> Results:
    return _named(
        ramp_fit.fit(
            *(chunk.ramp, chunk.dq_group, chunk.weights, chunk.pattern, chunk.variance),
            *(chunk.noise, chunk.residual),
            readout=fit.times, even=fit.even, flags=chunk.dq_pixel,
        )
    )  # fmt: skip


def _ols(chunk: Chunk, fit: Fit) -> Results:
    arrays = chunk.ramp, chunk.dq_group, chunk.noise, chunk.detector[0], chunk.residual
    return _named(ramp_ols.fit(*arrays, readout=fit.times))


def _differences(chunk: Chunk, fit: Fit) -> Results:
    arrays = chunk.ramp, chunk.dq_group, chunk.noise, chunk.residual
    return _named(ramp_differences.median_slope(*arrays, readout=fit.times))


def _likelihood(chunk: Chunk, fit: Fit) -> Results:
    found = ramp_likelihood.fit(
        *(chunk.ramp, chunk.dq_group, chunk.noise, chunk.detector, chunk.pattern, chunk.residual),
        readout=fit.times, rule=ramp_likelihood.thresholds(fit.sigma),
    )  # fmt: skip
    named = _named(found[:3])
    return {**named, "n_jumps": found.n_jumps, "n_used": found.n_used, "chi2": found.chi2}


METHODS = {
    "gls": _weighted,
    "likelihood": _likelihood,
    "ols": _ols,
    "last_minus_first": _weighted,
    "differences": _differences,
}
"""Name of each method, and its function of a chunk."""

STATIC = ("gls", "last_minus_first")
"""Methods whose weights and errors are constant in time for usual ramps."""


@dataclass(frozen=True)
class Fit:
    """A fit of chunks: the method, when groups are read, and which results are wanted."""

    method: str
    times: Readout
    sigma: float = 5.0
    statistics: bool = False
    group_time: np.ndarray | None = None

    @property
    def even(self) -> bool:
        """Whether usable differences count alike."""
        return self.method == "last_minus_first"

    @property
    def dtypes(self) -> dict[str, str]:
        """Name and type of each result."""
        names = {"rate": "f4", "rate_error": "f4", "dq": "u4"}
        if self.method == "likelihood":
            names |= {"n_jumps": "u2"}
        if self.statistics:
            names |= {"n_used": "u2", "chi2": "f4"}
        if self.group_time is not None:
            names |= {"pedestal": "f4"}
        return names

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Fit one chunk; ``arrays`` as in `Chunk`."""
        chunk = Chunk(*arrays)
        found = METHODS[self.method](chunk, self)
        if self.method not in STATIC:
            found["dq"] |= chunk.dq_pixel
        if self._judged():
            found |= self._judge(chunk, found)
        return tuple(found[name] for name in self.dtypes)

    def _judged(self) -> bool:
        return self.group_time is not None or (self.statistics and self.method != "likelihood")

    def _judge(self, chunk: Chunk, found: Results) -> Results:
        """Return what the fit itself does not tell."""
        flags = chunk.dq_group
        if self.method == "likelihood":
            rule = ramp_likelihood.thresholds(self.sigma)
            arrays = chunk.ramp, flags, chunk.noise
            flags = ramp_likelihood.find_jumps(
                *arrays, readout=self.times, rule=rule, pattern=chunk.pattern, residual=chunk.residual
            )  # fmt: skip
        judged = quality(
            *(chunk.ramp, flags, found["rate"], chunk.noise, chunk.residual),
            readout=self.times, group_time=self.group_time,
        )  # fmt: skip
        own = {"n_used", "chi2"} if self.method != "likelihood" else set()
        return {n: v for n, v in judged._asdict().items() if n in own | {"pedestal"}}


@dataclass(frozen=True)
class Usual:
    """What a sample tells about the usual ramps, as `tsoxr.steps._ramps.look` calls it.

    Flags, weights (group, pixel), s-1, and their variance (term, pixel); the median departure
    from a straight ramp by class of brightness (brightness, group), DN; with ``full`` the
    median residual of the differences (group - 1, pixel), DN.
    """

    times: Readout
    even: bool
    full: bool

    @property
    def dims(self) -> tuple[tuple[str, ...], ...]:
        """Dims of the results."""
        own = (GROUP_DIMS, GROUP_DIMS, NOISE_DIMS, ("brightness", "nth_group"))
        return (*own, ("difference", "y", "x")) if self.full else own

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of the results."""
        return ("u1", *("f4",) * (len(self.dims) - 1))

    def __call__(
        self, ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return flags, weights, variance, departures, and perhaps the residual."""
        pattern = usual_pattern(dq_group)
        weights, variance = ramp_weights(pattern, *noise, self.times, self.even, "f4")
        classes = classes_of(noise[0])
        some = np.concatenate(classes)
        part = [np.take(a, some, axis=-1) for a in (ramp, dq_group, weights, pattern)]
        residual = median_residual(*part, readout=self.times)
        curves = np.full((len(classes), len(pattern)), np.nan, np.float32)
        ends = np.cumsum([pixels.size for pixels in classes])
        for row, known in zip(curves, np.split(residual, ends[:-1], axis=1), strict=True):
            if known.size:
                rise = np.concatenate([[0.0], np.median(np.cumsum(known, axis=0), axis=1)])
                row[:] = rise - rise.mean()
        if not self.full:
            return pattern, weights, variance, curves
        whole = median_residual(ramp, dq_group, weights, pattern, readout=self.times)
        return pattern, weights, variance, curves, whole


def classes_of(brightness: np.ndarray) -> list[np.ndarray]:
    """Return pixels that stand for each class of brightness, from the brightest class.

    Of large detectors every n-th pixel is looked at, with an odd n: even and odd columns differ.
    """
    stride = int(PER_CLASS / CLASSES[0])
    stride = brightness.size // stride | 1
    looked_at = brightness[::stride]
    good = np.flatnonzero(np.isfinite(looked_at))
    if good.size == 0:
        return [good for _ in CLASSES]
    order = good[np.argsort(-looked_at[good], kind="stable")]
    ends = [max(round(share * good.size), 1) for share in CLASSES]
    parts = np.split(order, ends[:-1])
    return [np.sort(part[:: max(1, part.size // PER_CLASS)]) * stride for part in parts]
