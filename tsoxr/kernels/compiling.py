"""How kernels are compiled: whole ones, and parts that only other compiled functions call.

The smallest function takes tens of milliseconds to compile, and everybody waits for it at the
first call: what is not needed is left out. Loops over explicit indices take least; slices,
``a[:] = b``, reductions such as ``a.min()``, and arrays made within a kernel take much more.
An index that is a sum, as ``begin + k``, is made unsigned: a loop over one that the compiler
must think negative is not turned into vectors.
"""

from __future__ import annotations

from functools import partial

import numba
from numba.extending import register_jitable

__all__ = ["kernel", "part"]

kernel = partial(numba.njit, cache=True, nogil=True, no_cfunc_wrapper=True)
"""`numba.njit` of a function that Python calls; compiled once, and kept in a file."""

part = partial(register_jitable, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)
"""For a function that kernels call: compiled with each of them; Python runs it as it stands."""
