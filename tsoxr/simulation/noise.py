"""The sources of noise and the imperfections that an exposure can have, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["SETS", "SOURCES", "STANDARD", "chosen"]

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
    "contaminants": "light of other stars",
    "jitter": "shifts of the telescope",
    "hits": "cosmic rays",
    "bad_pixels": "dead and hot pixels",
    "quantization": "rounding to 16-bit integers; without it ramps are float32",
    "odd_even": "1/f noise and offsets that differ between odd and even columns of the detector",
    "reset_artifact": "a line of raised signal that moves by one line each integration",
    "emi": "interference at 390.625 Hz and 10.04 Hz (MIRI)",
    "reset_anomaly": "signal that decays after each reset, first and last frame effects (MIRI)",
    "response_drift": "response that settles through the exposure (MIRI)",
    "ipc": "coupling of neighbouring pixels",
    "intrapixel": "response that falls towards the edges of a pixel",
    "charge_migration": "charge that moves from bright pixels to their neighbours",
    "persistence": "charge that is trapped and comes back later",
    "snowballs": "large round hits with a halo",
    "telegraph": "pixels that jump between two levels",
}
"""Name and meaning of each source that can be switched on."""

STANDARD = tuple(SOURCES)[:15]
"""What is on unless said otherwise: what the standard chain of steps corrects or carries."""

SETS = {"standard": STANDARD, "all": tuple(SOURCES), "none": ()}
"""Names for sets of sources."""


def chosen(names: str | Iterable[str]) -> frozenset[str]:
    """Return the sources that are on.

    Parameters
    ----------
    names : str or iterable of str
        One of `SETS`, or names of `SOURCES`.

    Raises
    ------
    ValueError
        For an unknown name; the message names the nearest one.
    """
    if isinstance(names, str):
        if names not in SETS:
            raise ValueError(
                f"simulate: noise is {names!r}; it takes {', '.join(map(repr, SETS))}, or a tuple "
                f"of names, such as ({names!r},)"
            )
        names = SETS[names]
    found = frozenset(names)
    for name in sorted(found - set(SOURCES)):
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"it takes {', '.join(SOURCES)}"
        raise ValueError(f"simulate: no source of noise is called {name!r}; {hint}")
    return found
