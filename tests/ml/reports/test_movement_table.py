"""Table of face movements."""

import csv
import io
from math import radians

import pytest

from ml.movements import MOVEMENTS, EyesOpen, Gaze, HeadPose, MovementValues
from ml.reports.movements import movements_csv
from ml.reports.report import Report
from ml.results import FaceFrame, FaceTrack
from tests.ml.reports.made_results import video


def moving(frame: FaceFrame) -> FaceFrame:
    values = MovementValues.from_names({"mouth_smile_left": 0.5, "mouth_smile_right": 0.7, "jaw_open": 0.25})
    measured = {
        "movements": values,
        "pose": HeadPose(yaw=10, pitch=20, roll=30),
        "gaze": Gaze(yaw=5, pitch=-5),
        "eyes_open": EyesOpen(left=0.9, right=0.8),
        "mouth_open": 0.1,
    }
    return frame.model_copy(update=measured)


def rows(made: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(movements_csv([made]))))


def with_movements(made: Report) -> Report:
    track, *others = made.result.faces
    frames = (moving(track.frames[0]), *track.frames[1:])
    faces = (FaceTrack(track=track.track, frames=frames), *others)
    return Report(made.name, made.result.model_copy(update={"faces": faces}))


def test_row_has_the_columns_of_openface_and_py_feat() -> None:
    row = rows(with_movements(video()))[0]
    assert row["success"] == "1" and row["AU12"] == "0.6" and row["mouthSmileLeft"] == "0.5"
    assert float(row["pose_Rx"]) == pytest.approx(radians(-20), abs=1e-4) and row["Pitch"] == "20.0"
    assert float(row["gaze_angle_y"]) == pytest.approx(radians(5), abs=1e-4)
    assert {"frame", "face_id", "timestamp", "confidence", "FaceRectX", "Yaw", "gaze_angle_x", "AU45"} <= row.keys()
    assert len([name for name in row if name[0].islower() and "_" not in name]) >= len(MOVEMENTS)


def test_face_without_movements_has_success_0_and_empty_cells() -> None:
    row = rows(video())[0]
    assert row["success"] == "0" and row["AU12"] == row["Yaw"] == ""
