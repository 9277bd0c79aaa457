"""A long job in parts: what is stored for them, the work on one, and their join."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ml.inference.pipeline.context import OBSERVED, Work
from ml.inference.pipeline.decoded_audio import Soundtrack
from ml.inference.pipeline.partition import splits_well
from ml.results import Options, Result
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.records import Claim, JobRequest, part_key, shared_key

if TYPE_CHECKING:  # it imports torch
    from ml.inference.pipeline.features_file import Survey

SURVEY, MIX, CHANNELS = "survey", "mix", "channels"


class Parted(Exception):
    """Ends an analysis after its survey: the recording is worked on in so many parts."""

    def __init__(self, parts: int) -> None:
        super().__init__(parts)
        self.parts = parts


@dataclass(frozen=True)
class Lengths:
    """Seconds: from which a recording is worked on in parts, and of such a part."""

    long: float = 600.0
    part: float = 300.0


class Observing(Protocol):
    """What `workers.models.model_server.Serving` offers: the models are those that the survey names."""

    def observe(
        self, path: Path, options: Options, survey: bytes, part: int, into: Path, soundtrack: Soundtrack, work: Work
    ) -> None: ...

    def join(
        self, path: Path, options: Options, survey: bytes, parts: Sequence[Path], soundtrack: Soundtrack, work: Work
    ) -> Result: ...


def store_file(blobs: Blobs, path: Path, key: str) -> None:
    with path.open("rb") as source, blobs.writing(key) as target:
        shutil.copyfileobj(source, target, 1 << 20)


class PartWork:
    """The work on the parts of long jobs, over blobs."""

    def __init__(self, blobs: Blobs, models: Observing, lengths: Lengths) -> None:
        self._blobs, self._models, self._lengths = blobs, models, lengths

    def leave(self, claim: Claim, survey: "Survey", soundtrack: Soundtrack, check: Callable[[], None]) -> None:
        """Stores what the parts of a long recording share, and raises Parted; does nothing for another."""
        survey = survey.in_parts_of(self._lengths.part)
        if survey.expected <= self._lengths.long or len(survey.parts) < 2 or not splits_well(survey.info):
            return
        for name, path in ((MIX, soundtrack.mix), (CHANNELS, soundtrack.apart)):
            if path.exists():
                check()
                store_file(self._blobs, path, shared_key(claim.job_id, claim.token, name))
        self._blobs.put(shared_key(claim.job_id, claim.token, SURVEY), survey.json())
        raise Parted(len(survey.parts))

    def observe(self, claim: Claim, request: JobRequest, media: Path, scratch: Path, work: Work) -> None:
        """Stores the evidence of the claimed part."""
        assert claim.part is not None
        into = scratch / OBSERVED
        apart = request.options.channels == "separate"
        with self._soundtrack(claim, scratch, work.observer.check, apart=apart) as soundtrack:
            survey = self._survey(claim)
            self._models.observe(media, request.options, survey, claim.part, into, soundtrack, work)
        work.observer.check()
        store_file(self._blobs, into, self.key(claim))

    def join(self, claim: Claim, request: JobRequest, media: Path, scratch: Path, work: Work) -> Result:
        """The result of the parts, all of which are done."""
        check = work.observer.check
        with ExitStack() as stack:
            soundtrack = stack.enter_context(self._soundtrack(claim, scratch, check, apart=True))
            parts = [
                stack.enter_context(self._file(part_key(claim.job_id, claim.split, part, token), scratch, check))
                for part, token in enumerate(claim.parts)
            ]
            return self._models.join(media, request.options, self._survey(claim), parts, soundtrack, work)

    def key(self, claim: Claim) -> str:
        """Where the evidence of a claimed part lies."""
        return part_key(claim.job_id, claim.split, claim.part or 0, claim.token)

    def _survey(self, claim: Claim) -> bytes:
        return self._blobs.get(shared_key(claim.job_id, claim.split, SURVEY)) or b""

    @contextmanager
    def _soundtrack(
        self, claim: Claim, scratch: Path, check: Callable[[], None], *, apart: bool
    ) -> Iterator[Soundtrack]:
        """`apart`: with the channels, where they were decoded."""
        paths = {}
        with ExitStack() as stack:
            for name in (MIX, CHANNELS):
                key = shared_key(claim.job_id, claim.split, name)
                there = (apart or name == MIX) and self._blobs.exists(key)
                paths[name] = stack.enter_context(self._file(key, scratch, check)) if there else scratch / name
            yield Soundtrack(paths[MIX], paths[CHANNELS])

    @contextmanager
    def _file(self, key: str, scratch: Path, check: Callable[[], None]) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=scratch))  # copies have one name
        with self._blobs.as_file(key, folder, check) as path:
            yield path
