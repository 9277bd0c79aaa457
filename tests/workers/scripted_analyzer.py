"""An analyzer without models, in place of the real one in the tests of the runner."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.features import Features
from ml.inference.pipeline.plan import AnalysisPlan, RecordingPlan
from ml.inference.runtime.progress import ProgressListener
from ml.media import DecodedExtent, MediaInfo
from ml.registry import Bundle
from ml.results import Options, Result

BARE = Bundle(name="bare", face=None, audio=None, text=None, fusion=None, whisper=None)


@dataclass
class ScriptedAnalyzer:
    """Finds nothing in media of a given length; `act` returns the result, from the media and the listener."""

    act: Callable[[bytes, ProgressListener], Result]
    seconds: float | None = None
    format: str = "mp4"

    def plan(self, media: Path, options: Options, context: AnalysisContext) -> AnalysisPlan:
        kind = "video" if self.seconds else "image"
        info = MediaInfo(kind, self.seconds, 1, 1, None, False, True, 0, 0, "0", self.format)
        recording = RecordingPlan(info, BARE, None, DecodedExtent(), ())
        return AnalysisPlan(media, options, DecodedAudio.in_folder(context.folder), recording)

    def extract(self, plan: AnalysisPlan, part: TimeSpan = WHOLE_MEDIA, *, context: AnalysisContext) -> Features:
        return Features(FaceObservations.empty(), DecodedExtent())

    def assemble(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
        return self.act(plan.media.read_bytes(), context.listener)
