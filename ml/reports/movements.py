"""Table of face movements, with the columns of the tools that researchers use.

OpenFace (Output Format of its wiki): `frame, face_id, timestamp, confidence, success, gaze_angle_x, gaze_angle_y,
pose_Rx, pose_Ry, pose_Rz`, angles in radians. py-feat (columns of a `Fex`): `FaceRectX … FaceScore, Pitch, Roll, Yaw`
in degrees, `AU01` …, and the blend shapes by their names in camel case. A value of an action unit is the mean of the
movements of its two sides, 0 to 1, and no intensity that a coder would give.
"""

from collections.abc import Iterator, Sequence
from math import radians

from ml.movements import ACTION_UNITS, MOVEMENTS, action_units, camel_case
from ml.reports.report import Report
from ml.reports.tables import Cell, Row, write_csv
from ml.results import FaceFrame

_FACE = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore")
_ANGLES = ("Pitch", "Roll", "Yaw", "pose_Rx", "pose_Ry", "pose_Rz", "gaze_angle_x", "gaze_angle_y")


def movements_csv(reports: Sequence[Report]) -> str:
    """Return one row for each face in each sampled frame. A face without a mesh has `success` 0 and no movements."""
    columns = ["input", "frame", "face_id", "timestamp", "confidence", "success", *_FACE, *_ANGLES]
    columns += [*sorted(ACTION_UNITS.values()), *map(camel_case, MOVEMENTS)]
    columns += ["eye_open_left", "eye_open_right", "mouth_open"]
    return write_csv(columns, (row for report in reports for row in _rows(report)))


def _rows(report: Report) -> Iterator[Row]:
    times = sorted({frame.time for track in report.result.faces for frame in track.frames})
    numbers = {time: number for number, time in enumerate(times)}
    for track in report.result.faces:
        for frame in track.frames:
            yield {
                "input": report.name,
                "frame": numbers[frame.time],
                "face_id": track.track,
                "timestamp": frame.time,
                "confidence": frame.score,
                "success": int(frame.movements is not None),
                **_cells(frame),
            }


def _cells(frame: FaceFrame) -> dict[str, Cell]:
    box = frame.box
    cells: dict[str, Cell] = dict(zip(_FACE, (box.x, box.y, box.width, box.height, frame.score), strict=True))
    if frame.movements is None or frame.pose is None:
        return cells
    pose, values = frame.pose, frame.movements.by_name()
    cells |= {"Pitch": pose.pitch, "Roll": pose.roll, "Yaw": pose.yaw}
    # OpenFace's axes are x to the right, y down, z away from the camera.
    turned = {"pose_Rx": -pose.pitch, "pose_Ry": -pose.yaw, "pose_Rz": pose.roll}
    if frame.gaze:
        turned |= {"gaze_angle_x": frame.gaze.yaw, "gaze_angle_y": -frame.gaze.pitch}
    cells |= {name: round(radians(value), 4) for name, value in turned.items()}
    cells |= {unit: round(value, 3) for unit, value in action_units(values).items()}
    cells |= {camel_case(name): value for name, value in values.items()}
    if frame.eyes_open:
        cells |= {"eye_open_left": frame.eyes_open.left, "eye_open_right": frame.eyes_open.right}
    return cells | {"mouth_open": frame.mouth_open}
