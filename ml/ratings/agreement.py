"""Agreement of the raters of a result, with each other and with the model.

`ml.ratings.units` says what is compared.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations

from pydantic import Field

from ml.ratings.rating import MODEL, Rating
from ml.ratings.statistics import (
    Estimate,
    Sums,
    cohen_kappa,
    coincidences,
    estimate,
    fleiss_kappa,
    fleiss_sums,
    krippendorff_alpha,
    one_against_rest,
    total_of,
)
from ml.ratings.units import RatedUnit, rated_units
from ml.results import FrozenModel, PersonNumber, Result

DEFAULT_STEP_SECONDS = 1.0
MAX_STEPS = 20_000
"""Maximum number of steps of the media; a shorter step is lengthened."""
MAX_BLOCKS = 40
MIN_BLOCK_SECONDS = 10.0
"""Maximum number of the blocks of time that the intervals are drawn from, and minimum seconds of a block."""
MAJORITY = "majority"
"""Name of the label that most raters give, if one label has more of them than any other."""


class AgreementFigure(FrozenModel):
    """A statistic. 1: as one, 0: as by chance, below: less than that."""

    value: float | None = Field(description="Null if it is undefined, as with a single label.")
    interval: tuple[float, float] | None = Field(
        description="95 % interval, by a bootstrap over blocks of time; null if the ratings are too few."
    )

    @classmethod
    def of(cls, estimate: Estimate) -> "AgreementFigure":
        return cls(value=estimate.value, interval=estimate.interval)


class EmotionAgreement(FrozenModel):
    """Agreement on one emotion against all others."""

    emotion: str
    units: int = Field(description="Units to which at least one rater gives it.")
    krippendorff_alpha: AgreementFigure


class PairAgreement(FrozenModel):
    """Agreement of two raters, or of a rater with the model."""

    first: str
    second: str
    units: int = Field(description="Units that both rated.")
    agreement: float | None = Field(description="Share of the units with the same label; null without units.")
    cohen_kappa: AgreementFigure
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Number of units: a row for each label of `first`, a column for each of `second`."
    )


class Agreement(FrozenModel):
    """Agreement over the units of the whole, or of one person."""

    person: PersonNumber | None = Field(description="Person of the units; null for all together.")
    units: int = Field(description="Units that at least one rater rated.")
    shared_units: int = Field(description="Units that at least two raters rated.")
    fleiss_kappa: AgreementFigure = Field(description="Over the units that all raters rated.")
    krippendorff_alpha: AgreementFigure = Field(description="Over the units that at least two raters rated.")
    emotions: tuple[EmotionAgreement, ...]
    pairs: tuple[PairAgreement, ...] = Field(description="Each two raters.")
    model: tuple[PairAgreement, ...] = Field(
        description="Each rater, and with several raters their majority, with the model as the second."
    )


class AgreementReport(FrozenModel):
    """Agreement of the raters of a job."""

    step: float = Field(description="Seconds of a unit of time.")
    labels: tuple[str, ...]
    raters: tuple[str, ...]
    overall: Agreement
    people: tuple[Agreement, ...] = Field(description="One for each person with ratings.")


def agreement_report(result: Result, ratings: Sequence[Rating], step: float = DEFAULT_STEP_SECONDS) -> AgreementReport:
    """Return how far raters and model agree. Ratings whose emotion is not a label of the result count as missing."""
    rated = [rating for rating in ratings if rating.emotion in result.labels]
    duration = result.media.duration or max((rating.end or rating.start for rating in rated), default=0.0)
    step = max(step, duration / MAX_STEPS)
    raters = tuple(sorted({rating.rater for rating in rated}))
    units = rated_units(result, rated, step, duration)
    block_seconds = max(MIN_BLOCK_SECONDS, duration / MAX_BLOCKS)
    people = sorted({unit.person for unit in units if unit.person is not None})

    def about(person: int | None, own: Sequence[RatedUnit]) -> Agreement:
        return _agreement(person, own, raters, result.labels, block_seconds)

    return AgreementReport(
        step=step,
        labels=result.labels,
        raters=raters,
        overall=about(None, units),
        people=tuple(about(person, [unit for unit in units if unit.person == person]) for person in people),
    )


def _agreement(
    person: int | None, units: Sequence[RatedUnit], raters: Sequence[str], labels: Sequence[str], block_seconds: float
) -> Agreement:
    by_block: defaultdict[int, list[RatedUnit]] = defaultdict(list)
    for unit in units:
        by_block[int(unit.time // block_seconds)].append(unit)

    def blocks(sums_of: Callable[[RatedUnit], Sums]) -> list[Sums]:
        return [total_of([sums_of(unit) for unit in block]) for block in by_block.values()]

    own = [rater for rater in raters if any(rater in unit.labels for unit in units)]
    coincident = blocks(lambda unit: coincidences(list(unit.labels.values())))
    complete = blocks(lambda unit: fleiss_sums(list(unit.labels.values())) if len(unit.labels) == len(own) >= 2 else {})

    def emotion_agreement(emotion: str) -> EmotionAgreement:
        collapsed = [one_against_rest(sums, emotion) for sums in coincident]
        return EmotionAgreement(
            emotion=emotion,
            units=sum(emotion in unit.labels.values() for unit in units),
            krippendorff_alpha=AgreementFigure.of(estimate(collapsed, krippendorff_alpha)),
        )

    def pair(first: str, second: str, labels_of: Callable[[RatedUnit], tuple[str | None, str | None]]) -> PairAgreement:
        pairs = [Counter(map(labels_of, block)) for block in by_block.values()]
        known = [{pair: count for pair, count in block.items() if None not in pair} for block in pairs]
        return _pair(first, second, known, labels)

    with_model = [*own, MAJORITY] if len(own) > 1 else own
    return Agreement(
        person=person,
        units=len(units),
        shared_units=sum(len(unit.labels) > 1 for unit in units),
        fleiss_kappa=AgreementFigure.of(estimate(complete, fleiss_kappa)),
        krippendorff_alpha=AgreementFigure.of(estimate(coincident, krippendorff_alpha)),
        emotions=tuple(map(emotion_agreement, labels)),
        pairs=tuple(
            pair(one, other, lambda unit, a=one, b=other: (unit.labels.get(a), unit.labels.get(b)))  # type: ignore[misc]
            for one, other in combinations(own, 2)
        ),
        model=tuple(
            pair(rater, MODEL, lambda unit, rater=rater: (_label(unit, rater), unit.model))  # type: ignore[misc]
            for rater in with_model
        ),
    )


def _label(unit: RatedUnit, rater: str) -> str | None:
    """Return a rater's label, or that of the majority if one label is given most often."""
    if rater != MAJORITY or MAJORITY in unit.labels:
        return unit.labels.get(rater)
    ranked = Counter(unit.labels.values()).most_common(2)
    is_clear = len(ranked) == 1 or ranked[0][1] > ranked[1][1]
    return ranked[0][0] if is_clear else None


def _pair(first: str, second: str, blocks: Sequence[Sums], labels: Sequence[str]) -> PairAgreement:
    pairs: Mapping[Hashable, float] = total_of(blocks)
    total = sum(pairs.values())
    same = sum(pairs.get((label, label), 0.0) for label in labels)
    return PairAgreement(
        first=first,
        second=second,
        units=round(total),
        agreement=same / total if total else None,
        cohen_kappa=AgreementFigure.of(estimate(blocks, cohen_kappa)),
        confusion=tuple(tuple(round(pairs.get((row, column), 0.0)) for column in labels) for row in labels),
    )
