"""The modes that the simulator has, one module per instrument."""

from __future__ import annotations

from collections.abc import Callable

from tsoxr import modes
from tsoxr.errors import ModeError
from tsoxr.simulation.instruments import Choice, Setup
from tsoxr.simulation.setups.miri import miri_lrs
from tsoxr.simulation.setups.nirspec import nirspec_prism

__all__ = ["SETUPS", "setup"]

SETUPS: dict[str, Callable[[Choice], Setup]] = {
    "nirspec-prism": nirspec_prism,
    "miri-lrs": miri_lrs,
}
"""The modes that the simulator has, and what makes their setup."""


def setup(mode: str, choice: Choice | None = None) -> Setup:
    """Return how a mode is simulated.

    Parameters
    ----------
    mode : str
        Observing mode.
    choice : Choice, optional
        Subarray, detector, filter and outputs, where they differ from the mode's own.

    Raises
    ------
    ModeError
        For an unknown mode, and for one that the simulator does not have.
    ValueError
        For a choice that the mode does not have.
    """
    known = modes.get(mode).name
    if known not in SETUPS:
        raise ModeError(
            f"simulate: mode {mode!r} is known but not simulated; "
            f"simulated are {', '.join(SETUPS)}; choose one of these"
        )
    return SETUPS[known](Choice() if choice is None else choice)
