"""What `tsoxr.kernels.motion` fits: mean frame, its changes, weights and their noise.

Everything is static. `spectrum_model` takes frames of lines of constant wavelength, and shifts
its light across dispersion within each line and along dispersion from line to line;
`image_model` shifts an image along both axes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels import motion, templates
from tsoxr.kernels.gaussian_lines import fit_gaussians
from tsoxr.kernels.motion_frame import centre_of, radius_of
from tsoxr.kernels.ridge import fill_from_neighbours
from tsoxr.kernels.trace import smooth_curve

__all__ = ["Model", "Shape", "image_model", "pack", "size", "spectrum_model", "unpack"]

SHARPNESS = 0.6643
"""Width of a Gaussian, full at half maximum, times ``sum P^2 / (sum P)^2``."""
MIN_LINE_SIGNAL = 3.0
"""S/N of the light of a line in one integration, without which it is left out."""
MIN_FITS = 16
WELL_SAMPLED = 1.5
"""Gaussian width from which on the filter alone is right to 1 %, pixels."""
FLOOR = 0.005
"""Relative error of the pixels in a fit of the profile: flat field and response in a pixel."""

MARGIN = 3.0
"""Pixels beyond those used in which the profile is described: at its end derivatives are wrong."""


class Shape(NamedTuple):
    """Sizes of a model: templates of change, spatial, lines, terms of colour with gradient."""

    n_changes: int
    n_spatial: int
    n_lines: int
    n_terms: int


class Model(NamedTuple):
    """What an integration is compared with; see `motion.fit_motion` for the first four.

    ``response`` (2, n + 2) is what the fit finds of half the second derivative of the frame
    along the two shifts: times the square of a shift, it is what a large one fakes. ``fwhm``
    (1,) is the width of the light, pixels, and ``centre`` (2, line) its position: along the
    first axis for each line, and for images along the second.
    """

    parts: np.ndarray
    weight: np.ndarray
    design: np.ndarray
    noise: np.ndarray
    response: np.ndarray
    fwhm: np.ndarray
    centre: np.ndarray


def _sizes(shape: Shape) -> list[tuple[int, ...]]:
    n, frame = shape.n_changes, (shape.n_spatial, shape.n_lines)
    return [
        (n + 1, *frame), frame, (shape.n_terms, shape.n_lines), (n + 1, n + 1), (2, n + 2), (1,),
        (2, shape.n_lines),
    ]  # fmt: skip


def pack(model: Model) -> np.ndarray:
    """Return a model as one array, (value,) float64."""
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in model])


def size(shape: Shape) -> int:
    """Return the length of a packed model."""
    return sum(int(np.prod(each)) for each in _sizes(shape))


def unpack(packed: np.ndarray, shape: Shape) -> Model:
    """Return the model that `pack` made an array of."""
    sizes = _sizes(shape)
    ends = np.cumsum([int(np.prod(each)) for each in sizes])
    pieces = np.split(packed, ends[:-1])
    return Model(*(p.reshape(s) for p, s in zip(pieces, sizes, strict=True)))


def spectrum_model(
    frame: np.ndarray,
    frame_error: np.ndarray,
    error: np.ndarray,
    centre: np.ndarray,
    half_width: float,
    terms: tuple[str, ...],
    extra: np.ndarray,
    n_terms: int,
) -> Model:
    """Return the model of a spectrum.

    Parameters
    ----------
    frame, frame_error : (spatial, line) float64
        Mean frame and its error; NaN without data.
    error : (spatial, line) float64
        Error of one integration.
    centre : (line,) float64
        Trace, pixels.
    half_width : float
        Pixels within this distance of the trace are used.
    terms : tuple of str
        Of ``"roll"``, ``"width"`` and ``"constant"``, those that are fitted beside the shift.
    extra : (component, spatial, line) float64
        Further images to fit.
    n_terms : int
        Terms of the light of the lines, the gradient at the end.

    Returns
    -------
    Model
        Changes in the order shift, ``terms``, ``extra``.
    """
    y = np.arange(frame.shape[0], dtype=np.float64)[:, None]
    filled = _filled(frame)
    near = np.abs(y - centre) <= half_width
    good = near & np.isfinite(frame) & (error > 0.0)
    weight = np.where(good, 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
    signal = np.sqrt((weight * filled**2).sum(axis=0))
    weight[:, signal < MIN_LINE_SIGNAL] = 0.0
    at, sigma = _gaussians(
        filled, np.hypot(frame_error, FLOOR * filled.max(axis=0)), centre, half_width
    )
    known = np.isfinite(frame) & (error > 0.0) & (weight.sum(axis=0) > 0.0)
    fit_error = np.where(known, np.hypot(frame_error, FLOOR * filled.max(axis=0)), np.inf)
    change = templates.profile_changes(filled, fit_error, at, sigma, half_width + MARGIN)
    light = np.where(near, filled, 0.0).sum(axis=0) * (weight.sum(axis=0) > 0.0)
    line = np.arange(frame.shape[1], dtype=np.float64)
    lever = line - np.average(line, weights=np.maximum(light, 0.0) + 1e-300)
    images = {"roll": lever * change.shift, "width": change.width, "constant": np.ones_like(frame)}
    parts = np.stack([filled, change.shift, *(images[t] for t in terms), *extra])
    variance = np.where(weight > 0.0, frame_error**2, 0.0)
    tap = 2.0 * (templates.derivative_filter(templates.filter_sigma(sigma)) ** 2).sum()
    loadings = {
        "shift": np.full(frame.shape, np.sqrt(tap)),
        "roll": np.sqrt(tap) * lever * np.ones_like(frame),
        "width": np.hypot(1.0, np.sqrt(tap) * (y - at)),
    }
    noise = _noise(weight * variance, ("shift", *terms), loadings, parts.shape[0])
    gradient, gradient_variance = _gradient(filled, variance, weight, signal)
    noise[-1, -1] = (weight * filled**2).sum(axis=0) @ gradient_variance
    design = _design(line, signal > 0.0, gradient, n_terms)
    model = Model(parts, weight, design, noise, *_nothing(parts, np.stack([at, line])))
    fwhm = (
        SHARPNESS
        * light**2
        / np.maximum(np.where(near, filled, 0.0) ** 2, 0.0).sum(axis=0).clip(1e-300)
    )
    mean_width = np.average(fwhm, weights=np.maximum(light, 0.0) + 1e-300)
    return _completed(model, (change.second,), mean_width, joint=False)


def image_model(
    frame: np.ndarray,
    frame_error: np.ndarray,
    error: np.ndarray,
    half_width: float,
    terms: tuple[str, ...],
    extra: np.ndarray,
) -> Model:
    """Return the model of an image; see `spectrum_model`.

    ``half_width`` is the radius of the pixels used, pixels; 0 to find where the light ends.
    Changes come in the order shift along the first axis, along the second, ``terms``, ``extra``.
    """
    filled = _filled(frame)
    centre, distance = centre_of(filled)
    good = np.isfinite(frame) & (error > 0.0)
    radius = half_width or radius_of(filled, error, distance, good)
    weight = np.where(good & (distance <= radius), 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
    down, across = templates.image_changes(filled, centre)
    images = {"width": down.width, "constant": np.ones_like(frame)}
    parts = np.stack([filled, down.shift, across.shift, *(images[t] for t in terms), *extra])
    variance = np.where(weight > 0.0, frame_error**2, 0.0)
    tap = 2.0 * (templates.derivative_filter(templates.IMAGE_SIGMA) ** 2).sum()
    loadings = {
        "shift": np.full(frame.shape, np.sqrt(tap)),
        "across": np.full(frame.shape, np.sqrt(tap)),
        "width": np.hypot(2.0, np.sqrt(tap) * distance),
    }
    noise = _noise(weight * variance, ("shift", "across", *terms), loadings, parts.shape[0])
    noise[0, 1] = noise[1, 0] = 0.0  # filters along different axes share no noise
    level = np.median(filled[distance > radius]) if (distance > radius).any() else 0.0
    light = np.where(distance <= radius, filled - level, 0.0)
    area = light.sum() ** 2 / max((light**2).sum(), 1e-300)
    middle = np.repeat(np.array(centre)[:, None], frame.shape[1], axis=1)
    model = Model(parts, weight, np.ones((2, frame.shape[1])), noise, *_nothing(parts, middle))
    return _completed(
        model,
        (down.second, across.second),
        np.sqrt(8.0 * np.log(2.0) * area / (4.0 * np.pi)),
        joint=True,
    )


def _nothing(parts: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((2, parts.shape[0] + 1)), np.ones(1), centre


def _completed(model: Model, seconds: tuple[np.ndarray, ...], fwhm: float, *, joint: bool) -> Model:
    """Return the model with the response to the second derivatives and the width."""
    response = np.zeros_like(model.response)
    for i, second in enumerate(seconds):
        data = model.parts[0] + 0.5e-2 * second  # small against the frame, and linear
        found, still = (
            motion.fit_image(d, model.parts, model.weight, model.design, model.noise, joint)
            for d in (data, model.parts[0])
        )
        half = response.shape[1]
        response[i] = np.nan_to_num((found[:half] - still[:half]) / 1e-2)
    return model._replace(response=response, fwhm=np.array([fwhm]))


def _filled(frame: np.ndarray) -> np.ndarray:
    """Return the frame without NaN: from neighbours along dispersion, else 0."""
    return np.nan_to_num(fill_from_neighbours(np.ascontiguousarray(frame)))


def _gaussians(
    filled: np.ndarray, error: np.ndarray, centre: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and width of the light along the trace, smooth; NaN widths if not sharp."""
    found = fit_gaussians(filled, error, centre, half_width, 1.0)
    good = np.isfinite(found[1]) & (np.abs(found[1] - centre) < 1.0) & (found[4] < 0.3)
    nothing = np.full(centre.size, np.nan)
    if good.sum() < MIN_FITS or np.median(found[2][good]) > WELL_SAMPLED:
        return centre, nothing
    relative = np.where(good, found[4] / found[2], np.nan)
    off = smooth_curve(
        np.where(good, found[1] - centre, np.nan), np.where(good, found[4], np.nan), 3
    )[0]
    log_sigma = smooth_curve(
        np.where(good, np.log(np.where(good, found[2], 1.0)), np.nan), relative, 8
    )[0]
    low, high = np.percentile(np.log(found[2][good]), [1, 99])
    return centre + np.clip(off, -1.0, 1.0), np.exp(np.clip(log_sigma, low, high))


def _noise(
    share: np.ndarray, names: tuple[str, ...], loadings: dict[str, np.ndarray], n_parts: int
) -> np.ndarray:
    """Return the part of the normal matrix that is noise of the templates, (n + 1, n + 1)."""
    out = np.zeros((n_parts, n_parts))
    odd = ("shift", "across", "roll")
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            same = a == b or (a in odd and b in odd)
            if same and a in loadings and b in loadings:
                out[i, j] = (share * loadings[a] * loadings[b]).sum()
    return out


def _gradient(
    filled: np.ndarray, variance: np.ndarray, weight: np.ndarray, signal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the relative change of the light of the lines for a unit shift, and its variance.

    NaN where it is not known, at the ends of the spectrum.
    """
    used = weight.sum(axis=0) > 0.0
    light = np.where(weight > 0.0, filled, 0.0).sum(axis=0)
    noise = np.where(weight > 0.0, variance, 0.0).sum(axis=0)
    known = np.flatnonzero(used & (light > 0.0) & (signal > 0.0))
    if known.size < MIN_FITS:
        return np.full(light.size, np.nan), np.zeros(light.size)
    line = np.arange(light.size)
    light = np.interp(line, known, light[known], left=0.0, right=0.0)
    whole = np.isin(line, known)
    # next to a line without light the filter would see an edge that is none
    clear = np.convolve(~whole, np.ones(2 * templates.REACH + 1), mode="same") == 0
    ok = whole & clear
    change = templates.shifted_by_filter(light)
    tap = 2.0 * (templates.derivative_filter() ** 2).sum()
    gradient = np.where(ok, change / np.where(ok, light, 1.0), np.nan)
    return gradient, np.where(ok, tap * noise / np.where(ok, light, 1.0) ** 2, 0.0)


def _design(line: np.ndarray, used: np.ndarray, gradient: np.ndarray, n_terms: int) -> np.ndarray:
    """Return Legendre polynomials over the lines with light, and the gradient, (term, line)."""
    lit = line[used] if used.any() else line
    place = 2.0 * (line - lit[0]) / max(lit[-1] - lit[0], 1.0) - 1.0
    colours = np.polynomial.legendre.legvander(place, n_terms - 2).T
    return np.concatenate([colours, gradient[None]])
