"""Snapshot arrays as an .npz file: deterministic when written, hostile when read."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import BadSnapshot

BYTES_MAX: Final = 2**31
_OF_ARCHIVES: Final = (zipfile.BadZipFile, struct.error, NotImplementedError)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the archive carries no time, or equal snapshots would differ


def write(content: Mapping[str, object]) -> bytes:
    """Return the archive. Names become fixed-width UTF-8, everything else keeps its type."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in content.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, _encoded(value), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getvalue())
    return buffer.getvalue()


def content_hash(content: Mapping[str, object]) -> str:
    """Return the SHA-256 in hexadecimal, of each array its name, type, shape and values; it is quicker than writing."""
    found = hashlib.sha256()
    for name, value in content.items():
        if isinstance(value, np.ndarray):
            found.update(f"{name} {value.dtype.str} {value.shape}".encode())
            found.update(value.data if value.size else b"")
        elif isinstance(value, tuple):
            found.update(f"{name} {len(value)} ".encode())
            found.update("\0".join(value).encode())  # names are printable: they hold no \0
        else:
            found.update(f"{name} {value}".encode())
    return found.hexdigest()


def read(data: bytes, names: Sequence[str], needed: Collection[str]) -> dict[str, object]:
    """Return the arrays by name. Raise BadSnapshot for a missing or unknown one, or what is not plain data."""
    if len(data) > BYTES_MAX:
        raise BadSnapshot("file", f"has {len(data)} bytes, at most {BYTES_MAX} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in found:
                if name not in names:
                    raise BadSnapshot("file", f"holds {name[:80]!r}, which is no array of a snapshot")
            return {name: _member(archive, found, name) for name in names if name in found or name in needed}
    except BadSnapshot:
        raise
    except (*_OF_ARCHIVES, RuntimeError, EOFError, OSError, ValueError) as error:
        raise BadSnapshot("file", f"is not an .npz archive ({error})") from error


def _member(archive: zipfile.ZipFile, found: Mapping[str, zipfile.ZipInfo], name: str) -> object:
    info = found.get(name)
    if info is None:
        raise BadSnapshot(name, "is missing from the file")
    if info.compress_type != zipfile.ZIP_STORED:  # stored members cannot unpack to more than was sent
        raise BadSnapshot(name, "is compressed; write the file with numpy.savez, not savez_compressed")
    raw = archive.read(info)
    try:
        # not np.load: it opens nested archives and guesses by content
        array: NDArray[np.generic] = np.lib.format.read_array(
            io.BytesIO(raw), allow_pickle=False, max_header_size=10_000
        )
        return _decoded(array)
    except Exception as error:  # numpy's header parser lets through whatever its tokenizer raises
        raise BadSnapshot(name, f"is not a plain array ({str(error)[:200]})") from error


def _encoded(value: object) -> NDArray[np.generic]:
    if isinstance(value, tuple):
        if not value:
            return np.zeros(0, dtype="S1")
        return np.array([item.encode() for item in value], dtype=np.bytes_)
    return np.asarray(value, dtype=np.int64 if isinstance(value, int) else None)


def _decoded(array: NDArray[np.generic]) -> object:
    if array.dtype.kind == "S":
        return tuple(item.decode() for item in array.reshape(-1).tolist())
    if array.dtype.kind == "U":
        return tuple(array.reshape(-1).tolist())
    return array
