"""Program of the child process that decodes images (`ml.media.image_worker_client`). Imports no project code.

It reads requests, one JSON object per line, from the descriptor that its argument names. The response is `0` and the
pixels, or `1` if decoding failed. Messages of libav go to standard error, before the response.
"""

import functools
import json
import os
import sys
import warnings
from collections.abc import Sequence
from fractions import Fraction

import av
import pillow_heif
from av.filter import Graph
from PIL import AvifImagePlugin, Image, ImageOps

FLATTEN = ("format=gbrap", "negate", "premultiply=15:1", "negate")
"""A copy of `ml.media.geometry.FLATTEN`."""
PILLOW_FORMATS = {"avif": "AVIF", "heif": "HEIF", "tiff": "TIFF"}
"""Decoders that are not libav's, which reads these formats only through a demuxer or in part, and their formats."""
TOO_MANY_PIXELS = "exceeds specified max pixel count"
"""A copy of `ml.media.ffprobe.TOO_MANY_PIXELS`."""
DONE, FAILED = b"0", b"1"
_TIME_BASE = Fraction(1, 25)


def _decoded(path: str, decoder: str, max_pixels: int) -> av.VideoFrame:
    if decoder in PILLOW_FORMATS:
        return _decoded_by_pillow(path, PILLOW_FORMATS[decoder], max_pixels)
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.options = {"max_pixels": str(max_pixels)}
    context.thread_count = 1
    with open(path, "rb") as file:
        frames = context.decode(av.Packet(file.read()))
    return (frames or context.decode(None))[0]


def _decoded_by_pillow(path: str, format: str, max_pixels: int) -> av.VideoFrame:
    """Decode the first or primary picture, turned upright. Its size is checked before its pixels are read."""
    _prepare_pillow()
    with Image.open(path, formats=[format]) as image:
        if image.width * image.height > max_pixels:
            raise ValueError(f"{image.width}x{image.height} {TOO_MANY_PIXELS}")
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        upright = upright.point(lambda level: level * (1 / 256)).convert("L")
    mode, format_name = ("RGBA", "rgba") if upright.has_transparency_data else ("RGB", "rgb24")
    pixels, row = upright.convert(mode).tobytes(), len(mode) * upright.width
    frame = av.VideoFrame(upright.width, upright.height, format_name)
    plane = frame.planes[0]
    plane.update(b"".join(pixels[at : at + row].ljust(plane.line_size, b"\0") for at in range(0, len(pixels), row)))
    return frame


@functools.cache
def _prepare_pillow() -> None:
    """Add the reader of HEIF, and let each reader use one thread. Sizes are checked here, not by Pillow."""
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")  # about metadata: they would pass for errors


def _filtered(frame: av.VideoFrame, filters: Sequence[str]) -> av.VideoFrame:
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_TIME_BASE)
    flatten = FLATTEN if _has_alpha(frame.format) else ()
    for description in [*flatten, *filters, "buffersink"]:
        name, _, arguments = description.partition("=")
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    frame.pts, frame.time_base = 0, _TIME_BASE
    graph.push(frame)
    filtered = graph.pull()
    assert isinstance(filtered, av.VideoFrame)
    return filtered


def _has_alpha(format: av.VideoFormat) -> bool:
    """Return whether pixels may be transparent; the colours of a palette may be."""
    return format.has_palette or any(component.is_alpha for component in format.components)


def _pixels(frame: av.VideoFrame) -> bytes:
    """Return the RGB bytes without the padding of rows."""
    plane, row = memoryview(frame.planes[0]).cast("B"), 3 * frame.width
    pitch = frame.planes[0].line_size
    return b"".join(plane[start : start + row] for start in range(0, pitch * frame.height, pitch))


def main() -> None:
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    with open(int(sys.argv[1]), "rb") as requests, open(os.dup(1), "wb") as responses:
        for line in requests:
            request = json.loads(line)
            try:
                frame = _decoded(request["path"], request["decoder"], request["max_pixels"])
                response = DONE + _pixels(_filtered(frame, request["filters"]))
            except Exception as error:  # any error means: no image
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                response = FAILED
            responses.write(response)
            responses.flush()


if __name__ == "__main__":
    main()
