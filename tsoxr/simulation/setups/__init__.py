"""The modes that the simulator has, one module per instrument."""

from __future__ import annotations

from collections.abc import Callable

from tsoxr import modes
from tsoxr.errors import ModeError
from tsoxr.simulation.instruments import Choice, Setup
from tsoxr.simulation.setups.miri import miri_imaging, miri_lrs
from tsoxr.simulation.setups.nircam import nircam_grism, nircam_imaging
from tsoxr.simulation.setups.niriss import niriss_soss
from tsoxr.simulation.setups.nirspec import nirspec_g395h, nirspec_g395m, nirspec_prism

__all__ = ["SETUPS", "setup"]

SETUPS: dict[str, Callable[[Choice], Setup]] = {
    "nirspec-prism": nirspec_prism,
    "nirspec-g395h": nirspec_g395h,
    "nirspec-g395m": nirspec_g395m,
    "niriss-soss": niriss_soss,
    "nircam-grism": nircam_grism,
    "nircam-imaging": nircam_imaging,
    "miri-lrs": miri_lrs,
    "miri-imaging": miri_imaging,
}
"""The modes that the simulator has, and what makes their setup."""


def setup(mode: str, choice: Choice | None = None) -> Setup:
    """Return how a mode is simulated.

    Parameters
    ----------
    mode : str
        Observing mode.
    choice : Choice, optional
        Subarray, detector, filter, pupil and outputs, where they differ from the mode's own.

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
    choice = Choice() if choice is None else choice
    made = SETUPS[known](choice)
    if choice.pupil not in (None, made.keywords.get("PUPIL")):
        only = made.keywords.get("PUPIL")
        allowed = f"it has {only!r} only" if only else "it has no pupil wheel; leave pupil out"
        raise ValueError(f"simulate: {known} has no pupil {choice.pupil!r}; {allowed}")
    return made
