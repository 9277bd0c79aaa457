"""Figures of diarization: on recordings with known turns, and on conversations composed of single speakers."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.inference.api import WHOLE_MEDIA, FloatArray
from ml.inference.people.diarization import Turn, diarize
from ml.inference.people.speech_pieces import SpeechListener
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from ml.media.sandbox import never_cancelled
from ml.training.datasets.audio_corpora import read_voices
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.media import read_waveform
from ml.training.people.conversations import SpeakerTurn, by_speaker, compose
from ml.training.people.diarization_error import DiarizationError, diarization_error, read_rttm

MEETINGS = "meetings"
EMOTIONAL_CORPORA = ("ravdess", "nemo", "ased")
"""Corpora of single emotional speakers of which conversations are composed."""
SPEAKER_COUNTS = (2, 3, 4)
CONVERSATION_SECONDS = 60.0
_SEED = 29

Recording = tuple[str, FloatArray, list[SpeakerTurn]]
"""Group of figures that a sound belongs to, the sound at 16 kHz in −1..1 [samples], and who speaks when."""


def measure_voices(listener: SpeechListener, data: Path, conversations: int) -> dict[str, DiarizationError]:
    """Return the errors on the meetings in `data/diarization`, if there are any, and on conversations composed of each
    corpus in `data/audio`: `conversations` of each number of speakers. Raises InvalidManifest if there is neither."""
    errors: dict[str, DiarizationError] = defaultdict(DiarizationError)
    recordings = [*_meetings(data / "diarization"), *_conversations(data / "audio", conversations)]
    for group, sound, turns in tqdm(recordings, file=sys.stderr, disable=None):
        errors[group] += diarization_error(turns, speaker_turns(listener, sound), len(sound) / SAMPLE_RATE)
    if not errors:
        raise InvalidManifest(f"{data.name} has no folder diarization with .rttm files, and no audio/manifest.csv")
    return dict(errors)


def speaker_turns(listener: SpeechListener, sound: FloatArray) -> list[Turn]:
    """Return who speaks when, as in serving."""
    speech = speech_segments(sound, never_cancelled)
    return diarize(listener.listen(sound, speech, WHOLE_MEDIA, never_cancelled))


def _meetings(folder: Path) -> Iterator[Recording]:
    """Yield the recordings that the .rttm files of a folder name."""
    for table in sorted(folder.glob("*.rttm")):
        for name, turns in sorted(read_rttm(table).items()):
            path = next(iter(sorted(path for path in folder.glob(f"{name}.*") if path.suffix != ".rttm")), None)
            if path is None:
                raise InvalidManifest(f"{table.name} names {name}, of which there is no sound")
            example = Example(label="neutral", dataset=MEETINGS, split="test", path=path)
            yield MEETINGS, read_waveform(example), turns


def _conversations(folder: Path, count: int) -> Iterator[Recording]:
    if not (folder / "manifest.csv").is_file():
        return
    examples = examples_of(read_voices(folder))
    generator = np.random.default_rng(_SEED)
    for corpus in EMOTIONAL_CORPORA:
        speakers = by_speaker([example for example in examples if example.dataset == corpus])
        for people in SPEAKER_COUNTS if len(speakers) >= max(SPEAKER_COUNTS) else ():
            for _ in range(count):
                conversation = compose(speakers, people, CONVERSATION_SECONDS, generator)
                yield corpus, conversation.sound, list(conversation.turns)


def as_json(errors: dict[str, DiarizationError]) -> dict[str, Any]:
    """Return the figures of each group, and of all composed conversations."""
    composed = [error for group, error in errors.items() if group != MEETINGS]
    groups = errors | ({"composed": sum(composed, DiarizationError())} if composed else {})
    return {group: error.json() for group, error in groups.items()}
