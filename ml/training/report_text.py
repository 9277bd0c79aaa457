"""Reports of an evaluation as text."""

from collections.abc import Mapping, Sequence

from ml.training.evaluation import EvaluationReport
from ml.training.metrics import FIGURES, ClassificationMetrics
from ml.training.pipeline_report import PipelineReport

GROUP_FIGURES = ("accuracy", "macro_f1", "uar", "ece")
"""Figures that are printed of a group."""


def readable(report: EvaluationReport) -> str:
    """Return the figures with their intervals, those of the groups, and the confusion matrix, as text."""
    metrics = report.whole
    splits = "".join(f", {name} {count:,}" for name, count in report.splits.items())
    lines = [f"n {metrics.n:,}, skipped {metrics.skipped:,}" + splits, *_figures(metrics)]
    for part, groups in report.parts.items():
        lines += ["", _line(part, "n", GROUP_FIGURES)]
        lines += [
            _line(f"  {name}", f"{own.n:,}", [_cell(own, key) for key in GROUP_FIGURES]) for name, own in groups.items()
        ]
    if report.languages:
        means = [f"{report.mean_of_languages[key]:.3f}" for key in GROUP_FIGURES]
        lines.append(_line("  mean of them", f"{len(report.languages)}", means))
    lines += _recalls(report.corpora)
    if report.sets:
        lines += ["", "labels_90", *(f"  {name:16} {own.line()}" for name, own in report.sets.items())]
    if report.composed:
        lines += ["", *report.composed.lines()]
    return "\n".join([*lines, *_confusion(metrics)])


def readable_pipeline(report: PipelineReport) -> str:
    """Return the figures of labelled rows, and the shares of windows, as text."""
    metrics = report.metrics
    if metrics is None:
        return "\n".join([f"skipped {report.skipped:,}", *report.lines()])
    lines = [f"n {metrics.n:,}, skipped {metrics.skipped:,}", *_figures(metrics)]
    return "\n".join([*lines, *_confusion(metrics), *report.lines()])


def _figures(metrics: ClassificationMetrics) -> list[str]:
    return [
        f"{name:11} {getattr(metrics, name):.4f}   95 % {low:.4f} – {high:.4f}"
        for name in FIGURES
        for low, high in [metrics.intervals[name]]
    ]


def _recalls(corpora: Mapping[str, ClassificationMetrics]) -> list[str]:
    """Return, for each corpus, the share of each label that is read as that label, and the number of its rows."""
    lines = ["", "recall by label"] if corpora else []
    for name, own in corpora.items():
        recalls = [
            f"{label} {row[place] / sum(row):.3f} ({sum(row):,})"
            for place, (label, row) in enumerate(zip(own.labels, own.confusion, strict=True))
            if any(row)
        ]
        lines.append(f"  {name:16} " + ", ".join(recalls))
    return lines


def _confusion(metrics: ClassificationMetrics) -> list[str]:
    width = max(map(len, metrics.labels)) + 2
    lines = ["", "truth ↓ predicted →".ljust(width * 2) + "".join(label.rjust(width) for label in metrics.labels)]
    for label, row in zip(metrics.labels, metrics.confusion, strict=True):
        lines.append(label.ljust(width * 2) + "".join(str(count).rjust(width) for count in row))
    return lines


def _line(name: str, count: str, cells: Sequence[str]) -> str:
    return f"{name:18} {count:>7}" + "".join(f"   {cell:19}" for cell in cells).rstrip()


def _cell(metrics: ClassificationMetrics, figure: str) -> str:
    low, high = metrics.intervals[figure]
    return f"{getattr(metrics, figure):.3f} [{low:.3f}–{high:.3f}]"
