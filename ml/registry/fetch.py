"""Whisper models of a hub in the model store: complete and verified, or not at all."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ml.errors import FetchFailed
from ml.registry.hub_download import HUB, Hub, RemoteFile
from ml.registry.licences import licence_from_tags

Progress = Callable[[int, int], None]
"""Function that is called with the number of bytes at hand and the total number of bytes."""

WHISPER_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
REQUIRED_WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json")
RECORD_FILE = "whisper.json"

_SIZES = ("tiny", "base", "small", "medium")
# The names and repositories of faster-whisper.
WHISPER_REPOSITORIES = {
    **{name: f"Systran/faster-whisper-{name}" for size in _SIZES for name in (size, f"{size}.en")},
    **{name: f"Systran/faster-whisper-{name}" for name in ("large-v1", "large-v2", "large-v3")},
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    **{
        f"distil-{name}": f"Systran/faster-distil-whisper-{name}"
        for name in ("small.en", "medium.en", "large-v2", "large-v3")
    },
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/([A-Za-z0-9][A-Za-z0-9._-]{0,63})")


@dataclass(frozen=True)
class WhisperSource:
    """Repository of a Whisper model, and the name under which the store keeps it."""

    name: str
    repository: str
    revision: str = "main"

    @classmethod
    def from_name(cls, name: str, revision: str = "main") -> "WhisperSource":
        """Return the source of a size that faster-whisper knows, or of OWNER/REPO, kept as REPO.

        Raises FetchFailed for any other name.
        """
        if name in WHISPER_REPOSITORIES:
            return cls(name, WHISPER_REPOSITORIES[name], revision)
        match = _REPOSITORY.fullmatch(name)
        if match is None:
            known = ", ".join(sorted(WHISPER_REPOSITORIES))
            raise FetchFailed(f"{name!r} is no Whisper model: name OWNER/REPO on the hub, or one of {known}")
        return cls(match[1], name, revision)


def fetch_whisper(source: WhisperSource, store_root: Path, progress: Progress, endpoint: str = HUB) -> Path:
    """Download a Whisper model in CTranslate2 form to `<store_root>/whisper/<name>` and return that folder.

    The folder appears by one rename, with `whisper.json`: the sha256 of each file, the repository and the revision. The
    files of an interrupted call stay in a hidden folder next to it, and the next call resumes them. A model that the
    store already has is left as it is.

    Raises FetchFailed: no hub, no such model, a wrong hash, a full disk, or another model of that name in the store.
    """
    folder = store_root / "whisper" / source.name
    try:
        hub = Hub(endpoint)
        snapshot = hub.snapshot(source.repository, source.revision)
        files = _select_files(source, snapshot.files)
        licence = licence_from_tags(snapshot.tags, source.repository)
        record = {"repository": source.repository, "revision": snapshot.revision}
        if folder.exists():
            return _verify_existing(folder, files, record)
        with staging_folder(folder) as staging:
            download_files(hub, record, files, staging, progress)
            _write_record(staging, files, record | {"licence": licence.model_dump()})
            staging.rename(folder)
    except OSError as error:
        raise FetchFailed(f"the model {source.name} cannot be written: {error.strerror}") from error
    return folder


def _select_files(source: WhisperSource, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """Return the files that faster-whisper reads, the small ones first."""
    wanted = [
        file
        for file in files
        if "/" not in file.name and any(fnmatchcase(file.name, pattern) for pattern in WHISPER_FILES)
    ]
    missing = set(REQUIRED_WHISPER_FILES) - {file.name for file in wanted}
    if missing:
        raise FetchFailed(
            f"{source.repository} is no Whisper model in CTranslate2 form: it has no {', '.join(sorted(missing))}"
        )
    return sorted(wanted, key=lambda file: (file.size, file.name))


def _verify_existing(folder: Path, files: Sequence[RemoteFile], record: dict[str, str]) -> Path:
    """Return the folder if it holds exactly these files; a model in the store is never changed. Raises FetchFailed."""
    if all(file.is_content_of(folder / file.name) for file in files) and (folder / RECORD_FILE).is_file():
        return folder
    raise FetchFailed(
        f"the store has another model {folder.name}, or a damaged one: remove whisper/{folder.name} from it to fetch "
        f"{record['repository']}"
    )


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Lock and yield the hidden folder that a download fills before it becomes `folder`; it outlives a failure.

    Raises FetchFailed if another process has locked it.
    """
    staging = folder.with_name(f".fetch-{folder.name}")
    staging.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FetchFailed(f"another process is fetching {folder.name}") from error
        yield staging
    finally:
        os.close(descriptor)


def download_files(
    hub: Hub, record: dict[str, str], files: Sequence[RemoteFile], staging: Path, progress: Progress
) -> None:
    """Download the files that `staging` lacks, and remove files of other content from it."""
    for path in staging.iterdir():
        if not any(path.name in (file.name, file.part_name) for file in files):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    total, before = sum(file.size for file in files), 0
    for file in files:
        path = staging / file.name
        if not file.is_content_of(path):

            def report(at_hand: int, before: int = before) -> None:
                progress(before + at_hand, total)

            hub.download(record["repository"], record["revision"], file, path, report)
        before += file.size
        progress(before, total)


def _write_record(folder: Path, files: Sequence[RemoteFile], record: Mapping[str, object]) -> None:
    digests = {
        file.name: file.lfs.sha256 if file.lfs else hashlib.sha256((folder / file.name).read_bytes()).hexdigest()
        for file in files
    }
    (folder / RECORD_FILE).write_text(json.dumps({"files": digests, **record}, indent=2) + "\n")
