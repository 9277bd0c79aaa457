"""Models are published, damaged and rolled back while a real worker works: no job notices but by the versions."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from ml.__main__ import main as ml
from ml.registry import Bundle
from tests import cluster, media_files
from tests.cluster import Gateway, until
from tests.toy_models import publish_face, with_model

ONE = Bundle(name="default", face="face@1", audio=None, text=None, fusion=None, whisper=None)


def test_a_bundle_is_swapped_under_load_and_a_bad_one_refused(tmp_path: Path) -> None:
    picture = media_files.make_image(tmp_path / "a.png", (64, 48))
    posted: list[str] = []

    def told(gateway: Gateway) -> dict[str, Any]:
        """What `/v1/models` says; each look posts a job, so that some are always under way."""
        posted.append(gateway.post(picture)["id"])
        return dict(gateway.client.get("/v1/models").raise_for_status().json())

    with cluster.running(tmp_path) as service:
        for seed in (1, 2, 3):
            publish_face(service.store, seed)
        service.store.write_bundle(ONE)
        service.start_worker()
        gateway = service.start_gateway()
        service.wait_for_workers()

        def face_of(job_id: str) -> str:
            record = service.ended(job_id)
            assert record.status == "succeeded" and record.attempts == 1, record
            return str(gateway.client.get(f"/v1/jobs/{job_id}/result").json()["models"]["face"])

        def serves(digest: str) -> bool:
            return [bundle["digest"] for bundle in told(gateway)["bundles"]] == [digest]

        two, bad = with_model(ONE, "face", "face@2"), with_model(ONE, "face", "face@3")
        assert serves(ONE.digest)
        service.store.write_bundle(two)
        until(lambda: serves(two.digest), every=0.2)
        assert face_of(gateway.post(picture)["id"]) == "face@2"

        weights = service.store.root / "face" / "3" / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[::-1])
        service.store.write_bundle(bad)
        (refused,) = until(lambda: told(gateway)["refused"], every=0.2)
        assert (refused["digest"], refused["workers"]) == (bad.digest, 1) and "damaged" in refused["reason"]
        assert "affect_workers_refusing 1.0" in gateway.client.get("/metrics").text
        assert serves(two.digest) and face_of(gateway.post(picture)["id"]) == "face@2"

        assert ml(["rollback", "default", "--store", str(service.store.root)]) == 0
        until(lambda: not told(gateway)["refused"], every=0.2)
        assert ml(["rollback", "default", "--store", str(service.store.root)]) == 0
        until(lambda: serves(ONE.digest), every=0.2)
        assert face_of(gateway.post(picture)["id"]) == "face@1"
        faces = [face_of(job_id) for job_id in posted]
    assert [faces[0], faces[-1]] == ["face@1", "face@1"] and set(faces) == {"face@1", "face@2"}
    assert sum(one != other for one, other in pairwise(faces)) == 2  # there, and back
