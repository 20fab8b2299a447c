"""The two functions that simulate: one for an exposure, one for a single product of it."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Any

import xarray as xr

from tsoxr.simulation.builder import Exposure

__all__ = ["KINDS", "exposure", "simulate"]

KINDS = ("ramps", "rates", "spectra", "lightcurves", "truth")
"""Products of an exposure."""


def exposure(mode: str, *, seed: int = 0, **parameters: Any) -> Exposure:
    """Return a simulated exposure, from which products are drawn.

    Parameters
    ----------
    mode : str
        Observing mode.
    seed : int
        Seed of all random numbers.
    **parameters
        Parameters of `Exposure`.

    Returns
    -------
    Exposure

    Raises
    ------
    TypeError
        For a parameter that does not exist; the message names the nearest one.

    Examples
    --------
    >>> from tsoxr.simulation import exposure
    >>> each = exposure("nirspec-prism", seed=1, n_integrations=4, noise=("photon", "read"))
    >>> each.ramps().sizes["group"]
    5
    """
    allowed = [f.name for f in fields(Exposure) if f.name not in ("mode", "seed")]
    for name in parameters:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"it takes {', '.join(allowed)}"
            raise TypeError(f"simulate() has no parameter {name!r}; {hint}")
    return Exposure(mode=mode, seed=seed, **parameters)


def simulate(
    mode: str,
    *,
    kind: str = "ramps",
    seed: int = 0,
    chunks: int | None = None,
    **parameters: Any,
) -> xr.Dataset:
    """Return simulated data of an observing mode, with a known answer.

    Parameters
    ----------
    mode : str
        Observing mode, such as ``"nirspec-prism"`` or ``"miri-lrs"``.
    kind : {"ramps", "rates", "spectra", "lightcurves", "truth"}
        Product. Each is drawn at its own level with the noise that the one before would
        leave in it; ``truth`` holds what was put in.
    seed : int
        Seed of all random numbers; the same seed describes the same exposure at each level.
    chunks : int, optional
        Integrations per chunk of lazy ramps; see `tsoxr.simulation.Exposure.ramps`. Only
        for ``kind="ramps"``.
    **parameters
        Parameters of `tsoxr.simulation.Exposure`, such as ``n_integrations``, ``n_groups``,
        ``brightness``, ``star``, ``frame``, ``radius_ratio``, ``eclipse_depth``,
        ``limb_darkening``, ``light_curve``, ``events``, ``telescope`` or ``noise``.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ModeError
        For a mode that is unknown or not simulated.
    ValueError
        For an unknown kind, chunks of another kind than ramps, or a value that makes no
        sense.
    TypeError
        For a parameter that does not exist.

    Examples
    --------
    >>> import tsoxr
    >>> spectra = tsoxr.simulate("miri-lrs", kind="spectra", n_integrations=20, seed=3)
    >>> spectra["flux"].dims
    ('time', 'wavelength')
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"it makes {', '.join(KINDS)}"
        raise ValueError(f"simulate: no product is called {kind!r}; {hint}")
    if chunks is not None and kind != "ramps":
        raise ValueError(
            f"simulate: chunks is {chunks} for kind {kind!r}; only ramps are lazy, leave it out"
        )
    made = exposure(mode, seed=seed, **parameters)
    return made.ramps(chunks) if kind == "ramps" else getattr(made, kind)()
