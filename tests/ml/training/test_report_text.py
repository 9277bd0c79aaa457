import numpy as np

from ml.training.evaluation import EvaluationReport
from ml.training.metrics import measure
from ml.training.report_text import readable
from ml.vocabulary import EMOTIONS


def test_readable_report_has_the_recall_of_each_label_by_corpus() -> None:
    targets = np.array([EMOTIONS.index("neutral")] * 4 + [EMOTIONS.index("happy")])
    read = np.eye(len(EMOTIONS))[[6, 6, 6, 0, 3]]
    figures = measure(read, targets, EMOTIONS, resamples=10)
    lines = readable(EvaluationReport(figures, corpora={"lfw": figures, "other": figures})).splitlines()
    (line,) = (each for each in lines if each.startswith("  lfw") and "neutral" in each)
    assert "neutral 0.750 (4)" in line and "happy 1.000 (1)" in line and "sad" not in line
