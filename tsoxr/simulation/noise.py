"""The sources of noise and the imperfections that an exposure can have, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["SOURCES", "chosen"]

SOURCES = {
    "photon": "Poisson noise of the electrons",
    "read": "white noise of each read",
    "one_over_f": "1/f noise on the clock of the read-out",
    "pedestal": "offset of each frame and output",
    "bias": "superbias with structure",
    "ktc": "offset of each pixel at each reset",
    "nonlinearity": "response that bends with signal",
    "flat": "response that differs from pixel to pixel",
    "dark": "dark current",
    "background": "light of the sky",
    "jitter": "shifts of the telescope",
    "hits": "cosmic rays",
    "bad_pixels": "dead and hot pixels",
    "quantization": "rounding to 16-bit integers; without it ramps are float32",
}
"""Name and meaning of each source that can be switched on."""


def chosen(names: Iterable[str]) -> frozenset[str]:
    """Return the sources that are on.

    Parameters
    ----------
    names : iterable of str
        Names of `SOURCES`.

    Raises
    ------
    ValueError
        For an unknown name; the message names the nearest one.
    TypeError
        For one string, where a tuple of names is meant.
    """
    if isinstance(names, str):
        raise TypeError(
            f"simulate: noise is {names!r}; it takes a tuple of names, such as ({names!r},)"
        )
    found = frozenset(names)
    for name in sorted(found - set(SOURCES)):
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"it takes {', '.join(SOURCES)}"
        raise ValueError(f"simulate: no source of noise is called {name!r}; {hint}")
    return found
