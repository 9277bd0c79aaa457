"""Summaries of results in the jobs of the API."""

from tests.app.conftest import Gateway
from tests.ml.reports.made_results import result as make_result
from tests.ml.reports.made_results import window
from workers.protocol.blob_keys import summary_key
from workers.protocol.records import JobSummary


def summary_of(gateway: Gateway, job_id: str) -> dict[str, object] | None:
    found: dict[str, object] | None = gateway.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    return found


def test_job_list_shows_the_summary_of_each_result(gateway: Gateway) -> None:
    job_id = gateway.made()
    assert summary_of(gateway, job_id) is None
    gateway.succeed()
    assert summary_of(gateway, job_id) is None, "a result of an earlier release has none"
    result = make_result([window(0, 4, "happy")])
    record = gateway.job_store.get(job_id)
    assert record is not None
    summary = JobSummary.of_result(result)
    gateway.blobs.put(summary_key(job_id, record.token), summary.model_dump_json().encode())
    shown = gateway.client.get("/v1/jobs").json()["jobs"][0]["summary"]
    assert shown == summary_of(gateway, job_id)
    assert (shown["emotion"], shown["kind"]) == (result.overall.emotion, result.media.kind)


def test_summary_is_erased_with_the_job(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.succeed()
    gateway.blobs.put(
        summary_key(job_id, 1), JobSummary.of_result(make_result([window(0, 4, "happy")])).model_dump_json().encode()
    )
    assert summary_of(gateway, job_id) is not None
    gateway.client.delete(f"/v1/jobs/{job_id}")
    assert gateway.stored() == []
