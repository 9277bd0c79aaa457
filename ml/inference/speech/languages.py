"""Language of each stretch of speech: a few seconds say which it is, its neighbours help, and doubt leaves it open."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

CHANGE_PENALTY = 2.0
"""How much more probable (natural logarithm) another language must be in a stretch of FULL_EVIDENCE_SECONDS than that
of the stretch before, to be a change of language."""
FULL_EVIDENCE_SECONDS = 3.0
"""Seconds from which the evidence of a stretch counts in full."""
MIN_PROBABILITY = 1e-3
"""Probability below which languages are alike improbable."""
CERTAIN_PROBABILITY = 0.8
"""Probability from which a language has no contenders."""
MIN_CONTENDER_PROBABILITY = 0.05
MAX_CONTENDERS = 3
"""Minimum probability, and maximum number, of languages in which one stretch is recognized."""


@dataclass(frozen=True)
class StretchEvidence:
    """Languages by the sound of a stretch: its seconds, and the probability of each language."""

    seconds: float
    probabilities: Mapping[str, float]

    def score(self, language: str) -> float:
        """Return the logarithm of the probability, which counts less in a short stretch."""
        weight = min(self.seconds / FULL_EVIDENCE_SECONDS, 1.0)
        return weight * math.log(max(self.probabilities.get(language, 0.0), MIN_PROBABILITY))


def guess_languages(stretches: Sequence[StretchEvidence], detectable: Collection[str]) -> list[str]:
    """Return the most probable language of each stretch, where each change costs CHANGE_PENALTY (Viterbi).

    A language that is not among the `detectable` is guessed only if it is certain somewhere: doubtful speech in any
    language looks to the recognizer like Latin, Breton or Nynorsk.
    """
    if not stretches:
        return []
    languages = _possible(stretches, detectable)
    totals = {language: stretches[0].score(language) for language in languages}
    origins: list[dict[str, str]] = []
    for stretch in stretches[1:]:
        best = _best(totals)
        origin = {
            language: language if totals[language] >= totals[best] - CHANGE_PENALTY else best for language in languages
        }
        totals = {
            language: totals[origin[language]]
            - CHANGE_PENALTY * (origin[language] != language)
            + stretch.score(language)
            for language in languages
        }
        origins.append(origin)
    path = [_best(totals)]
    for origin in reversed(origins):
        path.append(origin[path[-1]])
    return path[::-1]


def mean_probability(language: str, stretches: Sequence[StretchEvidence]) -> float:
    """Return the mean probability of a language over the seconds of some stretches, 0..1."""
    seconds = sum(stretch.seconds for stretch in stretches)
    return sum(stretch.seconds * stretch.probabilities.get(language, 0.0) for stretch in stretches) / seconds


def contenders(
    language: str, stretches: Sequence[StretchEvidence], detectable: Collection[str]
) -> list[tuple[str, float]]:
    """Return the languages in which stretches that were taken for `language` are recognized, with their probabilities.

    It stands alone if it is probable. Otherwise the words decide between it and the most probable `detectable` ones.
    """
    confidence = mean_probability(language, stretches)
    if confidence >= CERTAIN_PROBABILITY:
        return [(language, confidence)]
    means = [(other, mean_probability(other, stretches)) for other in sorted(detectable)]
    likely = sorted((each for each in means if each[1] >= MIN_CONTENDER_PROBABILITY), key=lambda each: -each[1])
    return likely[:MAX_CONTENDERS] or [(language, confidence)]


def _possible(stretches: Sequence[StretchEvidence], detectable: Collection[str]) -> list[str]:
    heard = {language for stretch in stretches for language in stretch.probabilities}
    certain = {
        language
        for stretch in stretches
        for language, probability in stretch.probabilities.items()
        if probability >= CERTAIN_PROBABILITY
    }
    return sorted(heard & ({*detectable} | certain) or heard)


def _best(totals: Mapping[str, float]) -> str:
    return max(sorted(totals), key=totals.__getitem__)
