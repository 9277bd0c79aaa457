import asyncio
import hashlib
import re
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import FileRefused, ValidationFailed
from app.http import multipart
from app.http.uploads import UploadForm, UploadLimits, UploadReader
from ml.errors import AffectError, FileTooLarge
from tests.app.multipart import BOUNDARY, Part, chop, encode

PNG = b"\x89PNG\r\n\x1a\n"
LIMITS = UploadLimits(
    max_file_bytes=10_000, max_files=3, max_field_bytes={"options": 1000, "tag": 20}, max_repeats=4, idle_seconds=5
)


@dataclass
class Store:
    """Sinks in memory; `files` are those that were closed and not discarded."""

    files: dict[int, bytes] = field(default_factory=dict)
    opened: int = 0
    broken: Exception | None = None

    def open(self) -> "MemorySink":
        self.opened += 1
        return MemorySink(self, self.opened - 1)


@dataclass
class MemorySink:
    store: Store
    number: int
    data: bytearray = field(default_factory=bytearray)

    async def write(self, data: bytes) -> None:
        if self.store.broken:
            raise self.store.broken
        self.data += data

    async def close(self) -> None:
        self.store.files[self.number] = bytes(self.data)

    async def discard(self) -> None:
        self.store.files.pop(self.number, None)


async def pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def accept(name: str, value: str) -> None:
    """Any field will do."""


def receive(chunks: Iterable[bytes], store: Store, limits: UploadLimits = LIMITS) -> UploadForm:
    async def run() -> UploadForm:
        async with UploadReader(limits, store.open, accept) as receiver:
            form = await receiver.read(pieces(chunks), BOUNDARY)
            receiver.commit()
            return form

    return asyncio.run(run())


near_boundary = st.sampled_from(
    [b"\r\n--" + BOUNDARY[:-1], b"\r\n--" + BOUNDARY + b"x", b"\r\n", b"--", BOUNDARY, b"\r"]
)
delimiter = re.compile(rb"\r\n--" + re.escape(BOUNDARY) + rb"(\r\n|--|[ \t])")
contents = (
    st.lists(near_boundary | st.binary(max_size=40), max_size=6)
    .map(lambda parts: PNG + b"".join(parts))
    .filter(lambda content: not delimiter.search(content + b"\r\n"))  # a client chooses a boundary that is in no file
)


@settings(max_examples=300, deadline=None)
@given(
    files=st.lists(contents, min_size=1, max_size=3),
    fields=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=3),
    cuts=st.lists(st.integers(0, 10_000), max_size=40),
    order=st.randoms(use_true_random=False),
)
def test_read_form_in_any_chunks_and_order_is_equal(files, fields, cuts, order) -> None:
    parts: list[Part] = [("file", content, "a.png") for content in files]
    parts += [("tag", value.encode()) for value in fields]
    order.shuffle(parts)
    store = Store()
    form = receive(chop(encode(parts), cuts), store)
    sent = [part[1] for part in parts if part[0] == "file"]
    assert [store.files[number] for number in range(len(sent))] == sent
    assert [file.sha256 for file in form.files] == [hashlib.sha256(content).hexdigest() for content in sent]
    assert [file.size for file in form.files] == [len(content) for content in sent]
    assert form.fields.get("tag", []) == [part[1].decode() for part in parts if part[0] == "tag"]


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(1, 400), noise=st.binary(min_size=1, max_size=8), place=st.integers(0, 400))
def test_read_damaged_body_leaves_no_files(cut: int, noise: bytes, place: int) -> None:
    body = bytearray(encode([("options", b"{}"), ("file", PNG * 10, "a.png"), ("tag", b"x")]))
    body[place % len(body) : place % len(body) + len(noise)] = noise
    store = Store()
    try:
        receive([bytes(body[: len(body) - cut % len(body)])], store)
    except AffectError:
        assert store.files == {}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([("surprise", b"1")], "no field"),
        ([("options", b"x" * 1001)], "more than 1000 bytes"),
        ([("tag", b"x")] * 5, "more than 4 times"),
        ([("tag", b"\xff\xfe")], "UTF-8"),
        ([("file", PNG, "a.png")] * 4, "more than 3 files"),
    ],
)
def test_read_invalid_part_is_named(parts: list[Part], reason: str) -> None:
    store = Store()
    with pytest.raises(ValidationFailed, match=reason):
        receive([encode(parts)], store)
    assert store.files == {}


@pytest.mark.parametrize(
    ("second", "code"),
    [(b"", "media_invalid"), (b"plain text", "unsupported_media"), (PNG + bytes(9_990), "file_too_large")],
)
def test_read_bad_file_rejects_all_and_reports_index(second: bytes, code: str) -> None:
    store = Store()
    with pytest.raises(FileRefused) as refused:
        receive([encode([("file", PNG + b"first", "a"), ("file", second, "b")])], store)
    assert refused.value.reason.code == code
    assert refused.value.errors[0].index == 1
    assert store.files == {}


def test_read_text_file_stores_nothing() -> None:
    store = Store()
    with pytest.raises(FileRefused):
        receive([encode([("file", b"#EXTM3U\nfile:///etc/passwd", "video.mp4")])], store)
    assert store.opened == 0


def test_read_file_of_maximum_size_is_accepted() -> None:
    store = Store()
    receive([encode([("file", PNG + bytes(9_992), "a")])], store)
    assert len(store.files[0]) == 10_000


def test_read_endless_body_is_aborted() -> None:
    """However it is framed: here a part whose headers go on."""
    with pytest.raises((FileTooLarge, ValidationFailed)):
        receive((b"\r\n" * 1000 for _ in range(10_000)), Store())


def test_read_stalled_body_is_aborted() -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield encode([("file", PNG, "a")])[:-10]
        await asyncio.Event().wait()

    store = Store()
    limits = UploadLimits(max_file_bytes=100, max_files=1, max_field_bytes={}, idle_seconds=0.05)

    async def run() -> None:
        async with UploadReader(limits, store.open, accept) as receiver:
            await receiver.read(stalled(), BOUNDARY)

    with pytest.raises(ValidationFailed, match="stalled"):
        asyncio.run(run())
    assert store.files == {}


def test_read_body_in_drops_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MIN_BYTES_PER_SECOND", 100_000)
    body = encode([("file", PNG + bytes(90), "a")])

    async def drops() -> AsyncIterator[bytes]:
        for place in range(len(body)):
            await asyncio.sleep(0.02)
            yield body[place : place + 1]

    store = Store()
    limits = UploadLimits(max_file_bytes=100, max_files=1, max_field_bytes={}, idle_seconds=0.3)

    async def run() -> None:
        async with UploadReader(limits, store.open, accept) as receiver:
            await receiver.read(drops(), BOUNDARY)

    with pytest.raises(ValidationFailed, match="too slow"):
        asyncio.run(run())
    assert store.files == {}


def test_read_storage_error_propagates_and_discards_files() -> None:
    store = Store()

    async def run() -> None:
        async with UploadReader(LIMITS, store.open, accept) as receiver:
            await receiver.read(pieces([encode([("file", PNG, "a")])]), BOUNDARY)
            store.broken = OSError(28, "No space left on device")
            await receiver.read(pieces([encode([("file", PNG, "b")])]), BOUNDARY)

    with pytest.raises(OSError, match="No space"):
        asyncio.run(run())
    assert store.files == {}


def test_read_large_file_uses_constant_memory() -> None:
    class Drain(MemorySink):
        async def write(self, data: bytes) -> None:
            pass

    size = 100 * 2**20
    block = bytes(65536)

    def body() -> Iterable[bytes]:
        whole = encode([("file", PNG, "a")])
        at = whole.index(PNG) + len(PNG)
        yield whole[:at]
        for _ in range(size // len(block)):
            yield block
        yield whole[at:]

    def open_drain() -> Drain:
        return Drain(Store(), 0)

    async def run() -> UploadForm:
        async with UploadReader(UploadLimits(2**30, 1, {}), open_drain, accept) as receiver:
            return await receiver.read(pieces(body()), BOUNDARY)

    tracemalloc.start()
    form = asyncio.run(run())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert form.files[0].size == size + len(PNG)
    assert peak < 8 * 2**20


def test_read_invalid_field_ends_upload_early() -> None:
    seen = []

    async def check(name: str, value: str) -> None:
        seen.append((name, value))
        raise ValidationFailed("bad options")

    def body() -> Iterable[bytes]:
        yield encode([("options", b"{", "options.json"), ("file", PNG, "a")])[:200]
        pytest.fail("the rest was read though the options are bad")

    async def run() -> None:
        async with UploadReader(LIMITS, Store().open, check) as receiver:
            await receiver.read(pieces(body()), BOUNDARY)

    with pytest.raises(ValidationFailed, match="bad options"):
        asyncio.run(run())
    assert seen == [("options", "{")]


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\temp\\x.mp4", "a" * 4000, "naïve ☃.mp4", "\x00"])
def test_read_file_name_is_limited(name: str) -> None:
    form = receive([encode([("file", PNG, name)])], Store())
    assert 0 < len(form.files[0].name) <= 255


def test_read_endless_header_is_rejected() -> None:
    with pytest.raises(ValidationFailed, match="malformed"):
        receive([encode([("file", PNG, "a" * 5000)])], Store())
