"""The accepted media formats, and the demuxers that may read them.

ffprobe and ffmpeg may use only the demuxers of the detected format (`-format_whitelist`): a playlist, a script or any
other text that names further files is never opened as media.
"""

from dataclasses import dataclass

from ml.signatures import format_from_signature


@dataclass(frozen=True)
class MediaFormat:
    """An accepted format.

    `demuxers`: ffmpeg's names of the demuxers that may read it, none if only `load_image` reads it. `is_image`: whether
    it holds one still image; `may_move`: whether it may also hold a film.
    `is_certain`: whether the first bytes identify it without doubt, so that an unreadable file is damaged; otherwise it
    may be of another type that begins alike.
    """

    name: str
    demuxers: tuple[str, ...] = ()
    is_image: bool = False
    may_move: bool = False
    is_certain: bool = True


_ALL = (
    MediaFormat("jpeg", is_image=True),
    MediaFormat("png", is_image=True),
    MediaFormat("webp", is_image=True),
    MediaFormat("heif", is_image=True),
    MediaFormat("avif", is_image=True),
    MediaFormat("tiff", is_image=True),
    MediaFormat("bmp", is_image=True),
    MediaFormat("gif", ("gif",), is_image=True, may_move=True),
    MediaFormat("wav", ("wav",)),
    MediaFormat("aiff", ("aiff",)),
    MediaFormat("amr", ("amr",)),
    MediaFormat("caf", ("caf",)),
    MediaFormat("avi", ("avi",)),
    MediaFormat("asf", ("asf",)),
    MediaFormat("flv", ("flv",)),
    MediaFormat("mpeg", ("mpeg",)),
    MediaFormat("mpegts", ("mpegts",)),
    MediaFormat("flac", ("flac",)),
    MediaFormat("ogg", ("ogg",)),
    MediaFormat("mp4", ("mov",)),
    MediaFormat("mov", ("mov",)),
    MediaFormat("m4a", ("mov",)),
    MediaFormat("matroska", ("matroska",)),
    MediaFormat("webm", ("matroska",)),
    MediaFormat("mp3", ("mp3", "aac", "flac"), is_certain=False),
    MediaFormat("aac", ("mp3", "aac"), is_certain=False),
)
FORMATS = {format.name: format for format in _ALL}


def detect_format(head: bytes) -> MediaFormat | None:
    """Return the format that begins with `head` (the first `SNIFF_BYTES` of a file), or None if it is not accepted."""
    name = format_from_signature(head)
    return FORMATS[name] if name else None
