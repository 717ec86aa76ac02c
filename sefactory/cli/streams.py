"""Standard output and standard error that a reader may close, a disk may not take, or an encoding may not cover."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..bench.characters import HANDLER

REFUSED = 2


class OutputError(BaseException):
    """Standard output takes no more text, which ends the program: no Exception, so that no library handles it."""


class _Output(io.RawIOBase):
    """The bytes of a stream. `failure` is the first error of a write; what is written after it is dropped."""

    def __init__(self, stream: Any, raises: bool) -> None:
        self.stream, self.raises = stream, raises  # a stream that nobody holds is closed
        self.raw = getattr(stream.buffer, "raw", stream.buffer)
        self.failure: OSError | None = None

    def write(self, data: Any) -> int | None:
        """Writes a part of the data and returns its length. Raises OutputError at the first failure if `raises`."""
        if self.failure is None:
            try:
                count: int | None = self.raw.write(data)
                return count
            except OSError as error:
                self.failure = error
            if self.raises:
                raise OutputError
        return len(memoryview(data))

    def writable(self) -> bool:
        """True: io.BufferedWriter asks."""
        return True

    def fileno(self) -> int:
        """The file descriptor of the stream."""
        return int(self.raw.fileno())

    def isatty(self) -> bool:
        """True if the stream is a terminal."""
        return bool(self.raw.isatty())


def guard_streams(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code.

    0 if a reader has closed the pipe of standard output; 2 with a line on standard error if the output cannot be written.
    Standard error never fails, and closed streams count as /dev/null. Characters that an encoding lacks are substituted.
    """
    _open_closed_streams()
    sys.stderr, _ = _guarded(sys.stderr, raises=False)
    sys.stdout, output = _guarded(sys.stdout, raises=True)
    status = 0
    with suppress(OutputError):
        try:
            status = command()
        finally:
            sys.stdout.flush()
    if output.failure is None or isinstance(output.failure, BrokenPipeError):
        return status
    print(f"the output cannot be written: {output.failure.strerror}", file=sys.stderr)
    return REFUSED


def _open_closed_streams() -> None:
    """Opens /dev/null for each closed stream: otherwise the next file that is opened gets its number, and its output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def _guarded(stream: Any, raises: bool) -> tuple[io.TextIOWrapper, _Output]:
    """A text stream with the descriptor and the encoding of another one, and its bytes."""
    output = _Output(stream, raises)
    is_immediate = stream.line_buffering or stream.write_through  # a terminal, standard error, or python -u
    return io.TextIOWrapper(io.BufferedWriter(output), stream.encoding, HANDLER, line_buffering=is_immediate), output
