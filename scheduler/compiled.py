"""Compile functions of plain numbers and arrays, and keep the machine code for the next process where possible."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])
_HERE: Final = Path(__file__).parent


def compiled(function: _Function) -> _Function:
    """Return the function compiled on its first call. It must mean the same uncompiled.

    Where the code cannot be stored it is made anew in each process, which costs some seconds and changes no result.
    `fastmath` stays off: floats must add up in the order that is written, so that a plan comes out the same again. The
    code runs without Python's lock: threads that work on unlike shards run side by side.
    """
    return _made(function)


def borrowing(function: _Function) -> _Function:
    """Return the function compiled as by `compiled`, without counting references on the arrays it is handed.

    For functions that are called once for each node, pair or gang: to count references on twenty tables takes longer
    than a look at a hundred nodes. Such a function makes no array, returns none, and calls only its like.
    """
    return _made(function, _nrt=False)


def inlined(function: _Function) -> _Function:
    """Return the function as by `borrowing`, put into the code of its callers: for the few lines inside a loop."""
    return _made(function, _nrt=False, forceinline=True)


def _made(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # no place to store the code: a read-only installation without a home directory
        return cast(_Function, numba.njit(nogil=True, **options)(function))


def _folder() -> Path:
    """Return where the machine code of these very sources is kept: beside them, or in the user's cache directory.

    A function's stored code holds what it calls in other modules, and would not notice a change there: so the folder
    is named after the content of all modules.
    """
    content = hashlib.sha256(numba.__version__.encode())
    for module in sorted(_HERE.rglob("*.py")):
        content.update(module.name.encode() + b"\0" + module.read_bytes())
    beside = _HERE / "__pycache__"
    if os.access(beside if beside.exists() else _HERE, os.W_OK):
        return beside / f"compiled-{content.hexdigest()[:16]}"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xisuan" / content.hexdigest()[:16]


_config: Any = numba.config
if not _config.CACHE_DIR:  # whoever set NUMBA_CACHE_DIR meant it
    _config.CACHE_DIR = str(_folder())
