"""Which formats are accepted, and what may read them.

The formats' own demuxers are then the only ones that ffprobe and ffmpeg may use (`-format_whitelist`): a playlist, a
script or any other text that names further files is never opened as media.
"""

from dataclasses import dataclass

from ml.signatures import format_name


@dataclass(frozen=True)
class Format:
    """An accepted container.

    `demuxers`: ffmpeg's names of those that may read it. `picture`: a still picture. `certain`: the first bytes leave
    no doubt, so that a file that cannot be read is damaged (else: something different that began alike).
    """

    name: str
    demuxers: tuple[str, ...]
    picture: bool = False
    certain: bool = True


_ALL = (
    Format("jpeg", ("jpeg_pipe",), picture=True),
    Format("png", ("png_pipe",), picture=True),
    Format("webp", ("webp_pipe",), picture=True),
    Format("wav", ("wav",)),
    Format("avi", ("avi",)),
    Format("flac", ("flac",)),
    Format("ogg", ("ogg",)),
    Format("mp4", ("mov",)),
    Format("mov", ("mov",)),
    Format("m4a", ("mov",)),
    Format("matroska", ("matroska",)),
    Format("webm", ("matroska",)),
    Format("mp3", ("mp3", "aac", "flac"), certain=False),
    Format("aac", ("mp3", "aac"), certain=False),
)
FORMATS = {format.name: format for format in _ALL}


def sniff(head: bytes) -> Format | None:
    """The format that begins with `head` (the first `SNIFF_BYTES` of a file), or None where none is accepted."""
    name = format_name(head)
    return FORMATS[name] if name else None
