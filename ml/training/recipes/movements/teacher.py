"""Teacher of the movements: mediapipe's blend shape network, on the mesh that follows lips, lids and irises.

The file of the teacher is stated by the caller; nothing of it goes into what is trained.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.inference.face.backends.base import MIN_CLOSE_UP_SCORE
from ml.movements import MOVEMENTS

POINTS = 478
"""Points of the mesh that the teacher reads: the usual 468, and five of each iris, the right eye's first."""
_SIDE = 1000
"""Pixels that stand for a width of 1 in the teacher's input; it takes no notice of the size of a face."""
_GRAPH = """
input_stream: "points"
input_stream: "picture"
output_stream: "answer"
node {{
  calculator: "ImagePropertiesCalculator" input_stream: "IMAGE:picture" output_stream: "SIZE:size"
}}
node {{
  calculator: "mediapipe.tasks.vision.face_landmarker.FaceBlendshapesGraph"
  input_stream: "LANDMARKS:points" input_stream: "IMAGE_SIZE:size" output_stream: "BLENDSHAPES:answer"
  options {{
    [mediapipe.tasks.vision.face_landmarker.proto.FaceBlendshapesGraphOptions.ext] {{
      base_options {{ model_asset {{ file_name: "{path}" }} }}
    }}
  }}
}}
"""


class MovementTeacher:
    """Answers of the teacher, from the meshes of faces. One at a time: the graph keeps the time of its inputs."""

    def __init__(self, path: Path) -> None:
        """`path`: of `face_blendshapes.tflite`."""
        os.environ.setdefault("GLOG_minloglevel", "2")
        from google.protobuf import text_format
        from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
        from mediapipe.python._framework_bindings import calculator_graph, image, image_frame
        from mediapipe.tasks.cc.vision.face_landmarker.proto import face_blendshapes_graph_options_pb2  # noqa: F401

        picture = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        self._blank = image.Image(image_format=image_frame.ImageFormat.SRGB, data=picture)
        config = text_format.Parse(_GRAPH.format(path=path), CalculatorGraphConfig())
        self._graph = calculator_graph.CalculatorGraph(graph_config=config)
        self._answers: list[Any] = []
        self._graph.observe_output_stream("answer", lambda _, packet: self._answers.append(packet))
        self._graph.start_run()
        self._count = 0

    def read(self, points_P2: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the movements [52] of a mesh [478, 2 or 3] in widths of a picture."""
        from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmark, NormalizedLandmarkList
        from mediapipe.python import packet_creator, packet_getter

        marks = [NormalizedLandmark(x=x, y=y) for x, y in points_P2[:, :2].astype(float).tolist()]
        packets = {
            "points": packet_creator.create_proto(NormalizedLandmarkList(landmark=marks)),
            "picture": packet_creator.create_image(self._blank),
        }
        self._count += 1
        for name, packet in packets.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._count))
        self._graph.wait_until_idle()
        answer = packet_getter.get_proto(self._answers.pop())
        scores = {each.index: each.score for each in answer.classification}
        return np.array([scores[index] for index in range(len(MOVEMENTS))], np.float32)


class MeshReader:
    """Meshes of a picture of one face: the one that the service finds, and the one that the teacher reads."""

    def __init__(self) -> None:
        from ml.inference.face.backends.mediapipe_cpu import FaceMesh

        self._served = FaceMesh(MIN_CLOSE_UP_SCORE)
        self._attentive = FaceMesh(MIN_CLOSE_UP_SCORE, attentive=True)

    def read(self, image_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Return the meshes [468, 3] and [478, 3] in pixels of the picture; null if there is no face."""
        height, width = image_HWC.shape[:2]
        scale = np.array([width, height, width], np.float32)
        meshes = []
        for graph in (self._served, self._attentive):
            found = graph.process(image_HWC).multi_face_landmarks
            if not found:
                return None
            meshes.append(np.array([(each.x, each.y, each.z) for each in found[0].landmark], np.float32) * scale)
        return meshes[0], meshes[1]

    def close(self) -> None:
        self._served.close()
        self._attentive.close()


@contextmanager
def mesh_reader() -> Iterator[MeshReader]:
    """Yield a reader of meshes, which is closed afterwards."""
    reader = MeshReader()
    try:
        yield reader
    finally:
        reader.close()
