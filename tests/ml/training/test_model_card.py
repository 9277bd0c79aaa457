"""The model card."""

import numpy as np

from ml.registry import Licence, ModelDescription
from ml.training.metrics import measure
from ml.training.model_card import card


def test_card_names_figures_data_licence_and_limits() -> None:
    figures = measure(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), ("a", "b")).json()
    draft = ModelDescription(
        name="toy",
        architecture="toy",
        config={},
        labels=("a", "b"),
        preprocessing={},
        metrics={"made": figures, "note": "no figures"},
        data=("made data",),
        starts=("a pretrained start, MIT",),
        command="python -m ml train toy",
        licence=Licence(name="Research only", commercial=False, note="The made data forbids more."),
    )
    text = card(draft, title="Toy", summary="A toy.", use="For tests.", limits=["Knows nothing."])
    assert text.startswith("# Toy\n\nA toy.\n")
    assert "| made | 2 | 1.000 [1.000–1.000] |" in text
    assert "no figures" not in text
    for part in ("- made data", "- a pretrained start, MIT", "`python -m ml train toy`", "- Knows nothing."):
        assert part in text
    assert "Research only. The made data forbids more." in text
