"""Parts of a long job: when a recording is split, and the blobs that its parts share and produce."""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.partition import CHUNK_SECONDS
from ml.inference.pipeline.plan import AnalysisPlan, RecordingPlan
from ml.results import Options
from workers.protocol.blob_keys import part_features_key, shared_input_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import Claim
from workers.settings import WorkerSettings

PLAN, MIX, CHANNELS = "survey", "mix", "channels"
"""Names of the shared blobs: plan of the recording, mixed audio, channels."""
MAX_UNSPLIT_WORK = 4.0
"""Work of media that is not split, as a multiple of the work of a part."""


@dataclass(frozen=True)
class SplitPolicy:
    """When a recording is split, and into which parts.

    `min_seconds`: duration above which it is split. `part_seconds`, `part_megapixels`: maximum duration and work of a
    part, which has a minute at least. Media with `MAX_UNSPLIT_WORK` times the work of a part is split even if it is
    short.
    """

    min_seconds: float = math.inf
    part_seconds: float = 300.0
    part_megapixels: float = math.inf

    @classmethod
    def from_settings(cls, settings: WorkerSettings) -> Self:
        return cls(settings.long_seconds, settings.part_seconds, settings.part_megapixels)

    def in_parts(self, plan: AnalysisPlan) -> AnalysisPlan:
        """Return the same plan with parts of the size that this policy allows."""
        pace = plan.recording.megapixels_per_second
        affordable = self.part_megapixels / pace if pace else math.inf
        return plan.in_parts_of(min(self.part_seconds, max(CHUNK_SECONDS, affordable // CHUNK_SECONDS * CHUNK_SECONDS)))

    def should_split(self, plan: AnalysisPlan) -> bool:
        """Return whether the plan is long enough to be split, and has several parts that can be read separately."""
        recording = plan.recording
        work = recording.megapixels_per_second * recording.content_seconds
        is_long = recording.content_seconds > self.min_seconds or work > MAX_UNSPLIT_WORK * self.part_megapixels
        return is_long and len(plan.parts) > 1 and plan.can_split


class PartStore:
    """Blobs of a split job: what its parts share, and the features of each part."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def save_plan(self, claim: Claim, plan: AnalysisPlan, check: Callable[[], None]) -> None:
        """Store the plan and the decoded audio for the parts of the job."""
        for name, path in ((MIX, plan.audio.mix), (CHANNELS, plan.audio.channels)):
            if path.exists():
                check()
                store_file(self._blobs, path, shared_input_key(claim.job_id, claim.token, name))
        self._blobs.put(shared_input_key(claim.job_id, claim.token, PLAN), plan.recording.to_json())

    @contextmanager
    def open_plan(
        self, claim: Claim, media: Path, options: Options, context: AnalysisContext, *, channels: bool
    ) -> Iterator[AnalysisPlan]:
        """Load the plan and the decoded audio. `channels`: with the channels, if they were decoded.

        Raises FeaturesUnreadable.
        """
        stored = self._blobs.get(shared_input_key(claim.job_id, claim.split_token, PLAN)) or b""
        recording = RecordingPlan.from_json(stored)
        audio = DecodedAudio.in_folder(context.folder)
        with ExitStack() as stack:
            if self._blobs.exists(key := shared_input_key(claim.job_id, claim.split_token, MIX)):
                audio = replace(audio, mix=stack.enter_context(self._file(key, context)))
            if channels and self._blobs.exists(key := shared_input_key(claim.job_id, claim.split_token, CHANNELS)):
                audio = replace(audio, channels=stack.enter_context(self._file(key, context)))
            yield AnalysisPlan(media, options, audio, recording)

    def save_features(self, claim: Claim, path: Path) -> None:
        """Store the features of the claimed part."""
        store_file(self._blobs, path, self.features_key(claim))

    @contextmanager
    def open_features(self, claim: Claim, context: AnalysisContext) -> Iterator[list[Path]]:
        """Fetch the features files of all parts, in their order."""
        with ExitStack() as stack:
            keys = [
                part_features_key(claim.job_id, claim.split_token, part, token)
                for part, token in enumerate(claim.part_tokens)
            ]
            yield [stack.enter_context(self._file(key, context)) for key in keys]

    def features_key(self, claim: Claim) -> str:
        """Return the key of the features of the claimed part."""
        return part_features_key(claim.job_id, claim.split_token, claim.part or 0, claim.token)

    @contextmanager
    def _file(self, key: str, context: AnalysisContext) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=context.folder))  # all copies have the same name
        with self._blobs.as_file(key, folder, context.listener.check) as path:
            yield path


def store_file(blobs: BlobStore, path: Path, key: str) -> None:
    with path.open("rb") as source, blobs.open_writer(key) as target:
        shutil.copyfileobj(source, target, 1 << 20)
