"""Read-out patterns: how many frames make a group, and how many are skipped between groups."""

from __future__ import annotations

import difflib

__all__ = ["PATTERNS", "Pattern", "pattern"]

Pattern = tuple[int, int]
"""Frames averaged into a group (NFRAMES) and frames dropped between groups (GROUPGAP)."""

PATTERNS: dict[str, dict[str, Pattern]] = {
    "NIRSPEC": {"NRSRAPID": (1, 0), "NRS": (4, 0)},
    "NIRISS": {"NISRAPID": (1, 0), "NIS": (4, 0)},
    "NIRCAM": {
        "RAPID": (1, 0),
        "BRIGHT1": (1, 1),
        "BRIGHT2": (2, 0),
        "SHALLOW2": (2, 3),
        "SHALLOW4": (4, 1),
        "MEDIUM2": (2, 8),
        "MEDIUM8": (8, 2),
        "DEEP2": (2, 18),
        "DEEP8": (8, 12),
    },
    "MIRI": {"FASTR1": (1, 0)},
}
"""Patterns by instrument; the first is the one that time series use unless told otherwise."""


def pattern(instrument: str, name: str) -> Pattern:
    """Return the frames per group and the frames between groups of a pattern.

    Raises
    ------
    ValueError
        For a pattern that the instrument does not have.
    """
    known = PATTERNS[instrument]
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"it has {', '.join(known)}"
        raise ValueError(f"simulate: {instrument} has no pattern {name!r}; {hint}")
    return known[name]
