"""Makes media for the tests of every room: small, of known content, with ffmpeg alone. Nothing real is needed.

What a picture or a sound shows is coded in it, so that a test can tell which one it got: the grey of a frame of
`make_coded_video` is its number, a flash and a beep of `make_flash_video` come at the same time.
"""

import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

VIDEO_CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "libopus"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".ts": ("libx264", "aac"),
    ".m2ts": ("libx264", "ac3"),
    ".mpg": ("mpeg2video", "mp2"),
    ".wmv": ("wmv2", "wmav2"),
    ".flv": ("flv", "libmp3lame"),
}
AUDIO_CODECS = {
    ".wav": "pcm_s16le",
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".ogg": "libvorbis",
    ".opus": "libopus",
    ".m4a": "aac",
    ".mp4": "aac",
    ".aac": "aac",
    ".aiff": "pcm_s16be",
    ".webm": "libopus",
    ".wma": "wmav2",
    ".caf": "pcm_s16be",
    ".ts": "aac",
    ".mpg": "mp2",
    ".flv": "libmp3lame",
}
FAST = {
    "libx264": ("-preset", "ultrafast", "-g", "25"),
    "libvpx": ("-deadline", "realtime", "-cpu-used", "8", "-g", "25"),
    "mpeg4": ("-g", "25"),
    "mpeg2video": ("-g", "25"),
    "wmv2": ("-g", "25"),
    "flv": ("-g", "25"),
}
PILLOW_SUFFIXES = (".heic", ".avif", ".tiff")
"""Images that Pillow writes: ffmpeg's HEIF has no orientation, and its TIFF no compression but its own."""
IMAGE_SUFFIXES = (".jpg", ".png", ".webp", ".heic", ".avif", ".tiff", ".bmp", ".gif")


def ffmpeg(*arguments: str | Path, data: bytes | None = None) -> None:
    """Runs ffmpeg; `data` is its standard input."""
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def make_video(
    path: Path,
    seconds: float = 2.0,
    size: tuple[int, int] = (160, 120),
    fps: float = 25.0,
    *,
    audio: bool = True,
    rotation: int = 0,
    options: Sequence[str] = (),
) -> Path:
    """A test card with a tone (440 Hz, mono 44.1 kHz); the container by the suffix.

    `rotation`: degrees that a player turns it clockwise (MP4, MOV), in metadata: `size` is that of the stored frames.
    """
    video_codec, audio_codec = VIDEO_CODECS[path.suffix]
    inputs = ["-f", "lavfi", "-i", f"testsrc=size={size[0]}x{size[1]}:rate={fps}:duration={seconds}"]
    if audio:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    made = path.with_stem(path.stem + "-upright") if rotation else path
    codecs = ["-c:v", video_codec, *FAST[video_codec], "-pix_fmt", "yuv420p", "-c:a", audio_codec]
    ffmpeg(*inputs, *codecs, *options, made)
    if rotation:
        turn_video(made, path, rotation)
        made.unlink()
    return path


def turn_video(source: Path, path: Path, rotation: int = 0, *, mirrored: bool = False) -> Path:
    """A copy of an MP4 or MOV whose display matrix mirrors left to right, then turns clockwise by `rotation`.

    The matrix of the first track header (tkhd, version 0: ISO/IEC 14496-12, 8.3.2) is written over.
    """
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation]
    across = -1 if mirrored else 1
    one = 1 << 16
    matrix = struct.pack(
        ">9i", across * cosine * one, across * sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30
    )
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = matrix
    path.write_bytes(data)
    return path


def make_coded_video(path: Path, greys: Sequence[int], fps: float = 25.0, size: tuple[int, int] = (32, 32)) -> Path:
    """A lossless MKV without sound in which frame i is all of the grey `greys[i]` (0…255)."""
    frames = b"".join(bytes([grey]) * (size[0] * size[1]) for grey in greys)
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "pipe:0"]
    command = ["ffmpeg", "-y", "-v", "error", *source, "-c:v", "ffv1", "-pix_fmt", "gray", str(path)]
    subprocess.run(command, input=frames, check=True)
    return path


def make_flash_video(
    path: Path, at: float, seconds: float = 4.0, *, picture_late: float = 0.0, sound_late: float = 0.0
):
    """Black and silent but for a white flash and a loud beep of 0.4 s, both `at` seconds of the media's time.

    A stream that is `late` by some seconds has nothing before; the flash and the beep stay where they are.
    """
    flash = f"between(T,{at - picture_late},{at - picture_late + 0.4 - 1e-6})"
    beep = f"between(t,{at - sound_late},{at - sound_late + 0.4})"
    ffmpeg(
        *("-itsoffset", str(picture_late), "-f", "lavfi"),
        *("-i", f"color=black:s=64x64:r=50:d={seconds - picture_late},format=gray,geq=lum='255*{flash}'"),
        *("-itsoffset", str(sound_late), "-f", "lavfi"),
        *("-i", f"aevalsrc='0.8*sin(2*PI*1000*t)*{beep}':s=48000:d={seconds - sound_late}"),
        *("-c:v", VIDEO_CODECS[path.suffix][0], *FAST[VIDEO_CODECS[path.suffix][0]], "-pix_fmt", "yuv420p"),
        *("-vsync", "passthrough"),  # else a late picture is filled up from the start
        *("-c:a", VIDEO_CODECS[path.suffix][1], path),
    )
    return path


def make_audio(
    path: Path,
    seconds: float = 2.0,
    frequency: float = 440.0,
    rate: int = 44_100,
    channels: int = 1,
    *,
    options: Sequence[str] = (),
) -> Path:
    """A tone; the container and codec by the suffix. Channel i sounds at `frequency` × (i + 1)."""
    tones = "|".join(f"0.5*sin(2*PI*{frequency * (channel + 1)}*t)" for channel in range(channels))
    layout = f":c={channels}c" if 2 < channels <= 8 else ""
    source = f"aevalsrc=exprs='{tones}':s={rate}:d={seconds}{layout}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", AUDIO_CODECS[path.suffix], *options, path)
    return path


def make_amr(path: Path, seconds: float = 2.0) -> Path:
    """A telephone recording of noise: AMR in frames of 12.2 kbit/s, whose bits are speech whatever they are."""
    frame = b"\x3c" + bytes((index * 37 + 11) % 256 for index in range(31))
    path.write_bytes(b"#!AMR\n" + frame * round(seconds * 50))
    return path


def make_image(path: Path, size: tuple[int, int] = (160, 120), *, exif_orientation: int | None = None) -> Path:
    """A test card in the format of the suffix, with an EXIF orientation if one is given (not BMP, GIF).

    HEIF and AVIF have the orientation in their own boxes, as their writers convert it.
    """
    pillow = path.suffix in PILLOW_SUFFIXES
    plain = path.with_suffix(".ppm") if pillow else path
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size[0]}x{size[1]}:rate=1", "-frames:v", "1", plain)
    if pillow:
        with Image.open(plain) as card:
            save_image(card, path, exif_orientation)
        plain.unlink()
    elif exif_orientation is not None:
        write_orientation(path, exif_orientation)
    return path


def save_image(image: Image.Image, path: Path, orientation: int | None = None, **options: object) -> Path:
    """Writes HEIF, AVIF or TIFF, as lossless as may be."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    quality = {".heic": {"quality": -1, "chroma": 444}, ".avif": {"quality": 100}, ".tiff": {"compression": "tiff_lzw"}}
    image.save(path, exif=exif.tobytes(), **{**quality[path.suffix], **options})
    return path


def write_orientation(path: Path, orientation: int) -> None:
    """Puts an EXIF block that holds nothing but the orientation into a JPEG, PNG or WebP file."""
    write_exif(path, struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, 0x0112, 3, 1, orientation, 0, 0))


def write_exif(path: Path, tiff: bytes) -> Path:
    """Puts an EXIF block into a JPEG, PNG or WebP file."""
    data = path.read_bytes()
    if path.suffix in (".jpg", ".jpeg"):
        block = b"Exif\0\0" + tiff
        data = data[:2] + struct.pack(">HH", 0xFFE1, len(block) + 2) + block + data[2:]
    elif path.suffix == ".png":
        data = data[:33] + png_chunk(b"eXIf", tiff) + data[33:]
    else:
        width, height = _webp_size(data)
        extended = struct.pack("<BxxxHBHB", 0x08, (width - 1) & 0xFFFF, (width - 1) >> 16, (height - 1) & 0xFFFF, 0)
        data = riff(b"WEBP", [(b"VP8X", extended), *riff_chunks(data), (b"EXIF", tiff)])
    path.write_bytes(data)
    return path


def make_hidden(path: Path, *options: str, seconds: float = 0.0) -> Path:
    """A picture, or a film of some seconds, whose left half is red and transparent; the right half is green."""
    red = "lt(X,32)"
    colours = f"r='if({red},255,0)':g='if({red},0,200)':b=0:a='if({red},0,255)'"
    length = ("-t", str(seconds)) if seconds else ("-frames:v", "1")
    ffmpeg("-f", "lavfi", "-i", f"color=s=64x48:r=5,format=rgba,geq={colours}", *length, *options, path)
    return path


def make_animated_webp(path: Path, size: tuple[int, int] = (64, 48), count: int = 3) -> Path:
    """An animated WebP whose first picture is a test card."""
    source = f"testsrc=size={size[0]}x{size[1]}:rate=5"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", str(count), "-c:v", "libwebp_anim", path)
    return path


def make_gif_film(path: Path, seconds: float = 1.2, size: tuple[int, int] = (64, 48), fps: int = 10) -> Path:
    """A GIF that shows a running test card."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size[0]}x{size[1]}:rate={fps}:duration={seconds}", path)
    return path


def png_chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def make_png_header(path: Path, width: int, height: int) -> Path:
    """A PNG whose header promises a picture of any size, followed by next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(bytes(100))), png_chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def make_hls_playlist(path: Path, target: Path) -> Path:
    """An HLS playlist, whatever its name, whose only segment is another local file."""
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\nfile://{target}\n#EXT-X-ENDLIST\n")
    return path


def make_ffconcat_script(path: Path, target: Path) -> Path:
    """An ffconcat script, whatever its name, that joins another local file."""
    path.write_text(f"ffconcat version 1.0\nfile '{target}'\n")
    return path


def make_external_reference_mov(path: Path, target: Path) -> Path:
    """A MOV whose sound lies in `target`, a file beside it: its data reference is a Macintosh alias (QTFF, `dref`)."""
    plain = path.with_stem(path.stem + "-plain")
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:duration=1:sample_rate=16000", "-c:a", "pcm_s16le", plain)
    name = target.name.encode()
    alias = struct.pack(">10xB27x12xB63s16xHH16x", 0, len(name), name, 1, 1)
    full_path = str(target).encode()
    alias += struct.pack(">HH", 2, len(full_path)) + full_path + bytes(len(full_path) % 2) + b"\xff\xff"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    new = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    data = plain.read_bytes()
    plain.unlink()
    at = data.rindex(b"dref") - 4
    (length,) = struct.unpack_from(">I", data, at)
    path.write_bytes(_grow_atoms(data, at, length, new))
    return path


def _grow_atoms(data: bytes, at: int, length: int, new: bytes) -> bytes:
    """Replaces bytes within a MOV and makes the atoms around them as much longer."""
    grown = bytearray(data)
    start = 0
    while start < at:
        size = int.from_bytes(data[start : start + 4], "big")
        if not start <= at < start + size:
            start += size
            continue
        grown[start : start + 4] = (size + len(new) - length).to_bytes(4, "big")
        start += 8
    return bytes(grown[:at]) + new + bytes(grown[at + length :])


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and payloads of the chunks of a RIFF file."""
    chunks, position = [], 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        chunks.append((name, data[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2
    return chunks


def riff(form: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A RIFF file of some form and chunks."""
    body = b"".join(
        struct.pack("<4sI", name, len(payload)) + payload + bytes(len(payload) % 2) for name, payload in chunks
    )
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), form) + body


def _webp_size(data: bytes) -> tuple[int, int]:
    name, payload = riff_chunks(data)[0]
    assert name == b"VP8 ", name
    width, height = struct.unpack_from("<HH", payload, 6)
    return width, height


def tone_frequency(samples: np.ndarray, rate: int = 16_000) -> float:
    """The strongest frequency of a sound, Hz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def make_tracks(path: Path, frequencies: Sequence[float], seconds: float = 2.0, *, names: Sequence[str] = ()) -> Path:
    """Audio tracks, each with a tone, or silent where the frequency is 0; `names`: their titles. The first is the
    default."""
    tones = [f"aevalsrc=0.5*sin(2*PI*{frequency}*t):s=16000:d={seconds}" for frequency in frequencies]
    inputs = [word for tone in tones for word in ("-f", "lavfi", "-i", tone)]
    maps = [word for number in range(len(tones)) for word in ("-map", f"{number}:a")]
    titles = [word for number, name in enumerate(names) for word in (f"-metadata:s:a:{number}", f"title={name}")]
    ffmpeg(*inputs, *maps, *titles, "-c:a", AUDIO_CODECS.get(path.suffix, "libopus"), path)
    return path


def make_jumping_video(
    path: Path, jump: float, *, at: float = 2.0, seconds: float = 4.0, sound: bool = True, fps: float = 10.0
) -> Path:
    """A test card with a tone whose time stamps jump forward by `jump` seconds after `at` seconds."""
    inputs = ["-f", "lavfi", "-i", f"testsrc=size=64x48:rate={fps}:duration={seconds}"]
    inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=16000:duration={seconds}"] if sound else []
    moved = f"PTS+gte(T\\,{at})*{jump}/TB"
    filters = ["-vf", f"setpts={moved}", *(["-af", f"asetpts={moved}"] if sound else [])]
    video_codec, audio_codec = VIDEO_CODECS[path.suffix]
    codecs = ["-c:v", video_codec, *FAST[video_codec], "-pix_fmt", "yuv420p", "-c:a", audio_codec]
    ffmpeg(*inputs, *filters, "-vsync", "passthrough", *codecs, path)
    return path


def tag(kind: str = "id3") -> bytes:
    """A tag of an MP3 file, of 1034 bytes at its start (`id3`) or 128 at its end (`id3v1`)."""
    return b"ID3\x04\0\0\0\0\x08\0" + bytes(1024) if kind == "id3" else b"TAG" + bytes(125)
