"""Long jobs in parts, through the real job store and blobs; the analyzer finds nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.pipeline.context import DEFAULT_CONTEXT, AnalysisContext
from ml.inference.pipeline.features import Features
from ml.inference.pipeline.plan import AnalysisPlan, FrameSampling
from ml.results import Options, Result
from tests.documents import RESULT
from tests.redis_server import redis_server
from tests.workers.scripted_analyzer import ScriptedAnalyzer
from workers.jobs.analysis import AnalysisRunner
from workers.jobs.partition import SplitPolicy
from workers.jobs.runner import RunnerConfig
from workers.protocol.blob_keys import media_key, parts_prefix, request_key, result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import JobRequest, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs

POLICY = SplitPolicy(min_seconds=100, part_seconds=60)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


def plan_of(seconds: float | None, folder: Path, format_name: str = "mp4") -> AnalysisPlan:
    analyzer = ScriptedAnalyzer(lambda *_: RESULT, seconds, format_name)
    plan = analyzer.plan(folder / "media", Options(), replace(DEFAULT_CONTEXT, scratch=folder))
    return plan.in_parts_of(POLICY.part_seconds)


@pytest.mark.parametrize(
    ("seconds", "format_name", "expected"),
    [(150, "mp4", True), (100, "mp4", False), (150, "avi", False), (None, "png", False)],
)
def test_split_policy_splits_long_media_that_can_be_read_in_parts(
    seconds: float | None, format_name: str, expected: bool, tmp_path: Path
) -> None:
    assert POLICY.should_split(plan_of(seconds, tmp_path, format_name)) is expected


def test_split_policy_without_a_limit_never_splits(tmp_path: Path) -> None:
    assert not SplitPolicy().should_split(plan_of(10**6, tmp_path))


def test_split_policy_one_part_is_not_split(tmp_path: Path) -> None:
    plan = plan_of(150, tmp_path).in_parts_of(200)
    assert not SplitPolicy(min_seconds=100, part_seconds=200).should_split(plan)


@pytest.mark.parametrize(
    ("frame_rate", "width", "height", "part_seconds", "is_split"),
    [
        (5.0, 320, 180, 300, False),
        (5.0, 1280, 720, 240, False),
        (15.0, 1280, 720, 120, False),
        (30.0, 1280, 720, 60, True),
        (30.0, 7680, 4320, 60, True),
    ],
)
def test_split_policy_parts_have_the_same_work(
    frame_rate: float, width: int, height: int, part_seconds: float, is_split: bool, tmp_path: Path
) -> None:
    """The media is shorter than media that is split for its length."""
    policy = SplitPolicy(min_seconds=600, part_seconds=300, part_megapixels=3000)
    plan = plan_of(480, tmp_path)
    info = replace(plan.recording.info, width=width, height=height, frame_rate=30.0)
    plan = replace(plan, recording=replace(plan.recording, info=info, sampling=FrameSampling(frame_rate, 5, False)))
    in_parts = policy.in_parts(plan)
    assert in_parts.recording.part_seconds == part_seconds and policy.should_split(in_parts) is is_split
    assert max(part.end - part.start for part in in_parts.parts[:-1]) <= part_seconds


def test_runner_long_job_is_split_and_assembled_by_the_worker_of_its_last_part(url: str, tmp_path: Path) -> None:
    class Recorder(ScriptedAnalyzer):
        def extract(self, plan: AnalysisPlan, part: TimeSpan = WHOLE_MEDIA, *, context: AnalysisContext) -> Features:
            extracted.append(part.start)
            return super().extract(plan, part, context=context)

        def assemble(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
            assembled.append(plan.recording.part_seconds)
            return super().assemble(plan, features, context)

    extracted: list[float] = []
    assembled: list[float] = []
    woken: list[str] = []
    settings = SharedSettings(data_dir=tmp_path)
    job_store, blobs = JobStore(Redis.from_url(url), settings), BlobStore.from_settings(settings)
    job_id = new_job_id()
    blobs.put(media_key(job_id), b"media")
    blobs.put(request_key(job_id), JobRequest().model_dump_json().encode())
    job_store.create(NewJobs([job_id], "ann"))
    runner = AnalysisRunner(
        job_store, blobs, Recorder(lambda *_: RESULT, 150), RunnerConfig(), woken.append, split_policy=POLICY
    )

    assert runner.run_next() == job_id and extracted == []
    assert woken == ["inference"] * 3 and blobs.exists(parts_prefix(job_id))
    for count in (1, 2, 3):
        assert runner.run_next() == job_id and extracted == [60.0 * part for part in range(count)]
        assert assembled == ([60.0] if count == 3 else [])
    record = job_store.get(job_id)
    assert record is not None and record.status == "succeeded"
    assert blobs.get(result_key(job_id, record.token)) == RESULT.model_dump_json().encode()
    assert not blobs.exists(parts_prefix(job_id)) and not blobs.exists(media_key(job_id))
    assert runner.run_next() is None
