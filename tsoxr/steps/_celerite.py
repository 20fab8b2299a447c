"""The optional package behind Gaussian processes on the clock."""

from __future__ import annotations

from types import ModuleType

__all__ = ["engine"]


def engine() -> ModuleType:
    """Return ``celerite2.driver``, the engine of `tsoxr.kernels.stripe_process`.

    Raises
    ------
    ImportError
        Where celerite2 is not installed.
    """
    try:
        from celerite2 import driver
    except ImportError:
        raise ImportError(
            "clean_1overf: method 'gp' needs the package celerite2, which cannot be imported; "
            "method 'fourier' comes close without it; install it with: pip install 'tsoxr[gp]'"
        ) from None
    return driver
