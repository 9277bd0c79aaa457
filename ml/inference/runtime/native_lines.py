"""Lines that native libraries write to the standard error stream, past Python's logging."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_redirected = threading.Lock()
"""Held while the stream is redirected: the file descriptor belongs to all threads."""


@contextmanager
def without_native_lines(unwanted: re.Pattern[bytes]) -> Iterator[None]:
    """Drop the lines that match `unwanted` from what is written to stderr within this context.

    For lines that no setting of a library silences. Other lines, from any thread, are written when the context ends.
    """
    with _redirected, tempfile.TemporaryFile() as held:
        original = os.dup(_STDERR)
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(original, _STDERR)
            os.close(original)
            held.seek(0)
            for line in held:
                if not unwanted.search(line):
                    os.write(_STDERR, line)
