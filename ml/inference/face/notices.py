"""Warning about faces that are too small to be read well, or to be found at all."""

import numpy as np

from ml.inference.face.frame_search import THOROUGH_SECONDS
from ml.inference.face.observations import FaceObservations
from ml.results import Notice

MIN_READ_SIDE = 32
"""Side of a detector's box, in original pixels, below which a face is found but its reading is uncertain."""
MIN_SHARE = 0.1
"""Share of the faces of a recording, or of its thorough searches, from which small faces are worth a warning."""


def small_face_notices(faces: FaceObservations) -> tuple[Notice, ...]:
    """Return the warning about the faces of sampled frames, if enough of them are small."""
    sides_N = np.sqrt(faces.boxes_N4[:, 2] * faces.boxes_N4[:, 3])
    small, sentences = int((sides_N < MIN_READ_SIDE).sum()), []
    if small and small >= MIN_SHARE * len(sides_N):
        sentences.append(
            f"{small} of {len(sides_N)} faces that were read are smaller than {MIN_READ_SIDE} pixels, so their "
            "readings are uncertain."
        )
    missed = 0 if faces.missed_F is None else int((faces.missed_F > 0).sum())
    if missed and missed >= MIN_SHARE * len(set((faces.times_F // THOROUGH_SECONDS).tolist())):
        sentences.append("There may be further faces, too small or too unclear to be read.")
    return (Notice(code="faces_small", message=" ".join(sentences)),) if sentences else ()
