r"""How much of what reference pixels say holds for the pixels that see the sky.

The level R of the reference pixels has noise of its own, and is that of the time when they are
read; the level D of the other pixels of the output has drifted since. Of all multiples aR,
that with

.. math:: a = \mathrm{cov}(R, D) / \mathrm{var}(R)

leaves least of D, and never more than there was.
"""

from __future__ import annotations

import numpy as np

__all__ = ["dark_levels", "dark_pixels", "level_shares"]

PIXELS = 2048
"""Pixels of each level that are looked at."""

SIGNIFICANT = 2.0
"""A share that is smaller than this many of its standard errors is none."""

FAR = 5.0
"""Integrations farther out, in robust standard deviations, do not count: hits, moves."""


def dark_pixels(
    light: np.ndarray, labels: np.ndarray, n_labels: int, far_from: float | None = None
) -> list[np.ndarray]:
    """Return some of the darker half of the pixels of each level, as flat indices.

    Parameters
    ----------
    light : (slow, fast) float
        Median light; NaN for pixels that do not count.
    labels : (fast,) int
        Level that applies to each pixel of a line, -1 for none.
    n_labels : int
        Number of levels.
    far_from : float, optional
        Only those on the quarter of the lines that are farthest from this one. Where lines of
        reference pixels have the spectrum's lines beside them, those are lit: what holds for
        lines farther away holds for them at least.
    """
    found, line = [], np.arange(light.size) // light.shape[1]
    for label in range(n_labels):
        chosen = np.flatnonzero(np.isfinite(light) & (labels == label))
        values = light.ravel()[chosen]
        chosen = chosen[values <= np.median(values)] if chosen.size else chosen
        if far_from is not None and chosen.size:
            away = np.abs(line[chosen] - far_from)
            chosen = chosen[away >= np.percentile(away, 75)]
        step = max(chosen.size // PIXELS, 1)
        found.append(chosen[::step])
    return found


def dark_levels(values: np.ndarray, pixels: list[np.ndarray]) -> np.ndarray:
    """Return the median over pixels of what they depart from their median in time.

    Parameters
    ----------
    values : (time, slow, fast) float
        One group, or a rise.
    pixels : list of (pixel,) int
        From `dark_pixels`.

    Returns
    -------
    (time, label) float64
        NaN without pixels.
    """
    flat = values.reshape(len(values), -1)
    out = np.full((len(values), len(pixels)), np.nan)
    for label, chosen in enumerate(pixels):
        if chosen.size:
            some = flat[:, chosen].astype(np.float64)
            out[:, label] = np.median(some - np.median(some, axis=0), axis=1)
    return out


def level_shares(reference: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Return which part of the variation of each reference level is worth subtracting.

    Parameters
    ----------
    reference, dark : (time, label) float
        Levels of the reference pixels and of dark pixels.

    Returns
    -------
    (label,) float64
        0 to 1; 1 where dark pixels say nothing.
    """
    share = np.ones(reference.shape[1])
    for label in range(share.size):
        r, d = (x[:, label] - np.median(x[:, label]) for x in (reference, dark))
        kept = np.isfinite(r) & np.isfinite(d)
        for x in (r, d):
            kept &= np.abs(x) <= FAR * 1.4826 * np.median(np.abs(x[kept])) if kept.any() else kept
        power = float(r[kept] @ r[kept])
        if np.count_nonzero(kept) < 3:
            continue
        found = float(r[kept] @ d[kept]) / power if power > 0 else 0.0
        left = d[kept] - found * r[kept]
        error = np.sqrt(np.mean(left**2) / power) if power > 0 else 0.0
        share[label] = min(found, 1.0) if found > SIGNIFICANT * error else 0.0
    return share
