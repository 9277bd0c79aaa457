"""ELAN's annotation format, EAF 3.0 (http://www.mpi.nl/tools/elan/EAFv3.0.xsd).

The emotion tiers draw on a controlled vocabulary, so that ELAN offers the labels where an annotator corrects one; the
confidence of each window is a tier below its own.
"""

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ml.reports.annotation_tiers import NONE, Span, Tier, tiers_of
from ml.reports.report import DISCLAIMER, Report, plain

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
VOCABULARY = "emotions"
ASSOCIATION = "Symbolic_Association"
UNDETERMINED = "und"

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}")


@dataclass(frozen=True)
class _Annotation:
    """A span and its id. Its time slots have the same number: they are given with the document's other slots."""

    id: str
    span: Span

    @property
    def edges(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """Time and slot of the begin and of the end."""
        return (self.span.start, f"{self.id}b"), (self.span.end, f"{self.id}e")


def eaf(report: Report) -> str:
    """The document. It names the media by its file name, to be found beside it."""
    tiers = tiers_of(report.result)
    numbers = iter(range(1, 1 + sum(len(tier.spans) for tier in tiers)))
    annotations = {tier.name: [_Annotation(f"a{next(numbers)}", span) for span in tier.spans] for tier in tiers}
    aligned = [one for tier in tiers if tier.parent is None for one in annotations[tier.name]]
    language = report.result.transcript.language
    spoken = language if language and _LANGUAGE.fullmatch(language) else UNDETERMINED

    root = _root()
    _header(root, report)
    _time_order(root, aligned)
    for tier in tiers:
        _tier(root, tier, annotations[tier.name], annotations.get(tier.parent or "", ()), spoken)
    _types(root)
    for code in dict.fromkeys([UNDETERMINED, spoken]):
        SubElement(root, "LANGUAGE", LANG_ID=code, LANG_LABEL=code)
    SubElement(root, "CONSTRAINT", STEREOTYPE=ASSOCIATION, DESCRIPTION="1-1 association with a parent annotation")
    _vocabulary(root, [*report.result.labels, NONE])
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _root() -> Element:
    return Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "Affect",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )


def _header(root: Element, report: Report) -> None:
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    kind = mimetypes.guess_type(report.name)[0] or f"{report.result.media.kind}/*"
    place = f"./{quote(report.name)}"
    SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=place, RELATIVE_MEDIA_URL=place, MIME_TYPE=kind)
    for name, value in (("bundle", report.result.models.bundle), ("reading", DISCLAIMER)):
        SubElement(header, "PROPERTY", NAME=name).text = plain(value)


def _time_order(root: Element, annotations: Sequence[_Annotation]) -> None:
    order = SubElement(root, "TIME_ORDER")
    for time, slot in sorted(edge for one in annotations for edge in one.edges):
        SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))


def _tier(
    root: Element, tier: Tier, annotations: Sequence[_Annotation], parents: Sequence[_Annotation], spoken: str
) -> None:
    element = SubElement(root, "TIER", TIER_ID=tier.name, LINGUISTIC_TYPE_REF=tier.kind)
    if tier.participant:
        element.set("PARTICIPANT", tier.participant)
    if tier.kind == "speech":
        element.set("LANG_REF", spoken)
    if tier.parent is None:
        for one in annotations:
            (_, begin), (_, end) = one.edges
            _annotation(element, one, "ALIGNABLE_ANNOTATION", TIME_SLOT_REF1=begin, TIME_SLOT_REF2=end)
    else:
        element.set("PARENT_REF", tier.parent)
        for one, parent in zip(annotations, parents, strict=True):
            _annotation(element, one, "REF_ANNOTATION", ANNOTATION_REF=parent.id)


def _annotation(tier: Element, annotation: _Annotation, kind: str, **references: str) -> None:
    holder = SubElement(SubElement(tier, "ANNOTATION"), kind, {"ANNOTATION_ID": annotation.id, **references})
    SubElement(holder, "ANNOTATION_VALUE").text = annotation.span.label


def _types(root: Element) -> None:
    """The kinds of tiers."""
    for kind, more in {
        "emotion": {"CONTROLLED_VOCABULARY_REF": VOCABULARY},
        "confidence": {"CONSTRAINTS": ASSOCIATION},
        "speech": {},
        "moments": {},
    }.items():
        alignable = "false" if "CONSTRAINTS" in more else "true"
        rest = {"GRAPHIC_REFERENCES": "false", "TIME_ALIGNABLE": alignable, **more}
        SubElement(root, "LINGUISTIC_TYPE", {"LINGUISTIC_TYPE_ID": kind, **rest})


def _vocabulary(root: Element, labels: Sequence[str]) -> None:
    vocabulary = SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=VOCABULARY)
    for label in labels:
        entry = SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=f"cve_{label}")
        SubElement(entry, "CVE_VALUE", LANG_REF=UNDETERMINED).text = label
