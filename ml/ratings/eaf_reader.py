"""Reader of ELAN's annotation format (EAF 2 and 3), as ELAN, pympi and other tools write it.

Expat reads the document in one pass. A document type, with it every entity, is refused. Slots without a time are
placed evenly between their neighbours, as ELAN shows them; dependent annotations have the time of their parent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError, ParserCreate

from ml.errors import InvalidRatings, UnsupportedRatings
from ml.ratings.interval import Annotation

MAX_DEPTH = 16
MAX_SLOTS = 200_000
MAX_PARENTS = 16
"""Maximum number of annotations, each of which depends on the next."""


@dataclass
class _Tier:
    name: str
    rater: str
    person: str


@dataclass
class _Item:
    """An annotation. `edges`: its slots, or None if it depends on `parent`."""

    tier: _Tier
    parent: str
    edges: tuple[str, str] | None
    text: list[str] = field(default_factory=list)


@dataclass
class _Document:
    depth: int = 0
    units_a_second: int = 1000
    slots: dict[str, float | None] = field(default_factory=dict)
    items: dict[str, _Item] = field(default_factory=dict)
    tier: _Tier = field(default_factory=lambda: _Tier("", "", ""))
    item: _Item | None = None
    is_value: bool = False

    def on_start(self, tag: str, values: Mapping[str, str]) -> None:
        if self.depth == 0 and tag != "ANNOTATION_DOCUMENT":
            raise UnsupportedRatings("The file is XML of another kind than ELAN's.")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InvalidRatings("The document is too deep.")
        if tag == "HEADER" and values.get("TIME_UNITS") not in (None, "", "milliseconds"):
            raise InvalidRatings("Times must be in milliseconds.")
        if tag == "TIME_SLOT":
            self._add_slot(values)
        elif tag == "TIER":
            name = values.get("TIER_ID", "")
            self.tier = _Tier(name, values.get("ANNOTATOR", ""), values.get("PARTICIPANT", ""))
        elif tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            edges = (values.get("TIME_SLOT_REF1", ""), values.get("TIME_SLOT_REF2", ""))
            self.item = _Item(
                self.tier, values.get("ANNOTATION_REF", ""), edges if tag == "ALIGNABLE_ANNOTATION" else None
            )
            self.items[values.get("ANNOTATION_ID", f"#{len(self.items)}")] = self.item
        self.is_value = tag == "ANNOTATION_VALUE"

    def on_end(self, tag: str) -> None:
        self.depth -= 1
        self.is_value = False

    def on_text(self, data: str) -> None:
        if self.is_value and self.item is not None:
            self.item.text.append(data)

    def _add_slot(self, values: Mapping[str, str]) -> None:
        if len(self.slots) >= MAX_SLOTS:
            raise InvalidRatings(f"The document has more than {MAX_SLOTS} times.")
        value = values.get("TIME_VALUE")
        if value is not None and not (value.isascii() and value.isdigit() and len(value) < 12):
            raise InvalidRatings("A time of the document is no number.")
        self.slots[values.get("TIME_SLOT_ID", "")] = int(value) / self.units_a_second if value is not None else None


def read_eaf(text: str) -> Iterator[Annotation]:
    """Yield the annotations of a document, tier by tier. Raises InvalidRatings, UnsupportedRatings."""
    document = _Document()
    parser = ParserCreate()
    parser.StartElementHandler = document.on_start
    parser.EndElementHandler = document.on_end
    parser.CharacterDataHandler = document.on_text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(text.encode(), True)
    except ExpatError as error:
        raise InvalidRatings("The document is no well-formed XML.") from error
    times = dict(_placed(list(document.slots.items())))
    for item in document.items.values():
        aligned = _aligned(document.items, item)
        if aligned is None or aligned.edges is None:
            raise InvalidRatings("An annotation depends on one that the document lacks.")
        start, end = (times.get(slot) for slot in aligned.edges)
        if start is None or end is None or end < start:
            raise InvalidRatings("An annotation has no time.")
        yield Annotation(
            item.tier.name, start, end, "".join(item.text).strip(), item.tier.rater.strip(), item.tier.person.strip()
        )


def _refuse_document_type(*_: object) -> None:
    raise InvalidRatings("A document with a document type is not read.")


def _aligned(items: Mapping[str, _Item], item: _Item) -> _Item | None:
    """Return the annotation with times on which this one depends, or itself; None if it depends on nothing known."""
    found: _Item | None = item
    for _ in range(MAX_PARENTS):
        if found is None or found.edges is not None:
            return found
        found = items.get(found.parent)
    return None


def _placed(slots: list[tuple[str, float | None]]) -> Iterator[tuple[str, float]]:
    """Yield the slots with their times. Those without are placed evenly between the ones around them."""
    waiting: list[str] = []
    last = 0.0
    for slot, time in slots:
        if time is None:
            waiting.append(slot)
            continue
        step = (time - last) / (len(waiting) + 1)
        yield from ((name, last + step * number) for number, name in enumerate(waiting, 1))
        yield slot, time
        waiting, last = [], time
    yield from ((name, last) for name in waiting)
