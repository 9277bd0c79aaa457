"""How common emotions are in ordinary talk: the prior `natural`.

It is estimated from MELD (Poria et al. 2019): the only corpus at hand that labels all turns of conversations, by what
is seen, heard and said. It is dialogue of a television series, with more emotion than ordinary talk has, so its neutral
share is a low one. The others do not show it: acted voices and collected faces have about as many of each emotion,
GoEmotions has written comments, ISEAR and XED were chosen for emotion, and press photographs are of people who smile
for them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.training.datasets.example import Example
from ml.vocabulary import EMOTIONS

TALK_CORPUS = "meld"
MEASURED = (0.1137, 0.0265, 0.0278, 0.1717, 0.0716, 0.1221, 0.4666)
"""Shares of the emotions in MELD's training and validation parts, in the order of `EMOTIONS`: the prior of a fusion
that is trained on a list, and not on collected data."""


def shares_in_talk(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return the shares of the emotions [7] among labelled turns of conversations."""
    labels = [example.index for example in examples if example.dataset == TALK_CORPUS and example.label]
    counts = np.bincount(labels, minlength=len(EMOTIONS)) + 1.0
    return np.asarray(counts / counts.sum())
