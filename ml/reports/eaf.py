"""ELAN's annotation format, EAF 3.0 (http://www.mpi.nl/tools/elan/EAFv3.0.xsd).

The emotion tiers use a controlled vocabulary, so that ELAN offers the labels when an annotator corrects one. The
confidence of each window is in a dependent tier.
"""

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ml.reports.annotation_tiers import Interval, Tier, annotation_tiers
from ml.reports.report import DISCLAIMER, Report, sanitize
from ml.vocabulary import NO_SIGNAL

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
VOCABULARY = "emotions"
ASSOCIATION = "Symbolic_Association"
UNDETERMINED = "und"

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}")


@dataclass(frozen=True)
class _Annotation:
    """An interval and its id. Its time slots use the same number; they are listed with the document's other slots."""

    id: str
    interval: Interval

    @property
    def edges(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """Time and slot of the start and of the end."""
        return (self.interval.start, f"{self.id}b"), (self.interval.end, f"{self.id}e")


def eaf(report: Report) -> str:
    """Return the document. It refers to the media by file name, to be found in the same folder."""
    tiers = annotation_tiers(report.result)
    numbers = iter(range(1, 1 + sum(len(tier.intervals) for tier in tiers)))
    annotations = {
        tier.name: [_Annotation(f"a{next(numbers)}", interval) for interval in tier.intervals] for tier in tiers
    }
    aligned = [annotation for tier in tiers if tier.parent is None for annotation in annotations[tier.name]]
    language = report.result.transcript.language
    spoken = language if language and _LANGUAGE.fullmatch(language) else UNDETERMINED

    root = _root()
    _header(root, report)
    _time_order(root, aligned)
    for tier in tiers:
        _tier(root, tier, annotations[tier.name], annotations.get(tier.parent or "", ()), spoken)
    _tier_types(root)
    for code in dict.fromkeys([UNDETERMINED, spoken]):
        SubElement(root, "LANGUAGE", LANG_ID=code, LANG_LABEL=code)
    SubElement(root, "CONSTRAINT", STEREOTYPE=ASSOCIATION, DESCRIPTION="1-1 association with a parent annotation")
    _vocabulary(root, [*report.result.labels, NO_SIGNAL])
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
    media_type = mimetypes.guess_type(report.name)[0] or f"{report.result.media.kind}/*"
    url = f"./{quote(report.name)}"
    SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=url, RELATIVE_MEDIA_URL=url, MIME_TYPE=media_type)
    for name, value in (("bundle", report.result.models.bundle), ("disclaimer", DISCLAIMER)):
        SubElement(header, "PROPERTY", NAME=name).text = sanitize(value)


def _time_order(root: Element, annotations: Sequence[_Annotation]) -> None:
    order = SubElement(root, "TIME_ORDER")
    for time, slot in sorted(edge for annotation in annotations for edge in annotation.edges):
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
        for annotation in annotations:
            (_, start), (_, end) = annotation.edges
            _annotation(element, annotation, "ALIGNABLE_ANNOTATION", TIME_SLOT_REF1=start, TIME_SLOT_REF2=end)
    else:
        element.set("PARENT_REF", tier.parent)
        for annotation, parent in zip(annotations, parents, strict=True):
            _annotation(element, annotation, "REF_ANNOTATION", ANNOTATION_REF=parent.id)


def _annotation(tier: Element, annotation: _Annotation, kind: str, **references: str) -> None:
    holder = SubElement(SubElement(tier, "ANNOTATION"), kind, {"ANNOTATION_ID": annotation.id, **references})
    SubElement(holder, "ANNOTATION_VALUE").text = annotation.interval.label


def _tier_types(root: Element) -> None:
    for kind, attributes in {
        "emotion": {"CONTROLLED_VOCABULARY_REF": VOCABULARY},
        "confidence": {"CONSTRAINTS": ASSOCIATION},
        "speech": {},
        "bursts": {},
        "moments": {},
    }.items():
        alignable = "false" if "CONSTRAINTS" in attributes else "true"
        rest = {"GRAPHIC_REFERENCES": "false", "TIME_ALIGNABLE": alignable, **attributes}
        SubElement(root, "LINGUISTIC_TYPE", {"LINGUISTIC_TYPE_ID": kind, **rest})


def _vocabulary(root: Element, labels: Sequence[str]) -> None:
    vocabulary = SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=VOCABULARY)
    for label in labels:
        entry = SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=f"cve_{label.replace(' ', '_')}")
        SubElement(entry, "CVE_VALUE", LANG_REF=UNDETERMINED).text = label
