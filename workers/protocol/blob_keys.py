"""Keys of the blobs of a job.

Each claim writes under a key of its own that contains its token. A late worker therefore never replaces what another
reads, or the files of the claim that finished the job.
"""

import re

_ARTIFACT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)


def job_prefix(job_id: str) -> str:
    """Return the prefix of every blob of a job."""
    return f"jobs/{job_id}"


def request_key(job_id: str) -> str:
    """Return the key of the job's request (`JobRequest`)."""
    return f"jobs/{job_id}/request.json"


def batch_key(job_id: str) -> str:
    """Return the key of the description of the batch whose first job this is."""
    return f"jobs/{job_id}/batch.json"


def ratings_key(job_id: str) -> str:
    """Return the key of the human ratings of a job's result."""
    return f"jobs/{job_id}/ratings.json"


def media_prefix(job_id: str) -> str:
    """Return the prefix of the job's media, uploaded or fetched."""
    return f"jobs/{job_id}/media"


def media_key(job_id: str, fetch_token: int = 0) -> str:
    """Return the key of the media. `fetch_token`: token of the claim that fetched them; 0 if they were uploaded."""
    return f"{media_prefix(job_id)}/{fetch_token}"


def fetched_media_info_key(job_id: str, fetch_token: int) -> str:
    """Return the key of the description of fetched media (`JobMedia`)."""
    return f"jobs/{job_id}/fetched-{fetch_token}.json"


def parts_prefix(job_id: str) -> str:
    """Return the prefix of everything that the parts of a long job read and write. It is deleted when the job ends."""
    return f"jobs/{job_id}/parts"


def shared_input_key(job_id: str, split_token: int, name: str) -> str:
    """Return the key of a file that the claim which split the job stored for all its parts."""
    return f"{parts_prefix(job_id)}/{split_token}/{name}"


def part_features_key(job_id: str, split_token: int, part: int, token: int) -> str:
    """Return the key of the features of one part, written by the claim of the part that has this token."""
    return f"{parts_prefix(job_id)}/{split_token}/{part:04}-{token}"


def cache_prefix(job_id: str, token: int) -> str:
    """Return the prefix of the files that allow the kept media to be analysed again quickly: features and audio."""
    return f"jobs/{job_id}/kept-{token}"


def result_key(job_id: str, token: int, edition: str = "") -> str:
    """Return the key of the result that this claim wrote; with an edition, of the result as the caller corrected it."""
    return f"jobs/{job_id}/result-{token}-{edition}.json" if edition else f"jobs/{job_id}/result-{token}.json"


def shares_key(job_id: str) -> str:
    """Return the key of the share links of a job."""
    return f"jobs/{job_id}/shares.json"


def summary_key(job_id: str, token: int, edition: str = "") -> str:
    """Return the key of the summary (`JobSummary`) of the result with the same token and edition."""
    return f"jobs/{job_id}/summary-{token}-{edition}.json" if edition else f"jobs/{job_id}/summary-{token}.json"


def changes_key(job_id: str, edition: str) -> str:
    """Return the key of what the caller changed of a job since its request (`JobChanges`)."""
    return f"jobs/{job_id}/changes-{edition}.json"


def artifacts_prefix(job_id: str, token: int) -> str:
    """Return the prefix of the artifacts that this claim wrote."""
    return f"jobs/{job_id}/artifacts-{token}"


def artifact_key(job_id: str, token: int, name: str) -> str:
    """Return the key of an artifact. Raises ValueError if the name is invalid (`is_artifact_name`)."""
    if not is_artifact_name(name):
        raise ValueError(f"{name!r} is not a valid artifact name")
    return f"{artifacts_prefix(job_id, token)}/{name}"


def is_artifact_name(name: str) -> bool:
    """Return whether an artifact may have this name: `annotated.mp4`, `heatmap-1-4.25.png`; never a path."""
    return _ARTIFACT_NAME.fullmatch(name) is not None and not name.endswith(".part")
