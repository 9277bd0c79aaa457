"""The files that go with a result: which there are to be, and how each is made."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.explanation.explanation import Explainer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.media import MediaInfo, MediaLimits, probe
from ml.media.frame_at import frame_scale, frames_at
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.encoding import Artifact, jpeg, png
from ml.rendering.summary import summary
from ml.rendering.thumbnails import best_sightings, face_picture, frame_picture, sampled_before, strongest_moments
from ml.rendering.video import annotate_film, annotate_picture
from ml.reports.report import moment_told
from ml.results import Options, Result

Wish = Literal["summary", "annotate", "thumbnails", "heatmaps"]
WISHES: tuple[Wish, ...] = get_args(Wish)
INDEX = "index.json"
"""Name of the list of a result's files."""


@dataclass(frozen=True)
class Studio:
    """Makes files for one result. `models`: those that read it; `name`: what the caller calls the media; `scratch`: a
    folder for what is unpacked. Everything raises what decoding raises, and what `check` does."""

    path: Path
    result: Result
    options: Options
    models: LoadedBundle
    scratch: Path
    limits: MediaLimits
    check: CancelCheck = never_cancelled
    name: str = ""

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """What the options ask for and the media allow; of what has a timeline a summary, too."""
        options, kind = self.options, self.result.media.kind
        seen = kind != "audio"
        asked = {"annotate": options.annotate and seen, "thumbnails": options.thumbnails and seen}
        asked |= {"summary": kind != "image", "heatmaps": options.heatmaps}
        return tuple(wish for wish in WISHES if asked[wish])

    def make(self, wish: Wish) -> Iterator[Artifact]:
        """The files of one kind, one by one; a file on disk among them is gone when the next is asked for."""
        makers: Mapping[Wish, Callable[[], Iterator[Artifact]]] = {
            "summary": self._summary,
            "annotate": self._annotated,
            "thumbnails": self._thumbnails,
            "heatmaps": self._heatmaps,
        }
        return makers[wish]()

    @cached_property
    def info(self) -> MediaInfo:
        return probe(self.path, self.limits, self.check)

    def _summary(self) -> Iterator[Artifact]:
        yield Artifact("summary.png", "summary", "Summary", png(summary(self.result, self.name)))

    def _annotated(self) -> Iterator[Artifact]:
        if self.info.kind == "image":
            picture = annotate_picture(self.path, self.info, self.result, self.limits, self.check)
            yield Artifact("annotated.png", "picture", "The picture with what was read", png(picture))
            return
        with tempfile.TemporaryDirectory(prefix="annotate-", dir=self.scratch) as folder:
            target = Path(folder) / "annotated.mp4"
            annotate_film(self.path, self.info, self.result, target, self.limits, self.check)
            yield Artifact("annotated.mp4", "video", "The video with what was read", target)

    def _thumbnails(self) -> Iterator[Artifact]:
        scale = frame_scale(self.info)
        sightings = best_sightings(self.result)
        for sighting in sightings:
            time = sighting.frame.time
            for frame in self._stills(time):
                title = f"Face {sighting.track} at {time:.2f} s"
                picture = jpeg(face_picture(frame, sighting.frame.box, scale))
                about = {"time": time, "track": sighting.track, "emotion": sighting.frame.emotion}
                yield Artifact(f"face-{sighting.track}.jpg", "face", title, picture, about)
        for number, moment in enumerate(strongest_moments(self.result.moments), 1):
            duration = self.result.media.duration or 0.0
            for frame in self._stills(sampled_before(moment.time, self.options.frame_rate, duration)):
                title = f"{moment.time:.1f} s: {moment_told(moment)}"
                about = {"time": moment.time, "emotion": moment.to}
                yield Artifact(f"moment-{number}.jpg", "moment", title, jpeg(frame_picture(frame)), about)

    def _heatmaps(self) -> Iterator[Artifact]:
        if self.models.versions != self.result.models:
            raise ModelStoreError("The models that read the media are no longer served.")
        yield from Explainer(
            self.models, self.path, self.info, self.options, self.scratch, self.limits, self.check
        ).explain(self.result)

    def _stills(self, time: float) -> Iterator[NDArray[np.uint8]]:
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
