"""Praat's TextGrid, in its long text form: the tiers of a result, moments as points."""

from collections.abc import Iterator

from ml.reports.annotation_tiers import Tier, duration_of, tiers_of
from ml.reports.report import Report


def textgrid(report: Report) -> str:
    """The file, in UTF-8. Times are seconds; where a tier tells nothing its interval is blank. An image is one blank
    millisecond, since Praat knows no shorter time."""
    tiers = tiers_of(report.result)
    until = _seconds(duration_of(report.result, tiers))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {until}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, tier in enumerate(tiers, 1):
        points = tier.kind == "moments"
        lines.append(f"    item [{number}]:")
        kind = "TextTier" if points else "IntervalTier"
        head = [f'class = "{kind}"', f"name = {_quoted(tier.name)}", "xmin = 0", f"xmax = {until}"]
        lines += [f"        {line}" for line in (*head, *(_points(tier) if points else _intervals(tier, until)))]
    return "\n".join(lines) + "\n"


def _intervals(tier: Tier, until: str) -> Iterator[str]:
    """The spans, and blanks between them: an interval tier has no gaps."""
    spans = list(_filled(tier, until))
    yield f"intervals: size = {len(spans)}"
    for number, (begin, end, label) in enumerate(spans, 1):
        yield f"intervals [{number}]:"
        yield from (f"    xmin = {begin}", f"    xmax = {end}", f"    text = {_quoted(label)}")


def _filled(tier: Tier, until: str) -> Iterator[tuple[str, str, str]]:
    last = _seconds(0)
    for span in tier.spans:
        begin, end = _seconds(span.start), _seconds(span.end)
        if begin != last:
            yield last, begin, ""
        yield begin, end, span.label
        last = end
    if last != until:
        yield last, until, ""


def _points(tier: Tier) -> Iterator[str]:
    yield f"points: size = {len(tier.spans)}"
    for number, span in enumerate(tier.spans, 1):
        yield f"points [{number}]:"
        yield from (f"    number = {_seconds(span.start)}", f"    mark = {_quoted(span.label)}")


def _seconds(time: int) -> str:
    """Milliseconds → seconds, as Praat reads them."""
    return f"{time / 1000:.3f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
