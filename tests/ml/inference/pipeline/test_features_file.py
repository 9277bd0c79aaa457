import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from ml.inference.api import TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.face.quality import QUALITIES
from ml.inference.pipeline.features import AudioFeatures, Features, FeaturesUnreadable
from ml.inference.pipeline.features_file import load, load_parts, save
from ml.inference.pipeline.plan import FrameSampling, RecordingPlan, SoundPlan
from ml.inference.speech.sentences import Sentence
from ml.inference.speech.whisper import RecognizedWord
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent, MediaInfo
from ml.registry import Bundle

INFO = MediaInfo("video", 9.5, 640, 360, 25.0, True, True, 90, 2, "ab", "mp4", picture_start=0.04)
BUNDLE = Bundle(name="default", face="face@1", audio="audio@1", text=None, fusion=None)
RECORDING = RecordingPlan(
    INFO,
    BUNDLE,
    FrameSampling(4.0, 8, True),
    DecodedExtent(sound=9.4, heard=True),
    (SoundPlan(150_400, (TimeSpan(0.25, 1.5), TimeSpan(3.0, 3.1)), "en"), SoundPlan(150_400, ())),
    requested_sounds=2,
)
EARLIER_FILE = Path(__file__).parent / "features_v1.safetensors"
"""`RECORDING` and `features()` as version 0.1.0 saved them, when the classes had other names."""


def faces(times: list[float], counts: list[int]) -> FaceObservations:
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
        qualities_NQ=values((total, len(QUALITIES))).astype(np.float32),
    )


def same(left: object, right: object) -> bool:
    """Return whether two holders of arrays are equal to the last digit."""
    pairs = [(getattr(left, each.name), getattr(right, each.name)) for each in fields(left)]  # type: ignore[arg-type]
    return all((a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)


def features() -> Features:
    voice = SegmentOutputs(np.array([[4000, 24_000]]), np.ones((1, 3), np.float32), np.zeros((1, 7), np.float32))
    sentence = Sentence((RecognizedWord(0.25, 0.5, " Hello.", 0.75),), -0.125)
    return Features(
        faces([0.0, 0.25, 0.5], [2, 0, 1]),
        DecodedExtent(picture=0.75, step=0.25),
        (AudioFeatures(voice, (sentence,)), AudioFeatures(SegmentOutputs.empty())),
    )


def check_same(left: Features, right: Features) -> None:
    assert same(left.faces, right.faces) and left.video_extent == right.video_extent
    assert [audio.sentences for audio in left.audio] == [audio.sentences for audio in right.audio]
    assert all(same(a.voice, b.voice) for a, b in zip(left.audio, right.audio, strict=True))


def test_load_returns_what_was_saved(tmp_path: Path) -> None:
    save(tmp_path / "features", RECORDING, features())
    saved = load(tmp_path / "features")
    assert saved.recording == RECORDING and RecordingPlan.from_json(RECORDING.to_json()) == RECORDING
    check_same(saved.features, features())


def test_load_of_an_earlier_release_returns_the_same_features() -> None:
    saved, now = load(EARLIER_FILE), features()
    assert saved.recording == RECORDING
    check_same(saved.features, replace(now, faces=replace(now.faces, qualities_NQ=None)))


def check_extends(new: Any, earlier: Any) -> None:
    """Check that a JSON document holds all that an earlier one holds."""
    if isinstance(earlier, dict):
        for name, value in earlier.items():
            check_extends(new[name], value)
    elif isinstance(earlier, list):
        for value, earlier_value in zip(new, earlier, strict=True):
            check_extends(value, earlier_value)
    else:
        assert new == earlier


def test_save_writes_the_file_of_an_earlier_release(tmp_path: Path) -> None:
    save(tmp_path / "features", RECORDING, features())
    with safe_open(tmp_path / "features", "np") as new, safe_open(EARLIER_FILE, "np") as earlier:
        new_metadata, earlier_metadata = new.metadata(), earlier.metadata()
    for name in ("survey", "observation"):  # an earlier release ignores the fields that it does not know
        check_extends(json.loads(new_metadata[name]), json.loads(earlier_metadata[name]))
    assert all(new_metadata[name] == earlier_metadata[name] for name in ("format", "version"))
    new_arrays, earlier_arrays = load_file(tmp_path / "features"), load_file(EARLIER_FILE)
    assert new_arrays.keys() >= earlier_arrays.keys()  # and the arrays
    for name, array in earlier_arrays.items():
        assert array.dtype == new_arrays[name].dtype and np.array_equal(array, new_arrays[name])


def test_load_parts_of_different_releases_leaves_out_what_one_lacks(tmp_path: Path) -> None:
    save(tmp_path / "new", RECORDING, features())
    assert load_parts([tmp_path / "new", EARLIER_FILE]).faces.qualities_NQ is None


def test_load_parts_concatenates_their_features(tmp_path: Path) -> None:
    parts = [replace(features(), faces=faces([time], [1])) for time in (0.0, 60.0)]
    for number, part in enumerate(parts):
        save(tmp_path / str(number), RECORDING, part)
    whole = load_parts([tmp_path / "0", tmp_path / "1"])
    assert whole.faces.times_F.tolist() == [0.0, 60.0]
    assert [len(audio.sentences or ()) for audio in whole.audio] == [2, 0]
    assert whole.audio[0].voice.by_segment().keys() == {(4000, 24_000)} and whole.audio[1].sentences is None


@pytest.mark.parametrize("harm", ["another format", "cut", "another version", "a missing array"])
def test_load_of_a_damaged_or_other_file_fails(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "features"
    save(path, RECORDING, features())
    if harm == "another format":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif harm == "another version":
        save_file(load_file(path), path, {"format": "affect-evidence", "version": "0"})
    else:
        content = path.read_bytes()
        path.write_bytes(content.replace(b"sight.scores_N", b"sight.scored_N"))
    with pytest.raises(FeaturesUnreadable):
        load(path)


def test_concatenated_faces_of_parts_are_those_of_the_whole() -> None:
    whole = faces([0.0, 0.25, 0.5, 0.75], [2, 0, 1, 3])
    first = whole.subsample(4.0, 1, 8, landmarks=True)
    assert same(first, whole)
    left, right = faces([0.0, 0.25], [2, 0]), faces([0.5, 0.75], [1, 3])
    joined = FaceObservations.concatenated([FaceObservations.empty(5, landmarks=True), left, right])
    assert joined.times_F.tolist() == [0, 0.25, 0.5, 0.75]
    assert [list(joined.rows(frame)) for frame in range(4)] == [[0, 1], [], [2], [3, 4, 5]]
    assert np.array_equal(joined.boxes_N4, np.concatenate([left.boxes_N4, right.boxes_N4]))


def test_subsample_returns_fewer_frames_and_faces() -> None:
    observed = faces([0.25, 0.5, 0.75, 1.0], [2, 3, 1, 2])
    fewer = observed.subsample(4.0, 2, 1, landmarks=False)
    assert fewer.times_F.tolist() == [0.5, 1.0] and fewer.ranks_N.tolist() == [0, 0] and fewer.landmarks_NP3 is None
    assert np.array_equal(fewer.boxes_N4, observed.boxes_N4[[2, 6]])


@pytest.mark.parametrize(
    ("other", "is_covered"),
    [
        (FrameSampling(4.0, 8, False), True),
        (FrameSampling(2.0, 3, True), True),
        (FrameSampling(3.0, 8, True), False),
        (FrameSampling(8.0, 8, True), False),
        (FrameSampling(4.0, 9, True), False),
    ],
)
def test_frame_sampling_covers_less_of_the_same(other: FrameSampling, is_covered: bool) -> None:
    assert FrameSampling(4.0, 8, True).covers(other) is is_covered
    assert not replace(FrameSampling(4.0, 8, True), landmarks=False).covers(FrameSampling(4.0, 8, True))
