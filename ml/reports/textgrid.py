"""Praat's TextGrid in its long text form: the annotation tiers of a result, with moments as points."""

from collections.abc import Iterator

from ml.reports.annotation_tiers import Tier, annotation_tiers, duration_ms
from ml.reports.report import Report


def textgrid(report: Report) -> str:
    """Return the file's text, to be written as UTF-8. Times are seconds.

    Praat's interval tiers have no gaps, so the time between intervals is filled with blank ones. An image is one blank
    millisecond, the shortest duration that Praat accepts.
    """
    tiers = annotation_tiers(report.result)
    end = _seconds(duration_ms(report.result, tiers))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, tier in enumerate(tiers, 1):
        points = tier.kind == "moments"
        lines.append(f"    item [{number}]:")
        kind = "TextTier" if points else "IntervalTier"
        head = [f'class = "{kind}"', f"name = {_quoted(tier.name)}", "xmin = 0", f"xmax = {end}"]
        lines += [f"        {line}" for line in (*head, *(_points(tier) if points else _intervals(tier, end)))]
    return "\n".join(lines) + "\n"


def _intervals(tier: Tier, end: str) -> Iterator[str]:
    intervals = list(_without_gaps(tier, end))
    yield f"intervals: size = {len(intervals)}"
    for number, (start, stop, label) in enumerate(intervals, 1):
        yield f"intervals [{number}]:"
        yield from (f"    xmin = {start}", f"    xmax = {stop}", f"    text = {_quoted(label)}")


def _without_gaps(tier: Tier, end: str) -> Iterator[tuple[str, str, str]]:
    last = _seconds(0)
    for interval in tier.intervals:
        start, stop = _seconds(interval.start), _seconds(interval.end)
        if start != last:
            yield last, start, ""
        yield start, stop, interval.label
        last = stop
    if last != end:
        yield last, end, ""


def _points(tier: Tier) -> Iterator[str]:
    yield f"points: size = {len(tier.intervals)}"
    for number, interval in enumerate(tier.intervals, 1):
        yield f"points [{number}]:"
        yield from (f"    number = {_seconds(interval.start)}", f"    mark = {_quoted(interval.label)}")


def _seconds(time: int) -> str:
    """Convert milliseconds to seconds in Praat's notation."""
    return f"{time / 1000:.3f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
