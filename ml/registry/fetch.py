"""Weights from a hub into the model store: complete and checked, or not at all."""

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
from ml.registry.licences import licence_of_tags

Progress = Callable[[int, int], None]
"""Is told bytes at hand and bytes in all."""

WHISPER_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
WHISPER_NEEDS = ("model.bin", "config.json", "tokenizer.json")
RECORD = "whisper.json"

_SIZES = ("tiny", "base", "small", "medium")
# As faster-whisper names them.
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
class Source:
    """Where a Whisper model comes from, and the name under which it is kept."""

    name: str
    repository: str
    revision: str = "main"

    @classmethod
    def of(cls, asked: str, revision: str = "main") -> "Source":
        """`asked`: a size that faster-whisper knows, or OWNER/REPO, kept as REPO. Raises FetchFailed for others."""
        if asked in WHISPER_REPOSITORIES:
            return cls(asked, WHISPER_REPOSITORIES[asked], revision)
        named = _REPOSITORY.fullmatch(asked)
        if named is None:
            known = ", ".join(sorted(WHISPER_REPOSITORIES))
            raise FetchFailed(f"{asked!r} is no Whisper model: name OWNER/REPO on the hub, or one of {known}")
        return cls(named[1], asked, revision)


def fetch_whisper(source: Source, store_root: Path, progress: Progress, endpoint: str = HUB) -> Path:
    """Brings a Whisper model in CTranslate2 form to `<store_root>/whisper/<name>` and returns that folder.

    The folder appears by one rename, with `whisper.json`: the sha256 of each file, repository and revision. What an
    interrupted call has brought is kept in a hidden folder beside it, for the next call to go on with. A model that is
    there already is left as it is. `progress` is told bytes at hand and in all.

    Raises FetchFailed: no hub, no such model, a wrong hash, a full disk, or another model of that name in the store.
    """
    folder = store_root / "whisper" / source.name
    try:
        with Hub(endpoint) as hub:
            found = hub.snapshot(source.repository, source.revision)
            files = _wanted(source, found.files)
            licence = licence_of_tags(found.tags, source.repository)
            record = {"repository": source.repository, "revision": found.revision}
            if folder.exists():
                return _same(folder, files, record)
            with staging_of(folder) as staging:
                bring(hub, record, files, staging, progress)
                _write_record(staging, files, record | {"licence": licence.model_dump()})
                staging.rename(folder)
    except OSError as error:
        raise FetchFailed(f"the model {source.name} cannot be written: {error.strerror}") from error
    return folder


def _wanted(source: Source, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files that faster-whisper reads, the small ones first; nothing else of the repository."""
    wanted = [
        file
        for file in files
        if "/" not in file.name and any(fnmatchcase(file.name, pattern) for pattern in WHISPER_FILES)
    ]
    missing = set(WHISPER_NEEDS) - {file.name for file in wanted}
    if missing:
        raise FetchFailed(
            f"{source.repository} is no Whisper model in CTranslate2 form: it has no {', '.join(sorted(missing))}"
        )
    return sorted(wanted, key=lambda file: (file.size, file.name))


def _same(folder: Path, files: Sequence[RemoteFile], record: dict[str, str]) -> Path:
    """The folder, if it holds just that; a model in the store is never changed."""
    if all(file.is_content_of(folder / file.name) for file in files) and (folder / RECORD).is_file():
        return folder
    raise FetchFailed(
        f"the store has another model {folder.name}, or a damaged one: remove whisper/{folder.name} from it to fetch "
        f"{record['repository']}"
    )


@contextmanager
def staging_of(folder: Path) -> Iterator[Path]:
    """The hidden folder in which a download grows, held by one process at a time; it outlives a failure."""
    staging = folder.with_name(f".fetch-{folder.name}")
    staging.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        _lock(descriptor, folder.name)
        yield staging
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FetchFailed(f"another process is fetching {name}") from error


def bring(hub: Hub, record: dict[str, str], files: Sequence[RemoteFile], staging: Path, progress: Progress) -> None:
    """Downloads what `staging` does not hold yet, and removes from it what is of other contents."""
    _clear(staging, files)
    total, before = sum(file.size for file in files), 0
    for file in files:
        path = staging / file.name
        if not file.is_content_of(path):

            def told(at_hand: int, before: int = before) -> None:
                progress(before + at_hand, total)

            hub.download(record["repository"], record["revision"], file, path, told)
        before += file.size
        progress(before, total)


def _clear(staging: Path, files: Sequence[RemoteFile]) -> None:
    """Removes what an earlier call brought of other contents."""
    for path in staging.iterdir():
        if not any(path.name in (file.name, file.part_name) for file in files):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_record(folder: Path, files: Sequence[RemoteFile], record: Mapping[str, object]) -> None:
    digests = {
        file.name: file.lfs.sha256 if file.lfs else hashlib.sha256((folder / file.name).read_bytes()).hexdigest()
        for file in files
    }
    (folder / RECORD).write_text(json.dumps({"files": digests, **record}, indent=2) + "\n")
