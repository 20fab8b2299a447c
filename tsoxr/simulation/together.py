"""Several detectors that look at the same star at the same time.

Each exposure is what `tsoxr.simulation.exposure` makes. They share clock, orbit and telescope:
the start, the time and length of the transit, and the seed of the motion. Their noise is
independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.errors import ModeError
from tsoxr.simulation.builder import Exposure
from tsoxr.simulation.entry import KINDS, exposure
from tsoxr.trees import tree_of

__all__ = ["exposures", "simulate_tree"]

Observed = str | Sequence[str] | Mapping[str, Mapping[str, Any]]


def exposures(observed: Observed, *, seed: int = 0, **parameters: Any) -> dict[str, Exposure]:
    """Return simulated exposures of several detectors at the same time.

    Parameters
    ----------
    observed : str, sequence of str, or mapping
        A mode, for all of its detectors that are simulated; several modes, for the first
        detector of each; or names of nodes with the parameters of each exposure, among them its
        ``mode``. A node with the name of a detector is of this one.
    seed : int
        Seed of the first; those of the others follow from it. The motion of the telescope has
        this one in all of them: the same motion where they have equally many integrations.
    **parameters
        Parameters of `Exposure` for all of them. ``period``, ``t0`` and ``start`` of the first
        hold for all that do not have their own. ``brightness`` is that of each detector.

    Returns
    -------
    dict of str to Exposure
        By detector, or by the given names.

    Raises
    ------
    ValueError
        For no mode, or two exposures of one name.
    TypeError, ModeError
        As `tsoxr.simulation.exposure`.

    Examples
    --------
    >>> both = exposures("nirspec-g395h", n_integrations=4, seed=1)
    >>> list(both), bool(both["NRS1"].planet.t0 == both["NRS2"].planet.t0)
    (['NRS1', 'NRS2'], True)
    """
    given = _named(observed)
    made: dict[str, Exposure] = {}
    for i, (name, own) in enumerate(given.items()):
        each = {"seed": _seed(seed, i), **parameters, **own}
        each.setdefault("telescope_seed", seed)
        if made:
            first = next(iter(made.values()))
            shared = {"start": first.start, "period": first.planet.period, "t0": first.planet.t0}
            each = {**shared, **each}
        made[name] = exposure(**each)
    return made


def _named(observed: Observed) -> dict[str, Mapping[str, Any]]:
    """Return the parameters of each exposure by the name of its node."""
    if isinstance(observed, Mapping):
        if not observed or any("mode" not in own for own in observed.values()):
            raise ValueError(
                "simulate_tree: give each node its mode, {'NRCALONG': {'mode': 'nircam-grism'}, ...}"
            )
        return {str(name): _of_detector(str(name), own) for name, own in observed.items()}
    if isinstance(observed, str):
        return {name: {"mode": observed, "detector": name} for name in _simulated(observed)}
    found: dict[str, Mapping[str, Any]] = {}
    for mode in observed:
        name = exposure(mode).setup.detector
        if name in found:
            raise ValueError(
                f"simulate_tree: {found[name]['mode']} and {mode} are both of {name}; name the nodes: "
                "{'first': {'mode': ...}, ...}"
            )
        found[name] = {"mode": mode, "detector": name}
    if not found:
        raise ValueError("simulate_tree: there is no mode; give at least one")
    return found


def _of_detector(name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a node, its name being its detector where the mode has that."""
    known = name in modes.get(own["mode"]).detectors
    return {**({"detector": name} if known else {}), **own}


def _simulated(mode: str) -> list[str]:
    """Return the detectors of a mode that are simulated."""
    names = []
    for name in modes.get(mode).detectors:
        try:
            names.append(exposure(mode, detector=name).setup.detector)
        except ModeError:
            raise
        except ValueError:  # a detector that the mode has and the simulator has not
            continue
    return names


def _seed(seed: int, number: int) -> int:
    """Return the seed of one of several exposures, the first having ``seed`` itself."""
    if number == 0:
        return seed
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def simulate_tree(
    observed: Observed, *, kind: str = "ramps", seed: int = 0, **parameters: Any
) -> xr.DataTree:
    """Return simulated data of several detectors that look at the same transit.

    Parameters
    ----------
    observed : str, sequence of str, or mapping
        A mode, for all of its detectors that are simulated, such as ``"nirspec-g395h"``; several
        modes, for the first detector of each, such as ``("nircam-grism", "nircam-imaging")``; or
        names of nodes with the parameters of each exposure, among them its ``mode``; a node with
        the name of a detector is of this one.
    kind : {"ramps", "rates", "spectra", "lightcurves", "truth"}
        Product of each node; see `simulate`.
    seed : int
        Seed of the first; those of the others follow from it, and noise is independent. The
        telescope moves alike where there are equally many integrations.
    **parameters
        Parameters of `tsoxr.simulation.Exposure` for all of them, and ``chunks`` of `simulate`.

    Returns
    -------
    xarray.DataTree
        A node for each detector, with times of its own.

    Raises
    ------
    ValueError
        For an unknown kind, no mode, or two exposures of one name.
    TypeError, ModeError
        As `simulate`.

    See Also
    --------
    tsoxr.simulation.exposures : the exposures themselves, for other products and the truth.

    Examples
    --------
    >>> import tsoxr
    >>> tree = tsoxr.simulate_tree("nirspec-g395h", kind="spectra", n_integrations=10, seed=1)
    >>> tree.tso.kind
    {'NRS1': 'spectra', 'NRS2': 'spectra'}
    """
    if kind not in KINDS:
        raise ValueError(f"simulate_tree: kind is {kind!r}; it is one of {', '.join(KINDS)}")
    chunks = parameters.pop("chunks", None)
    if chunks is not None and kind != "ramps":
        raise ValueError(
            f"simulate_tree: chunks is {chunks} for kind {kind!r}; only ramps are lazy, leave it out"
        )
    made = exposures(observed, seed=seed, **parameters)
    arguments = {"chunks": chunks} if kind == "ramps" else {}
    found = {name: getattr(each, kind)(**arguments) for name, each in made.items()}
    if kind == "truth":  # no product of the schema
        return xr.DataTree.from_dict({f"/{name}": ds for name, ds in found.items()})
    return tree_of(found)
