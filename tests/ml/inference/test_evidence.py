from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ml.inference.api import TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.pipeline.features_file import (
    EvidenceUnreadable,
    Heard,
    Observation,
    Sampling,
    Survey,
    SurveyedSound,
    read,
    read_survey,
    write,
)
from ml.inference.speech.transcriber import Sentence
from ml.inference.speech.whisper import RecognizedWord
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent, MediaInfo
from ml.registry import Bundle

INFO = MediaInfo("video", 9.5, 640, 360, 25.0, True, True, 90, 2, "ab", "mp4", picture_start=0.04)
BUNDLE = Bundle(name="default", face="face@1", audio="audio@1", text=None, fusion=None)
SURVEY = Survey(
    INFO,
    BUNDLE,
    Sampling(4.0, 8, True),
    DecodedExtent(sound=9.4, heard=True),
    (SurveyedSound(150_400, (TimeSpan(0.25, 1.5), TimeSpan(3.0, 3.1)), "en"), SurveyedSound(150_400, ())),
    asked=2,
)


def sight(times: list[float], counts: list[int]) -> FaceObservations:
    total = sum(counts)
    values = np.random.default_rng(total).random
    return FaceObservations(
        times_F=np.array(times),
        starts_G=np.concatenate([[0], np.cumsum(counts)]),
        boxes_N4=values((total, 4)),
        scores_N=values(total).astype(np.float32),
        ranks_N=np.array([rank for count in counts for rank in range(count)], np.uint8),
        embeddings_NE=values((total, 5)).astype(np.float32),
        log_probabilities_NC=values((total, 7)).astype(np.float32),
        landmarks_NP3=values((total, 468, 3)).astype(np.float32),
    )


def same(left: object, right: object) -> bool:
    """Whether two holders of arrays are alike, to the last digit."""
    pairs = [(getattr(left, each.name), getattr(right, each.name)) for each in fields(left)]  # type: ignore[arg-type]
    return all((a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)


def observation() -> Observation:
    tones = SegmentOutputs(np.array([[4000, 24_000]]), np.ones((1, 3), np.float32), np.zeros((1, 7), np.float32))
    said = Sentence((RecognizedWord(0.25, 0.5, " Hello.", 0.75),), -0.125)
    return Observation(
        sight([0.0, 0.25, 0.5], [2, 0, 1]),
        DecodedExtent(picture=0.75, step=0.25),
        (Heard(tones, (said,)), Heard(SegmentOutputs.empty())),
    )


def test_evidence_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = observation()
    write(tmp_path / "evidence", SURVEY, kept)
    survey, found = read(tmp_path / "evidence")
    assert survey == SURVEY and read_survey(SURVEY.json()) == SURVEY
    assert same(found.sight, kept.sight) and found.reach == kept.reach
    assert [heard.sentences for heard in found.heard] == [heard.sentences for heard in kept.heard]
    assert all(same(left.tones, right.tones) for left, right in zip(found.heard, kept.heard, strict=True))


@pytest.mark.parametrize("harm", ["no file of ours", "cut", "another version", "a missing array"])
def test_what_is_no_evidence_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "evidence"
    write(path, SURVEY, observation())
    if harm == "no file of ours":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "another version":
        save_file(load_file(path), path, {"format": "affect-evidence", "version": "0"})
    else:
        content = path.read_bytes()
        path.write_bytes(content.replace(b"sight.scores_N", b"sight.scored_N"))
    with pytest.raises(EvidenceUnreadable):
        read(path)


def test_parts_join_to_the_whole() -> None:
    whole = sight([0.0, 0.25, 0.5, 0.75], [2, 0, 1, 3])
    first = whole.subsample(4.0, 1, 8, landmarks=True)
    assert same(first, whole)
    left, right = sight([0.0, 0.25], [2, 0]), sight([0.5, 0.75], [1, 3])
    joined = FaceObservations.concatenated([FaceObservations.empty(5, landmarks=True), left, right])
    assert joined.times_F.tolist() == [0, 0.25, 0.5, 0.75]
    assert [list(joined.rows(frame)) for frame in range(4)] == [[0, 1], [], [2], [3, 4, 5]]
    assert np.array_equal(joined.boxes_N4, np.concatenate([left.boxes_N4, right.boxes_N4]))


def test_less_is_taken_from_what_was_seen() -> None:
    seen = sight([0.25, 0.5, 0.75, 1.0], [2, 3, 1, 2])
    fewer = seen.subsample(4.0, 2, 1, landmarks=False)
    assert fewer.times_F.tolist() == [0.5, 1.0] and fewer.ranks_N.tolist() == [0, 0] and fewer.landmarks_NP3 is None
    assert np.array_equal(fewer.boxes_N4, seen.boxes_N4[[2, 6]])


@pytest.mark.parametrize(
    ("wish", "covered"),
    [
        (Sampling(4.0, 8, False), True),
        (Sampling(2.0, 3, True), True),
        (Sampling(3.0, 8, True), False),
        (Sampling(8.0, 8, True), False),
        (Sampling(4.0, 9, True), False),
    ],
)
def test_what_was_seen_covers_less_of_the_same(wish: Sampling, covered: bool) -> None:
    assert Sampling(4.0, 8, True).covers(wish) is covered
    assert not replace(Sampling(4.0, 8, True), landmarks=False).covers(Sampling(4.0, 8, True))
