from pathlib import Path

import numpy as np
import pytest

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray
from ml.inference.people.speech_pieces import SpeechPieces
from ml.media import SAMPLE_RATE
from ml.training.datasets.example import Example
from ml.training.people.conversations import TURN_SECONDS, by_speaker, compose
from ml.training.people.diarization_error import DiarizationError
from ml.training.people.report import readable
from ml.training.people.voice_figures import MEETINGS, as_json, measure_voices
from tests.speech_files import make_sound, noise, say

ANN = "The train to the coast was late again this morning."


class Deaf:
    """Listener that hears no speech."""

    def listen(self, *_: object) -> SpeechPieces:
        return SpeechPieces.empty()


def example(speaker: str) -> Example:
    return Example(label="neutral", dataset="ravdess", split="train", path=Path(f"{speaker}.wav"), speaker=speaker)


def read(_: Example) -> FloatArray:
    return say(ANN).astype(np.float32) / 32768


def test_conversations_have_turns_of_changing_speakers_that_are_heard() -> None:
    recordings = by_speaker([example("A"), example("B"), example("B")])
    talk = compose(recordings, 2, 12.0, np.random.default_rng(0), read)
    assert {turn.speaker for turn in talk.turns} == {"A", "B"}
    assert all(one.speaker != other.speaker for one, other in zip(talk.turns, talk.turns[1:], strict=False))
    assert talk.seconds == pytest.approx(max(turn.span.end for turn in talk.turns), abs=0.01)
    for turn in talk.turns:
        assert turn.span.length <= TURN_SECONDS[1] + 1e-6
        heard = talk.sound[round(turn.span.start * SAMPLE_RATE) : round(turn.span.end * SAMPLE_RATE)]
        assert np.sqrt(np.mean(heard**2)) > 0.02


def test_meetings_are_measured_by_their_rttm(tmp_path: Path) -> None:
    folder = tmp_path / "diarization"
    folder.mkdir()
    make_sound(folder / "talk.wav", noise(4))
    (folder / "all.rttm").write_text("SPEAKER talk 1 1.0 2.0 <NA> <NA> A <NA> <NA>\n")
    errors = measure_voices(Deaf(), tmp_path, 0)  # type: ignore[arg-type]
    assert set(errors) == {MEETINGS}
    assert errors[MEETINGS].missed == pytest.approx(2)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="diarization"):
        measure_voices(Deaf(), tmp_path, 1)  # type: ignore[arg-type]
    (tmp_path / "diarization").mkdir()
    (tmp_path / "diarization" / "all.rttm").write_text("SPEAKER gone 1 1.0 2.0 <NA> <NA> A <NA> <NA>\n")
    with pytest.raises(InvalidManifest, match="no sound"):
        measure_voices(Deaf(), tmp_path, 1)  # type: ignore[arg-type]


def test_figures_of_all_conversations_stand_beside_those_of_each_corpus() -> None:
    one = DiarizationError(missed=1, false=1, confused=0, speech=10, speakers_right=1, recordings=1)
    figures = as_json({MEETINGS: one, "nemo": one, "ased": one})
    assert figures["composed"]["recordings"] == 2
    assert figures["composed"]["diarization_error_rate"] == 0.2
    text = readable({"speakers": figures, "films": {"films": 1, "precision": None}})
    assert "nemo: recordings 1, diarization error rate 0.2" in text and "precision" not in text
