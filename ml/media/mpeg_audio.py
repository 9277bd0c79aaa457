"""Frames of MPEG audio files (MP3), walked from header to header: what ffmpeg cannot decode, and whether it matters.

ffmpeg reports an error for the tags between files that were joined, as it does for damage.
"""

import mmap
import re
from pathlib import Path

MAX_JUNK_BYTES = 1441
"""Bytes between two frames that are not worth a notice: the longest frame, of which a cut may leave a part."""
_BIT_RATES = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits per second of layer III, by version; index 1 to 14 of the header."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples per second by the version bits of the header."""
_LOST_FRAME = re.compile(
    r"\[\w+ @ 0x[0-9a-f]+\] Header missing"
    r"|Error while decoding stream #\d+:\d+: Invalid data found when processing input"
    r"|\[mp3 @ 0x[0-9a-f]+\] (invalid concatenated file detected|Estimating duration).*"
    r"|\s*Last message repeated \d+ times"
)


def lost_frames_only(errors: str) -> bool:
    """Return whether ffmpeg's messages report nothing but frames without a header, as tags are."""
    return all(_LOST_FRAME.fullmatch(line) for line in errors.splitlines() if line.strip())


def has_damage(path: Path) -> bool:
    """Return whether an MP3 file holds anything but frames, tags, and at most `MAX_JUNK_BYTES` between two of them."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position, junk = 0, 0
        while position < len(data):
            length = _frame_length(data, position) or _tag_length(data, position)
            if length:
                position, junk = position + length, 0
                continue
            following = _next_frame(data, position + 1)
            junk += following - position
            if junk > MAX_JUNK_BYTES:
                return True
            position = following
    return False


def _frame_length(data: mmap.mmap, position: int) -> int:
    """Return the bytes of the frame of layer III at a position; 0 for anything else."""
    header = data[position : position + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bit_rate, rate, padding = (
        header[1] >> 3 & 3,
        header[2] >> 4,
        header[2] >> 2 & 3,
        header[2] >> 1 & 1,
    )
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    is_first = version == 3
    kilobits = _BIT_RATES[1 if is_first else 2][bit_rate - 1]
    return (144 if is_first else 72) * kilobits * 1000 // _RATES[version][rate] + padding


def _tag_length(data: mmap.mmap, position: int) -> int:
    """Return the bytes of the ID3 or APE tag at a position; 0 for anything else."""
    head = data[position : position + 32]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + 10 * bool(head[5] & 0x10)
    if head[:4] == b"TAG+":
        return 227
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, has_header = int.from_bytes(head[12:16], "little"), head[23] & 0x20
        return 32 + size if has_header else 32
    return 0


def _next_frame(data: mmap.mmap, position: int) -> int:
    """Return the next position at which a frame or a tag follows that is followed by another, or the end of the data.

    Only the next few kilobytes are searched: more than that is damage anyway.
    """
    end = min(len(data), position + 4 * MAX_JUNK_BYTES)
    while position < end:
        position = data.find(b"\xff", position, end)
        if position < 0:
            return end
        if length := _frame_length(data, position):
            after = position + length
            if after >= len(data) or _frame_length(data, after) or _tag_length(data, after):
                return position
        position += 1
    return end
