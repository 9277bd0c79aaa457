"""Builder of the files that go with a result."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.explanation.explanation import Explainer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.media import MediaInfo, MediaLimits, probe
from ml.media.frame_at import frame_scale, frames_at
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.encoding import RenderedArtifact, encode_jpeg, encode_png
from ml.rendering.summary import summary
from ml.rendering.thumbnails import (
    FaceSighting,
    best_sightings_by_person,
    best_sightings_by_track,
    crop_face,
    sampled_time_before,
    shrink_frame,
    strongest_moments,
)
from ml.rendering.video import annotate_image, annotate_video
from ml.reports.people import display_names
from ml.reports.report import moment_text
from ml.results import Options, Result
from ml.vocabulary import person_name

ArtifactGroup = Literal["summary", "annotate", "thumbnails", "heatmaps"]
"""Files that are made together. All but the summary have the name of the option that asks for them."""
ARTIFACT_GROUPS: tuple[ArtifactGroup, ...] = get_args(ArtifactGroup)
INDEX = "index.json"
"""Name of the file that lists a result's files."""


@dataclass(frozen=True)
class ArtifactBuilder:
    """Builder of the files of one result. Its methods raise what decoding and `check` raise.

    Attributes:
        path, result, options: the media, its result, and the options of the analysis.
        models: the models that made the result.
        scratch: folder for temporary files.
        limits, check: bounds on reading the media, and function that raises if the work is cancelled.
        name: display name of the media.
    """

    path: Path
    result: Result
    options: Options
    models: LoadedBundle
    scratch: Path
    limits: MediaLimits
    check: CancelCheck = never_cancelled
    name: str = ""

    @property
    def requested(self) -> tuple[ArtifactGroup, ...]:
        """Groups that the options ask for and the media allows; a summary too if the media has a timeline."""
        options, kind = self.options, self.result.media.kind
        has_picture = kind != "audio"
        wanted: Mapping[ArtifactGroup, bool] = {
            "summary": kind != "image",
            "annotate": options.annotate and has_picture,
            "thumbnails": options.thumbnails and has_picture,
            "heatmaps": options.heatmaps,
        }
        return tuple(group for group in ARTIFACT_GROUPS if wanted[group])

    def make(self, group: ArtifactGroup) -> Iterator[RenderedArtifact]:
        """Yield the files of one group. A file on disk among them is deleted once the next is requested."""
        makers: Mapping[ArtifactGroup, Callable[[], Iterator[RenderedArtifact]]] = {
            "summary": self._summary,
            "annotate": self._annotated,
            "thumbnails": self._thumbnails,
            "heatmaps": self._heatmaps,
        }
        return makers[group]()

    @cached_property
    def info(self) -> MediaInfo:
        return probe(self.path, self.limits, self.check)

    def _summary(self) -> Iterator[RenderedArtifact]:
        yield RenderedArtifact("summary.png", "summary", "Summary", encode_png(summary(self.result, self.name)))

    def _annotated(self) -> Iterator[RenderedArtifact]:
        if self.info.kind == "image":
            image = annotate_image(self.path, self.info, self.result, self.limits, self.check)
            yield RenderedArtifact("annotated.png", "picture", "Annotated photo", encode_png(image))
            return
        with tempfile.TemporaryDirectory(prefix="annotate-", dir=self.scratch) as folder:
            target = Path(folder) / "annotated.mp4"
            track = self.options.requested_track
            annotate_video(self.path, self.info, self.result, target, self.limits, self.check, track)
            yield RenderedArtifact("annotated.mp4", "video", "Annotated video", target)

    def _thumbnails(self) -> Iterator[RenderedArtifact]:
        faces: dict[int, bytes] = {}
        for sighting in best_sightings_by_track(self.result):
            for image in self._face_images(sighting):
                faces[sighting.track] = image
                title = f"Face {sighting.track} at {sighting.frame.time:.2f} s"
                yield RenderedArtifact(f"face-{sighting.track}.jpg", "face", title, image, _about(sighting))
        for number, sighting in best_sightings_by_person(self.result).items():
            known = faces.get(sighting.track)
            for image in [known] if known else self._face_images(sighting):
                about = {**_about(sighting), "person": number}
                yield RenderedArtifact(f"person-{number}.jpg", "person", person_name(number), image, about)
        names = display_names(self.result)
        for number, moment in enumerate(strongest_moments(self.result.moments), 1):
            duration = self.result.media.duration or 0.0
            for frame in self._frames_at(sampled_time_before(moment.time, self.options.frame_rate, duration)):
                title = f"{moment.time:.1f} s: {moment_text(moment, names)}"
                about = {"time": moment.time, "emotion": moment.to}
                yield RenderedArtifact(f"moment-{number}.jpg", "moment", title, encode_jpeg(shrink_frame(frame)), about)

    def _face_images(self, sighting: FaceSighting) -> Iterator[bytes]:
        """Yield the picture of a face as JPEG; nothing if its frame cannot be decoded."""
        scale = frame_scale(self.info)
        for frame in self._frames_at(sighting.frame.time):
            yield encode_jpeg(crop_face(frame, sighting.frame.box, scale))

    def _heatmaps(self) -> Iterator[RenderedArtifact]:
        if self.models.versions != self.result.models:
            raise ModelStoreError("The models that made this result are no longer loaded.")
        yield from Explainer(
            self.models, self.path, self.info, self.options, self.scratch, self.limits, self.check
        ).explain(self.result)

    def _frames_at(self, time: float) -> Iterator[NDArray[np.uint8]]:
        frames = frames_at(
            self.path,
            self.info,
            [time],
            frame_rate=self.options.frame_rate,
            scratch=self.scratch,
            limits=self.limits,
            check=self.check,
        )
        return (frame.image for frame in frames)


def _about(sighting: FaceSighting) -> dict[str, Any]:
    return {"time": sighting.frame.time, "track": sighting.track, "emotion": sighting.frame.emotion}
