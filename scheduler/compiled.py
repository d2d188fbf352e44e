"""Compile functions of plain numbers and arrays, and keep the machine code for the next process where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Return the function compiled on its first call. It must mean the same uncompiled.

    The code is stored beside the module, or in the user's cache directory. Where neither can be written it is made
    anew in each process, which costs some seconds and changes no result. `fastmath` stays off: floats must add up in
    the order that is written, so that a plan comes out the same again. The code runs without Python's lock: threads
    that work on unlike shards run side by side. Stored code is renewed when its own module changes, not when a module
    that it calls does: after such a change remove the `__pycache__` folders (`make clean`).
    """
    try:
        return cast(_Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no place to store the code: a read-only installation without a home directory
        return cast(_Function, numba.njit(nogil=True)(function))
