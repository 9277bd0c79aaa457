"""Model card of a published model."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml.registry import ModelDescription


def card(description: ModelDescription, *, title: str, summary: str, use: str, limits: Sequence[str]) -> str:
    """Return Markdown with the use of the model, its figures, data, licence and limits.

    `description.metrics` maps a data set to the JSON of its figures; other entries are left out.
    """
    measured = {name: figures for name, figures in description.metrics.items() if _is_figures(figures)}
    figures = [
        "Measured through the serving code on data not trained on; in brackets the 95 % bootstrap interval.",
        _table(measured),
        *_correlations(description.metrics),
    ]
    return card_document(description, title=title, summary=summary, use=use, figures=figures, limits=limits)


def card_document(
    description: ModelDescription,
    *,
    title: str,
    summary: str,
    use: str,
    figures: Sequence[str],
    limits: Sequence[str],
    teacher: str | None = None,
) -> str:
    """Return Markdown in the order of all model cards.

    `figures`: paragraphs; `teacher`: source of the labels, if people did not give them.
    """
    parts = [
        f"# {title}",
        summary,
        "## Use",
        use,
        "## Figures",
        *figures,
        "## Trained on",
        "\n".join(f"- {name}" for name in description.data),
        *([teacher] if teacher else []),
        *(["## Started from", "\n".join(f"- {name}" for name in description.starts)] if description.starts else []),
        f"Command: `{description.command}`",
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## Licence",
        f"{description.licence.name}. {description.licence.note}",
    ]
    return "\n\n".join(parts) + "\n"


def _correlations(metrics: Mapping[str, Any]) -> list[str]:
    """Return a paragraph for each data set with correlations, whose names end in `_r`."""
    paragraphs = []
    for name, figures in metrics.items():
        if not isinstance(figures, Mapping):
            continue
        named = {key.removesuffix("_r"): value for key, value in figures.items() if key.endswith("_r")}
        if named:
            values = ", ".join(f"{key} {value:.3f}" for key, value in named.items())
            paragraphs.append(f"Correlation (Pearson) with the ratings of {name}, {figures['n']:,} examples: {values}.")
    return paragraphs


def _is_figures(value: Any) -> bool:
    return isinstance(value, Mapping) and {"n", "accuracy", "uar", "intervals"} <= value.keys()


def _table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    has_sets = any("labels_90" in figures for figures in measured.values())
    columns = ["Data", "n", "Accuracy", "Macro-F1", "UAR", "ECE", *(["Coverage of labels_90"] if has_sets else [])]
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name, figures in measured.items():
        cells = [f"{figures['n']:,}", *(_cell(figures, key) for key in ("accuracy", "macro_f1", "uar", "ece"))]
        if has_sets:
            sets = figures.get("labels_90")
            cells.append(f"{sets['coverage']:.3f}, {sets['size']:.2f} labels" if sets else "–")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(figures: Mapping[str, Any], key: str) -> str:
    low, high = figures["intervals"][key]
    return f"{figures[key]:.3f} [{low:.3f}–{high:.3f}]"
