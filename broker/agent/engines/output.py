"""Keep what a task writes, up to a limit that is stated in the file itself. Standard library only."""

import os

_PIECE_BYTES = 65536


class Output:
    """One output stream of one task: a pipe on the task's side, a file on ours.

    A pipe, because a task that writes straight into a file could fill the disk.
    """

    def __init__(self, path: str, bytes_max: int, owner: int | None) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        if owner is not None:
            os.fchown(self.write_end, owner, -1)  # so that the task may open /dev/stdout again
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left = bytes_max
        self._mark = f"\n[xisuan: output beyond {bytes_max} bytes is not kept]\n".encode()

    def close_write_end(self) -> None:
        """Let go of the task's side once the task has it."""
        os.close(self.write_end)

    def take(self) -> bool:
        """Take one piece that the task has written. Return False when nothing more will come."""
        try:
            piece = os.read(self.read_end, _PIECE_BYTES)
        except BlockingIOError:
            return True
        if not piece:
            return False
        self._keep(piece)
        return True

    def finish(self) -> None:
        """Take what is left in the pipe, then close: whoever still holds the other side belongs to nobody any more."""
        try:
            while piece := os.read(self.read_end, _PIECE_BYTES):
                self._keep(piece)
        except BlockingIOError:
            pass
        os.close(self.read_end)
        os.close(self._file)

    def _keep(self, piece: bytes) -> None:
        if not self._left:
            return
        kept = piece[: self._left]
        try:
            os.write(self._file, kept)
            self._left -= len(kept)
            if not self._left:
                os.write(self._file, self._mark)
        except OSError:  # a full disk costs output, never the job
            self._left = 0
