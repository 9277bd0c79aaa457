from hypothesis import given
from hypothesis import strategies as st

from ml.inference.speech.languages import MAX_CONTENDERS, StretchEvidence, contenders, guess_languages

KNOWN = frozenset({"pl", "cs", "en", "de"})


def heard(seconds: float = 4.0, **probabilities: float) -> StretchEvidence:
    return StretchEvidence(seconds, probabilities)


def test_guess_languages_follows_a_change_that_is_clear() -> None:
    stretches = [heard(pl=0.9, cs=0.1), heard(pl=0.95), heard(en=0.97), heard(en=0.9, pl=0.05)]
    assert guess_languages(stretches, KNOWN) == ["pl", "pl", "en", "en"]


def test_guess_languages_takes_a_doubtful_stretch_for_the_language_around_it() -> None:
    assert guess_languages([heard(pl=0.9), heard(cs=0.5, pl=0.4), heard(pl=0.9)], KNOWN) == ["pl"] * 3


def test_guess_languages_short_stretches_weigh_less() -> None:
    short, long = heard(0.6, en=0.9, pl=0.02), heard(4.0, en=0.9, pl=0.02)
    assert guess_languages([heard(pl=0.9), short, heard(pl=0.9)], KNOWN) == ["pl"] * 3
    assert guess_languages([heard(pl=0.9), long, long, heard(pl=0.9)], KNOWN) == ["pl", "en", "en", "pl"]


def test_guess_languages_doubtful_speech_is_not_taken_for_a_language_that_is_not_understood() -> None:
    assert guess_languages([heard(de=0.9), heard(la=0.6, de=0.1), heard(en=0.5, la=0.1)], KNOWN) == ["de", "de", "en"]
    assert guess_languages([heard(ur=0.9, en=0.05)], KNOWN) == ["ur"]
    assert guess_languages([heard(la=0.6, br=0.2)], KNOWN) == ["la"]


@given(
    st.lists(
        st.builds(
            StretchEvidence, st.floats(0.1, 6), st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1), min_size=1)
        )
    )
)
def test_guess_languages_names_one_of_the_heard_for_each_stretch(stretches: list[StretchEvidence]) -> None:
    guessed = guess_languages(stretches, "ab")
    assert len(guessed) == len(stretches)
    assert set(guessed) <= {language for stretch in stretches for language in stretch.probabilities}


def test_contenders_are_the_likely_detectable_languages() -> None:
    assert contenders("pl", [heard(pl=0.9, cs=0.1)], {"pl", "cs"}) == [("pl", 0.9)]
    assert contenders("sk", [heard(sk=0.5, cs=0.3, pl=0.15, en=0.01)], {"pl", "cs", "en"}) == [
        ("cs", 0.3),
        ("pl", 0.15),
    ]
    assert contenders("sk", [heard(sk=0.5)], {"pl"}) == [("sk", 0.5)]
    many = heard(a=0.3, b=0.25, c=0.2, d=0.15, e=0.1)
    assert len(contenders("a", [many], set("abcde"))) == MAX_CONTENDERS
