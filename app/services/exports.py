"""Results of several jobs in one file: a table of all of them, or an archive with a file for each."""

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from app.errors import ValidationFailed
from app.http.negotiation import Export, file_name
from app.services.jobs import JobQueries
from ml.reports.formats import TABLES
from ml.reports.report import Report
from ml.results import Result

MAX_EXPORTED_JOBS = 100
"""Maximum number of jobs of an export."""
MAX_TABLE_BYTES = 64_000_000
"""Maximum bytes of the result documents that one table is made of."""
MAX_MEMORY_BYTES = 8_000_000
"""Bytes of an archive that are held in memory; a larger one is a file that has no name."""
CHUNK_BYTES = 1_000_000


@dataclass(frozen=True)
class JobExports:
    """Exports of several results of an owner."""

    jobs: JobQueries

    def table(self, owner: str, ids: Sequence[str], export: Export) -> bytes:
        """Return one table of all results, as CSV; for use in a thread. Raises what `JobQueries.find_succeeded`
        raises, and ValidationFailed."""
        reports, size = [], 0
        for name, document in self._results(owner, ids):
            size += len(document)
            if size > MAX_TABLE_BYTES:
                raise ValidationFailed("The results are too large for one table. Select fewer jobs, or another format.")
            reports.append(Report(name, Result.model_validate_json(document)))
        text = TABLES[export.rows or "windows"](reports)
        return text.encode("utf-8-sig" if export.bom else "utf-8")

    def archive(self, owner: str, ids: Sequence[str], export: Export) -> Iterator[bytes]:
        """Return the bytes of a ZIP archive with a file for each result; for use in a thread. Raises what
        `JobQueries.find_succeeded` raises, before the first byte."""
        stored: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES)  # noqa: SIM115 (`_chunks` closes it)
        names: set[str] = set()
        with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, document in self._results(owner, ids):
                archive.writestr(_unused(file_name(name, export.suffix), names), export.write(document, name))
        stored.seek(0)
        return _chunks(stored)

    def _results(self, owner: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name of the media and the result document of each job. All jobs are looked up first."""
        records = [self.jobs.find_succeeded(owner, job_id) for job_id in ids]
        for record in records:
            document, _ = self.jobs.find_result(owner, record.id)
            yield self.jobs.name(record), document


def _unused(name: str, used: set[str]) -> str:
    """Return the name, with a number if another file of the archive has it."""
    stem, dot, suffix = name.partition(".")
    number, candidate = 1, name
    while candidate.casefold() in used:
        number += 1
        candidate = f"{stem} ({number}){dot}{suffix}"
    used.add(candidate.casefold())
    return candidate


def _chunks(stored: IO[bytes]) -> Iterator[bytes]:
    with stored:
        while chunk := stored.read(CHUNK_BYTES):
            yield chunk
