"""People of recordings: real speech detection, speaker networks and Whisper; simple rules read voice and words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.people.speech_pieces import SpeechPieces
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext, cache_in
from ml.inference.pipeline.people_reading import channel_turns, voice_turns
from ml.media.decoder import Decoder
from ml.media.sound import SoundDecoder
from ml.results import Options, Result
from tests.analysis_in_parts import analyze_in_parts, document
from tests.speech_files import make_sound, say, silence

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."
MAN, WOMAN = "en-us", "en-us+f4"
TURNS = 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recording in which a man and a woman take turns."""
    turn = [say(TRAIN, MAN), silence(0.4), say(MUSEUM, WOMAN), silence(0.4)]
    return make_sound(tmp_path_factory.mktemp("talk") / "talk.wav", np.concatenate(turn * TURNS))


@pytest.fixture(scope="module")
def whole(analyzer: Analyzer, talk: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """Result of the talk, and the folder of its saved files."""
    kept = tmp_path_factory.mktemp("kept")
    return analyzer.analyze(talk, Options(), AnalysisContext(save_to=kept)), kept


def test_two_speakers_are_two_people_with_their_own_words(whole: tuple[Result, Path]) -> None:
    result = whole[0]
    woman, man = result.people
    assert woman.talk_seconds > man.talk_seconds > 2.5 * TURNS
    assert len(man.speech) == len(woman.speech) == TURNS
    assert (man.tracks, man.match, man.seen_seconds) == ((), "none", 0)
    said = {
        person.person: " ".join(s.text for s in result.transcript.segments if s.person == person.person).lower()
        for person in result.people
    }
    assert said[woman.person].count("museum") == TURNS and "train" not in said[woman.person]
    assert said[man.person].count("train") == TURNS and "museum" not in said[man.person]
    assert result.warnings == ()


def test_each_window_is_that_of_the_person_who_speaks_most(whole: tuple[Result, Path]) -> None:
    result = whole[0]
    assert {window.person for window in result.windows} == {1, 2}
    for window in result.windows:
        seconds = {
            person.person: sum(
                max(0.0, min(span.end, window.end) - max(span.start, window.start)) for span in person.speech
            )
            for person in result.people
        }
        assert window.person == max(seconds, key=seconds.__getitem__)
        own = result.people[window.person - 1]
        assert window in own.windows
    for person in result.people:
        assert all(window.person == person.person for window in person.windows)
        texts = [window.modalities.text.transcript for window in person.windows if window.modalities.text]
        assert texts and not any("train" in text.lower() and "museum" in text.lower() for text in texts)


def test_the_same_recording_has_the_same_people(analyzer: Analyzer, talk: Path, whole: tuple[Result, Path]) -> None:
    assert document(analyzer.analyze(talk)) == document(whole[0])


def test_parts_of_a_long_talk_give_the_people_of_the_whole(analyzer: Analyzer, tmp_path: Path) -> None:
    """The voices alone: with words it takes a minute."""
    turn = [say(TRAIN, MAN), silence(0.4), say(MUSEUM, WOMAN), silence(0.4)]
    path = make_sound(tmp_path / "long.wav", np.concatenate(turn * 16))
    options = Options(modalities=("audio",))
    result = analyzer.analyze(path, options)
    assert result.media.duration and result.media.duration > 120
    assert [len(person.speech) for person in result.people] == [16, 16]
    assert document(analyze_in_parts(analyzer, path, options, tmp_path)) == document(result)


def test_other_hints_need_no_decoding(
    analyzer: Analyzer, talk: Path, whole: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for holder in (Decoder, SoundDecoder):
        monkeypatch.setattr(holder, "__enter__", lambda *_: pytest.fail("the media are decoded again"))
    context = AnalysisContext(cached=cache_in(whole[1]))
    (one,) = analyzer.analyze(talk, Options(max_people=1), context).people
    assert one.talk_seconds == pytest.approx(sum(person.talk_seconds for person in whole[0].people), rel=0.2)
    assert analyzer.analyze(talk, Options(min_people=2), context).people == whole[0].people


def test_people_that_were_not_requested_are_found_from_what_is_kept(
    analyzer: Analyzer, talk: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    without = analyzer.analyze(talk, Options(people=False), AnalysisContext(save_to=kept))
    assert without.people == () and {window.person for window in without.windows} == {None}
    assert analyzer.analyze(talk, Options(), AnalysisContext(cached=cache_in(kept))).people == whole[0].people


def test_without_the_networks_the_result_says_so(
    analyzer: Analyzer, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpeakerNetworks, "shared", lambda _: None)
    result = Analyzer(replace(analyzer.models)).analyze(talk)
    assert [notice.code for notice in result.warnings] == ["voices_unknown"]
    assert result.people == ()
    assert all(window.modalities.audio for window in result.windows if window.emotion)


def test_one_voice_has_all_speech() -> None:
    speech = [TimeSpan(0, 1), TimeSpan(4, 5)]
    assert voice_turns(SpeechPieces.empty(), speech, Options(), 0) == [Turn(span, 0) for span in speech]
    assert voice_turns(None, speech, Options(), 0) is None
    assert voice_turns(None, [], Options(), 0) == []


def test_each_channel_is_one_speaker() -> None:
    turns = channel_turns([[TimeSpan(0, 2), TimeSpan(5, 6)], [TimeSpan(2, 3)]])
    assert [(turn.span.start, turn.speaker) for turn in turns] == [(0, 0), (2, 1), (5, 0)]
