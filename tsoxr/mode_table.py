"""The observing modes: what each one is, and the step defaults that it needs.

Read once from ``modes.toml``. A value given by the caller beats the mode's default, and
the mode's default beats the step's own. Which axis is read fast is never in this table:
that comes from the header.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsoxr.errors import ModeError
from tsoxr.options import OPTIONS

__all__ = [
    "Default",
    "Detector",
    "Mode",
    "detector",
    "get",
    "match",
    "names",
    "step_defaults",
    "table",
]


@dataclass(frozen=True)
class Default:
    """A step parameter's value for one mode, and why."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Detector:
    """Typical constants of one detector.

    ``gain`` in electron/DN, ``read_noise`` of a single read in DN, ``saturation`` in DN,
    ``dark`` in electron/s; ``interleaved`` where neighbouring pixels of a line are read
    through different outputs, instead of blocks of them.
    """

    name: str
    gain: float
    read_noise: float
    saturation: float
    dark: float
    interleaved: bool = False


@dataclass(frozen=True)
class Mode:
    """An observing mode: where its axes lie, what it covers, its step defaults.

    ``reads`` holds for each subarray the pixels of a line, the lines, and the numbers of
    outputs that it can be read with.
    """

    name: str
    title: str
    instrument: str
    detectors: tuple[str, ...]
    subarrays: tuple[str, ...]
    spatial_dim: str
    dispersion_dim: str
    orders: tuple[int, ...] = ()
    wavelength_range: tuple[float, float] | None = None
    imaging: bool = False
    match: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    step_defaults: dict[str, dict[str, Default]] = field(default_factory=dict)


_FIELDS = {
    "title", "instrument", "detectors", "subarrays", "spatial_dim", "dispersion_dim",
    "orders", "wavelength_range", "imaging", "match", "reads",
}  # fmt: skip


def _read(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise ModeError(f"modes: there is no file {path!r}; give the path of a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ModeError(f"modes: {path} is not valid TOML: {error}") from None


def _modes(extra: str | None) -> dict[str, Mode]:
    if extra is None:
        return _merged(None, 0)
    path = Path(extra)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _merged(extra, changed)


@functools.lru_cache(maxsize=8)
def _merged(extra: str | None, changed: int) -> dict[str, Mode]:  # noqa: ARG001 -- an edited file is read again
    tables = {k: v for k, v in _builtin().items() if k != "detectors"}
    found = {name: _mode(name, values) for name, values in tables.items()}
    if extra is not None:
        for name, values in _read(extra).items():
            if name not in found:
                raise ModeError(_unknown(name, found, where=f"modes file {extra}"))
            found[name] = _overridden(found[name], values, extra)
    return found


@functools.cache
def _builtin() -> dict[str, Any]:
    return _read(str(Path(__file__).with_name("modes.toml")))


def _mode(name: str, values: dict[str, Any]) -> Mode:
    own: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in _FIELDS
    }
    own["match"] = {k: tuple(v) for k, v in values.get("match", {}).items()}
    own["reads"] = {k: tuple(v) for k, v in values.get("reads", {}).items()}
    steps = {k: _defaults(v, f"{name}.{k}") for k, v in values.items() if k not in _FIELDS}
    return Mode(name=name, step_defaults=steps, **own)


def _defaults(values: dict[str, Any], where: str) -> dict[str, Default]:
    return {
        parameter: Default(**given)
        if isinstance(given, dict)
        else Default(given, f"set in {where}")
        for parameter, given in values.items()
    }


def _overridden(mode: Mode, values: dict[str, Any], path: str) -> Mode:
    steps = dict(mode.step_defaults)
    for name, parameters in values.items():
        if not isinstance(parameters, dict):
            raise ModeError(
                f"modes: {path} sets {mode.name}.{name}; only step tables can be overridden"
            )
        steps[name] = {**steps.get(name, {}), **_defaults(parameters, path)}
    return Mode(**{**mode.__dict__, "step_defaults": steps})


def _unknown(name: str, known: Any, where: str = "modes") -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(known)}"
    return f"{where}: no mode is called {name!r}; {hint}"


def names() -> tuple[str, ...]:
    """Return the names of all modes.

    Examples
    --------
    >>> from tsoxr import modes
    >>> "nirspec-prism" in modes.names()
    True
    """
    return tuple(_modes(OPTIONS.modes))


def get(name: str) -> Mode:
    """Return a mode by name.

    Raises
    ------
    ModeError
        For an unknown name; the message names the nearest one.
    """
    known = _modes(OPTIONS.modes)
    if name not in known:
        raise ModeError(_unknown(name, known))
    return known[name]


def match(header: dict[str, Any]) -> Mode | None:
    """Return the mode of an exposure from its header, ``None`` if it is none of ours.

    Parameters
    ----------
    header : dict
        FITS keywords of the primary header, upper case.
    """
    for mode in _modes(OPTIONS.modes).values():
        wanted = mode.match.items()
        if all(
            str(header.get(key.upper(), "")).strip().upper() in allowed for key, allowed in wanted
        ):
            return mode
    return None


def detector(name: str) -> Detector:
    """Return the typical constants of a detector.

    Raises
    ------
    ModeError
        For an unknown detector.
    """
    known = _builtin()["detectors"]
    if name not in known:
        raise ModeError(f"modes: no constants for detector {name!r}; known are {', '.join(known)}")
    return Detector(name=name, **known[name])


def step_defaults(mode: str | None, step: str) -> dict[str, Default]:
    """Return what a mode sets for a step: parameter to value and reason."""
    if mode is None or mode not in names():
        return {}
    return dict(get(mode).step_defaults.get(step, {}))


def table() -> list[dict[str, Any]]:
    """Return one row per mode, for printing."""
    return [
        {
            "mode": mode.name,
            "title": mode.title,
            "detectors": ", ".join(mode.detectors),
            "subarrays": ", ".join(mode.subarrays),
            "dispersion": "none" if mode.imaging else f"along {mode.dispersion_dim}",
            "wavelength_um": mode.wavelength_range,
        }
        for mode in _modes(OPTIONS.modes).values()
    ]
