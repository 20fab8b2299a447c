"""The exceptions and the warning that tsoxr raises beside Python's own."""

from __future__ import annotations

__all__ = ["ModeError", "SchemaError", "TsoError", "TsoWarning"]


class TsoError(Exception):
    """Something about the data or the request prevents a result."""


class SchemaError(TsoError, ValueError):
    """A Dataset or a file does not have the structure that its kind promises."""


class ModeError(TsoError, LookupError):
    """An observing mode is unknown, or is asked for something that it does not have."""


class TsoWarning(UserWarning):
    """The result is usable but rests on a fallback or looks suspect."""
