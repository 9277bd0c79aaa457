"""The program of the child process that decodes pictures (`ml.media.image_worker_client`). It imports nothing of ours.

It reads requests, a JSON object a line, from the descriptor that its argument names. The answer is `0` and the pixels,
or `1` where there are none; what libav says of a picture goes to standard error, before the answer.
"""

import json
import os
import sys
from collections.abc import Sequence
from fractions import Fraction

import av
from av.filter import Graph

DONE, FAILED = b"0", b"1"
_TIME_BASE = Fraction(1, 25)


def _decoded(path: str, decoder: str, max_pixels: int) -> av.VideoFrame:
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.options = {"max_pixels": str(max_pixels)}
    context.thread_count = 1
    with open(path, "rb") as file:
        frames = context.decode(av.Packet(file.read()))
    return (frames or context.decode(None))[0]


def _filtered(frame: av.VideoFrame, filters: Sequence[str]) -> av.VideoFrame:
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_TIME_BASE)
    for words in [*filters, "buffersink"]:
        name, _, arguments = words.partition("=")
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    frame.pts, frame.time_base = 0, _TIME_BASE
    graph.push(frame)
    found = graph.pull()
    assert isinstance(found, av.VideoFrame)
    return found


def _pixels(frame: av.VideoFrame) -> bytes:
    """RGB without the padding that rows may have."""
    plane, row = memoryview(frame.planes[0]).cast("B"), 3 * frame.width
    pitch = frame.planes[0].line_size
    return b"".join(plane[start : start + row] for start in range(0, pitch * frame.height, pitch))


def main() -> None:
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    with open(int(sys.argv[1]), "rb") as requests, open(os.dup(1), "wb") as answers:
        for line in requests:
            wanted = json.loads(line)
            try:
                frame = _decoded(wanted["path"], wanted["decoder"], wanted["max_pixels"])
                answer = DONE + _pixels(_filtered(frame, wanted["filters"]))
            except Exception as error:  # whatever it is: there is no picture
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                answer = FAILED
            answers.write(answer)
            answers.flush()


if __name__ == "__main__":
    main()
