"""Pool of child processes that decode images, each reused for many images.

Starting a process takes thirty times as long as decoding a small image. A child decodes under the limits of
`ml.media.sandbox`, with libav (PyAV): the decoders and filters of ffmpeg, but no demuxer and no protocol; or with
Pillow (HEIF, AVIF, TIFF). A child that meets any fault, even just a damaged image, is replaced: the next image gets a
fresh one.
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

from ml.cpu import cpu_count
from ml.media.limits import MediaLimits
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess, never_cancelled

MAX_IMAGES_PER_WORKER = 500
"""Number of images after which a child is replaced, so that leaks cannot add up."""
DONE = b"0"
"""First byte of a successful response. A copy: `ml.media.image_worker` needs PyAV, which an io worker lacks."""
_PROGRAM = Path(__file__).with_name("image_worker.py")


class ImageRequest(NamedTuple):
    """One image to decode. `decoder`: name of libav or Pillow; `filters`: from the decoded image to the analysed one,
    in RGB."""

    path: str
    decoder: str
    filters: Sequence[str]
    max_pixels: int


class ImageResponse(NamedTuple):
    """`complete`: whether the buffer was filled. `errors`: messages of libav."""

    complete: bool
    errors: str


class ImageWorker:
    """One child process that decodes images."""

    def __init__(self, resources: ResourceLimits) -> None:
        self.resources = resources
        self.is_spent = False
        """Whether it must not decode another image."""
        self._decoded = 0
        self._folder = tempfile.TemporaryDirectory(prefix="pictures-")
        child_end, self._requests = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._requests, False)
        try:
            self._child = SandboxedProcess(
                [sys.executable, "-I", str(_PROGRAM), str(child_end)],
                cwd=Path(self._folder.name),
                resources=resources,
                check=never_cancelled,
                wait_limit=lambda: 0.0,
                pass_fds=[child_end],
            )
        except BaseException:
            os.close(self._requests)
            raise
        finally:
            os.close(child_end)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the child is alive: it may have been killed while idle, also by the kernel."""
        return self._child.is_running

    def decode(
        self, request: ImageRequest, into: memoryview, check: CancelCheck, wait_limit: Callable[[], float]
    ) -> ImageResponse:
        """Decode one image into a buffer of its size. Raises ProcessingTimeout, and whatever `check` raises."""
        self._decoded += 1
        self._child.reset(check, wait_limit)
        status = bytearray(1)
        sent = self._child.write_to_pipe(self._requests, memoryview(json.dumps(request._asdict()).encode() + b"\n"))
        done = sent and self._child.read_into(memoryview(status)) == 1 and bytes(status) == DONE
        complete = done and self._child.read_into(into) == len(into)
        if not status[0]:
            self._child.wait()  # it has exited: raises if that was because of its limits
        response = ImageResponse(complete, self._child.collect_errors())
        self.is_spent = not complete or bool(response.errors) or self._decoded >= MAX_IMAGES_PER_WORKER
        return response

    def close(self) -> None:
        self._child.kill()
        os.close(self._requests)
        self._folder.cleanup()


class _WorkerPool:
    """The idle children of this process, and `slots`: one for each CPU core, held while an image is decoded."""

    def __init__(self) -> None:
        self.slots = threading.BoundedSemaphore(cpu_count())
        self.idle: list[ImageWorker] = []

    def take(self, resources: ResourceLimits) -> ImageWorker:
        while True:
            try:
                worker = self.idle.pop()
            except IndexError:
                return ImageWorker(resources)
            if worker.is_running and worker.resources == resources:
                return worker
            worker.close()


@functools.cache
def _pool(pid: int) -> _WorkerPool:
    """Return the pool of a process. Keyed by the process id: a forked process must not use its parent's children."""
    return _WorkerPool()


@contextmanager
def image_worker(limits: MediaLimits) -> Iterator[ImageWorker]:
    """Lend a child process for one image. It is kept for the next one unless the context ends with an exception."""
    pool = _pool(os.getpid())
    with pool.slots:
        worker = pool.take(ResourceLimits(limits.child_memory, limits.child_cpu_seconds))
        try:
            yield worker
        except BaseException:
            worker.close()
            raise
        if worker.is_spent:
            worker.close()
        else:
            pool.idle.append(worker)
