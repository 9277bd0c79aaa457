"""Reader of TTML captions (W3C Timed Text Markup Language 2): DFXP, EBU-TT-D, IMSC and iTT.

The document is parsed in one pass by expat, whose memory does not grow with the depth of a document. A document type,
and with it every entity, is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError, ParserCreate

from ml.reports.caption_encoding import unsupported

MAX_DEPTH = 64
"""Maximum depth of elements."""
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9})|:(\d{1,4}(?:\.\d{1,3})?))?")
_OFFSET = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(h|ms|m|s|f|t)")
_SPACE = re.compile(r"\s+")

TimedText = tuple[float, float | None, str]
"""Start and end (seconds; None: unknown), and text with a line break between lines."""


@dataclass
class _Element:
    """An open element. `start`, `end`: seconds; `text`: of a paragraph or span with times, else None."""

    name: str
    start: float
    end: float | None
    text: list[str] | None = None


@dataclass
class _Reader:
    captions: list[TimedText] = field(default_factory=list)
    open: list[_Element] = field(default_factory=list)
    frame_rate: float = 30.0
    tick_rate: float = 1.0

    def on_start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if len(self.open) >= MAX_DEPTH or (not self.open and name != "tt"):
            raise unsupported(f"XML of another kind than TTML ({name[:20]})" if not self.open else "XML of great depth")
        values = {_local(key): value for key, value in attributes.items()}
        if not self.open:
            self._set_rates(values)
        parent = self.open[-1] if self.open else _Element("", 0.0, None)
        begin, end, length = (self._time(values.get(key, "")) for key in ("begin", "end", "dur"))
        start = parent.start + (begin or 0.0)
        stops = [parent.end, parent.start + end if end is not None else None]
        stops.append(start + length if length is not None else None)
        known = [stop for stop in stops if stop is not None]
        has_text = name == "p" or (name == "span" and begin is not None)
        self.open.append(_Element(name, start, max(start, min(known)) if known else None, [] if has_text else None))
        if name == "br":
            self._add("\n")

    def on_end(self, tag: str) -> None:
        element = self.open.pop()
        if element.text and (text := "".join(element.text)).strip():
            self.captions.append((element.start, element.end, text))

    def on_text(self, data: str) -> None:
        self._add(_SPACE.sub(" ", data))

    def _add(self, text: str) -> None:
        """Add text to the innermost paragraph or timed span. Text of metadata, and outside of paragraphs, is no
        speech."""
        if any(element.name == "metadata" for element in self.open):
            return
        target = next((element.text for element in reversed(self.open) if element.text is not None), None)
        if target is not None:
            target.append(text)

    def _set_rates(self, values: Mapping[str, str]) -> None:
        rate, factor = _number(values.get("frameRate", "")), values.get("frameRateMultiplier", "").split()
        self.frame_rate = rate or 30.0
        if len(factor) == 2 and (top := _number(factor[0])) and (bottom := _number(factor[1])):
            self.frame_rate *= top / bottom
        self.tick_rate = _number(values.get("tickRate", "")) or (self.frame_rate if rate else 1.0)

    def _time(self, text: str) -> float | None:
        """Return a clock time or an offset in seconds; None if it is neither."""
        if clock := _CLOCK.fullmatch(text.strip()):
            hours, minutes, seconds, fraction, frames = (part or "0" for part in clock.groups())
            whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
            return whole + float(f"0.{fraction}") + float(frames) / self.frame_rate
        if offset := _OFFSET.fullmatch(text.strip()):
            unit = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "f": 1 / self.frame_rate, "t": 1 / self.tick_rate}
            return float(offset[1]) * unit[offset[2]]
        return None


def read_ttml(text: str) -> list[TimedText]:
    """Return the timed paragraphs and spans. Raises UnsupportedTranscript for damaged XML, or XML of another kind."""
    reader, parser = _Reader(), ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = reader.on_start, reader.on_end
    parser.CharacterDataHandler = reader.on_text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.buffer_text = True
    try:
        parser.Parse(text.strip().encode("utf-8", "ignore"), True)
    except (ExpatError, ValueError) as error:
        raise unsupported("damaged XML") from error
    return reader.captions


def _refuse_document_type(*_: object) -> None:
    raise unsupported("XML with a document type")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _number(text: str) -> float | None:
    """Return a positive number, or None."""
    return float(text) if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text) and float(text) > 0 else None
