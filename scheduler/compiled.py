"""Compile functions of plain numbers and arrays, and keep the machine code for the next process where possible."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., object])
_HERE: Final = Path(__file__).parent
_IMPORTED: Final = re.compile(rb"^\s*from scheduler\.(\w+) import", re.MULTILINE)
_FROM_PACKAGE: Final = re.compile(rb"^\s*from scheduler import ([\w, ]+)$", re.MULTILINE)


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


def side_by_side(work: Callable[[_Item], _Result], items: Sequence[_Item], threads: int) -> list[_Result]:
    """Return the results in the order of the items, worked out in so many threads; of one item, in this one."""
    if len(items) < 2 or threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _made(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # no place to store the code: a read-only installation without a home directory
        return cast(_Function, numba.njit(nogil=True, **options)(function))


def _folder() -> Path:
    """Return where the machine code of these very sources is kept: beside them, or in the user's cache directory.

    A function's stored code holds what it calls in other modules and their constants, and would not notice a change
    there: so the folder is named after the content of every module that compiled code can depend on.
    """
    content = hashlib.sha256(numba.__version__.encode())
    for name, source in sorted(_sources().items()):
        content.update(name.encode() + b"\0" + source)
    beside = _HERE / "__pycache__"
    if os.access(beside if beside.exists() else _HERE, os.W_OK):
        return beside / f"compiled-{content.hexdigest()[:16]}"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xisuan" / content.hexdigest()[:16]


def _sources() -> dict[str, bytes]:
    """Return the modules that compile functions, and those that they import, directly or not."""
    every = {module.stem: module.read_bytes() for module in _HERE.glob("*.py")}
    wanted = [name for name, source in every.items() if b"\nfrom scheduler.compiled import" in source]
    found: dict[str, bytes] = {}
    while wanted:
        name = wanted.pop()
        if name in every and name not in found:
            found[name] = every[name]
            wanted += [each.decode() for each in _IMPORTED.findall(every[name])]
            for names in _FROM_PACKAGE.findall(every[name]):
                wanted += [each.strip().decode() for each in names.split(b",")]
    return found


_config: Any = numba.config
if not _config.CACHE_DIR:  # whoever set NUMBA_CACHE_DIR meant it
    _config.CACHE_DIR = str(_folder())
