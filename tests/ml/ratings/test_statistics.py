"""Kappa and alpha against published examples and reference implementations."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from ml.ratings.statistics import (
    cohen_kappa,
    coincidences,
    estimate,
    fleiss_kappa,
    fleiss_sums,
    krippendorff_alpha,
    one_against_rest,
    total_of,
)

FLEISS_1971 = (
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)
"""Ten subjects by fourteen raters in five categories, the textbook example of Fleiss' kappa: .210."""
KRIPPENDORFF = (
    "*****341211 33*3".replace(" ", ""),
    "1*21334 3*******".replace(" ", ""),
    "**2134 4*21133*4".replace(" ", ""),
)
"""Three raters with missing values, Krippendorff's own example for nominal data: .691."""


def rated(counts: Sequence[int]) -> list[int]:
    return [category for category, count in enumerate(counts) for _ in range(count)]


def test_fleiss_kappa_of_the_textbook_example() -> None:
    sums = total_of([fleiss_sums(rated(counts)) for counts in FLEISS_1971])
    assert fleiss_kappa(sums) == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_alpha_of_its_author_s_example() -> None:
    units = [[label for label in labels if label != "*"] for labels in zip(*KRIPPENDORFF, strict=True)]
    assert krippendorff_alpha(total_of(list(map(coincidences, units)))) == pytest.approx(0.691, abs=5e-4)


LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)


@given(LABELS)
def test_cohen_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    ours = cohen_kappa(total_of([{pair: 1.0} for pair in pairs]))
    if len({label for pair in pairs for label in pair}) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


@given(LABELS)
def test_alpha_of_two_raters_is_scott_s_pi_corrected_for_small_samples(
    pairs: list[tuple[int, int]],
) -> None:
    alpha = krippendorff_alpha(total_of([coincidences(pair) for pair in pairs]))
    pi = fleiss_kappa(total_of([fleiss_sums(pair) for pair in pairs]))
    if pi is None:
        assert alpha is None
    else:
        assert alpha == pytest.approx(pi + (1 - pi) / (2 * len(pairs)))


@given(LABELS, st.permutations([0, 1, 2, 3]))
def test_names_of_labels_and_order_of_units_do_not_matter(pairs: list[tuple[int, int]], names: list[int]) -> None:
    renamed = [(names[first], names[second]) for first, second in reversed(pairs)]
    for statistic, sums in ((krippendorff_alpha, coincidences), (fleiss_kappa, fleiss_sums)):
        one, other = (statistic(total_of([sums(pair) for pair in each])) for each in (pairs, renamed))
        assert (one is None and other is None) or one == pytest.approx(other)


def test_agreement_as_one_and_as_by_chance() -> None:
    draw = random.Random(1)
    same = [(label, label) for label in (draw.randrange(3) for _ in range(500))]
    chance = [(draw.randrange(3), draw.randrange(3)) for _ in range(3000)]
    for pairs, value in ((same, 1.0), (chance, 0.0)):
        assert krippendorff_alpha(total_of([coincidences(pair) for pair in pairs])) == pytest.approx(value, abs=0.05)
        assert cohen_kappa(total_of([{pair: 1.0} for pair in pairs])) == pytest.approx(value, abs=0.05)


def test_one_against_rest_is_the_statistic_of_yes_and_no() -> None:
    draw = random.Random(2)
    units = [[draw.randrange(4) for _ in range(3)] for _ in range(50)]
    collapsed = one_against_rest(total_of(list(map(coincidences, units))), 2)
    asked = total_of([coincidences([label == 2 for label in labels]) for labels in units])
    assert krippendorff_alpha(collapsed) == pytest.approx(krippendorff_alpha(asked))


@pytest.mark.parametrize("statistic", [cohen_kappa, fleiss_kappa, krippendorff_alpha])
def test_nothing_has_no_agreement(statistic: object) -> None:
    assert statistic({}) is None  # type: ignore[operator]


def test_interval_holds_the_value_and_narrows_with_more_blocks() -> None:
    draw = random.Random(3)

    def blocks(count: int) -> list[dict[object, float]]:
        return [
            total_of([{(label, label if draw.random() < 0.7 else draw.randrange(3)): 1.0} for label in (0, 1, 2)])
            for _ in range(count)
        ]

    few, many = estimate(blocks(10), cohen_kappa), estimate(blocks(200), cohen_kappa)
    for each in (few, many):
        assert each.value is not None and each.interval is not None
        assert each.interval[0] <= each.value <= each.interval[1]
    assert many.interval[1] - many.interval[0] < few.interval[1] - few.interval[0]  # type: ignore[index]
    assert estimate(blocks(1), cohen_kappa).interval is None
    assert estimate(blocks(10)[:0], cohen_kappa).value is None
