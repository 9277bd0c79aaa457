"""Child processes that decode pictures, kept from one picture to the next.

To start a process takes thirty times as long as to decode a small picture. A child decodes under the limits of
`ml.media.sandbox`, with libav (PyAV): the decoders and filters of ffmpeg, no demuxer and no protocol. Whatever goes wrong
with a picture, be it only that it is damaged, ends its child: the next picture meets a fresh one.
"""

import functools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ml.cpu import cores
from ml.media.limits import MediaLimits
from ml.media.sandbox import Allowance, Check, Child, unchecked

PICTURES = 500
"""After which a child has served: what it may have leaked goes with it."""
DONE = b"0"
"""As the program has it, which cannot be imported here: it needs PyAV, which an image without models has not."""
_PROGRAM = Path(__file__).with_name("image_worker.py")


class Request(NamedTuple):
    """`decoder`: libav's name; `filters`: from the stored picture to the analysed one, RGB at the end."""

    path: str
    decoder: str
    filters: Sequence[str]
    max_pixels: int


class Answer(NamedTuple):
    """`complete`: the buffer is filled. `errors`: what libav had to say."""

    complete: bool
    errors: str


class PictureChild:
    """One child."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.is_spent = False
        """Whether it is to decode no further picture."""
        self._served = 0
        self._folder = tempfile.TemporaryDirectory(prefix="pictures-")
        theirs, self._requests = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._requests, False)
        try:
            self._child = Child(
                [sys.executable, "-I", str(_PROGRAM), str(theirs)],
                cwd=Path(self._folder.name),
                allowance=allowance,
                check=unchecked,
                patience=lambda: 0.0,
                pass_fds=[theirs],
            )
        except BaseException:
            os.close(self._requests)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def runs(self) -> bool:
        """It may have been killed while it waited, by the kernel too."""
        return self._child.runs

    def decode(self, request: Request, into: memoryview, check: Check, patience: Callable[[], float]) -> Answer:
        """Raises ProcessingTimeout, and what `check` raises."""
        self._served += 1
        self._child.renew(check, patience)
        told = bytearray(1)
        asked = self._child.feed(self._requests, memoryview(json.dumps(request._asdict()).encode() + b"\n"))
        done = asked and self._child.read_into(memoryview(told)) == 1 and bytes(told) == DONE
        complete = done and self._child.read_into(into) == len(into)
        if not told[0]:
            self._child.wait()  # it has ended: raises where that was for its limits
        answer = Answer(complete, self._child.said())
        self.is_spent = not complete or bool(answer.errors) or self._served >= PICTURES
        return answer

    def close(self) -> None:
        self._child.kill()
        os.close(self._requests)
        self._folder.cleanup()


class _Kept:
    """The children of this process that wait for a picture, and whose turn it is to have one: as many as cores."""

    def __init__(self) -> None:
        self.turn = threading.BoundedSemaphore(cores())
        self.waiting: list[PictureChild] = []

    def take(self, allowance: Allowance) -> PictureChild:
        while True:
            try:
                child = self.waiting.pop()
            except IndexError:
                return PictureChild(allowance)
            if child.runs and child.allowance == allowance:
                return child
            child.close()


@functools.cache
def _kept(pid: int) -> _Kept:
    """Keyed by the process id: children are not those of a fork."""
    return _Kept()


@contextmanager
def picture_child(limits: MediaLimits) -> Iterator[PictureChild]:
    """One for one picture, as a context; it is kept unless the context ends by an error."""
    kept = _kept(os.getpid())
    with kept.turn:
        child = kept.take(Allowance(limits.child_memory, limits.child_cpu_seconds))
        try:
            yield child
        except BaseException:
            child.close()
            raise
        if child.is_spent:
            child.close()
        else:
            kept.waiting.append(child)
