"""`/v1/stream` as a client meets it: a real WebSocket, a real Redis; in place of a worker, its end of the line."""

import hashlib
import json
import struct
import time
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed

from app.services import streams
from app.services.streams import MAX_START_BYTES
from ml.results import Reading
from ml.vocabulary import EMOTIONS
from tests.app.conftest import Gateway, OpenGateway, eventually
from tests.app.live_streams import live_worker, refused, stream, told
from workers.protocol.broker import MAX_PENDING_WAKE_UPS, make_celery, pending_wake_ups
from workers.protocol.live.messages import Ended, LiveModalities, Ready, Update
from workers.protocol.live.streams import StreamInput, WorkerStreams
from workers.protocol.records import Failure, Heartbeat

READY = Ready(labels=EMOTIONS, bundle="default")


def update(at: float = 0.0, dropped: int = 0) -> Update:
    return Update(
        time=at,
        width=64,
        height=48,
        faces=(),
        **Reading.empty().model_dump(),
        modalities=LiveModalities(),
        missing=("face", "audio", "text"),
        dropped=dropped,
    )


def frame(at: float, payload: bytes = b"jpeg") -> bytes:
    return struct.pack("<Bd", 1, at) + payload


def adopted(desk: WorkerStreams) -> str:
    found: list[str] = []

    def waits() -> bool:
        waiting = desk.accept()
        found.extend([waiting[0]] if waiting else [])
        return bool(found)

    assert eventually(waits)
    desk.send(found[0], READY)
    return found[0]


def arrived(desk: WorkerStreams, name: str, holds: Callable[[StreamInput], bool]) -> StreamInput:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        arrival = desk.receive(0.5).get(name, StreamInput())
        if holds(arrival):
            return arrival
    pytest.fail("it does not arrive")


def test_stream_relays_frames_and_updates(gateway: Gateway) -> None:
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send(json.dumps({"options": {"window_seconds": 3, "classes": "full"}}))
        name = adopted(desk)
        assert told(socket) == json.loads(READY.model_dump_json())
        socket.send(frame(1.5, b"a picture"))
        socket.send(struct.pack("<Bd", 2, 1.25) + b"\1\0\2\0")
        seen, sounds = None, ()
        while seen is None or not sounds:
            arrival = arrived(desk, name, lambda arrival: bool(arrival.frame or arrival.sounds))
            seen, sounds = arrival.frame or seen, (*sounds, *arrival.sounds)
        assert (seen.number, seen.packet.time, seen.packet.payload) == (1, 1.5, b"a picture")
        assert [(sound.time, sound.payload) for sound in sounds] == [(1.25, b"\1\0\2\0")]
        desk.send(name, update(1.5), frame=1)
        got = told(socket)
        assert (got["type"], got["time"], got["dropped"]) == ("update", 1.5, 0) and 0 < got["latency"] < 20
        desk.send(name, update(1.5))
        assert told(socket)["latency"] is None
    assert eventually(lambda: desk.remove_closed() == [name])
    assert eventually(lambda: not gateway.redis.keys("live*"))


def test_stream_frames_above_rate_are_dropped_and_counted(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(live_frame_rate=0.5)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        name = adopted(desk)
        for number in range(5):
            socket.send(frame(number / 10))
        socket.send(struct.pack("<Bd", 2, 0.5) + b"\0\0")  # comes through after them
        newest = arrived(desk, name, lambda arrival: arrival.frame is not None).frame
        assert newest is not None and newest.number == 1


@pytest.mark.parametrize(
    ("first", "then", "code", "close"),
    [
        ("no json", None, "invalid_options", 1003),
        ('{"options": {"window": 3}}', None, "invalid_options", 1003),
        (b"\1", None, "validation_failed", 1003),
        ("{}", "more text", "validation_failed", 1003),
        ("{}", b"\3" + bytes(20), "validation_failed", 1003),
        ("{}", frame(0.0), "validation_failed", 1003),
        ("{}", frame(0.0, bytes(5000)), "file_too_large", 1009),
    ],
)
def test_stream_invalid_message_closes_with_problem(
    open_gateway: OpenGateway, first: str | bytes, then: str | bytes | None, code: str, close: int
) -> None:
    gateway = open_gateway(live_message_bytes=4000)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send(first)
        if then is not None:
            adopted(desk)
            assert told(socket)["type"] == "ready"
            socket.send(then if then != frame(0.0) else struct.pack("<Bd", 1, float("nan")) + b"x")
        assert refused(socket) == (code, close)


def test_stream_without_live_worker_closes_at_once(gateway: Gateway) -> None:
    gateway.worker_registry.heartbeat(Heartbeat(worker="w:1", kinds=("inference",), bundle="default", loaded=True))
    with stream(gateway) as socket:
        socket.send("{}")
        assert refused(socket) == ("queue_unavailable", 1013)


def test_stream_above_limit_of_caller_is_rejected(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(live_per_key=1)
    desk = live_worker(gateway)
    with stream(gateway) as first:
        first.send("{}")
        adopted(desk)
        with stream(gateway) as second:
            second.send("{}")
            assert refused(second) == ("rate_limited", 1013)
    assert eventually(lambda: not gateway.redis.keys("live*"))
    with stream(gateway) as third:
        third.send("{}")
        adopted(desk)
        assert told(third)["type"] == "ready"


@pytest.mark.parametrize(
    ("ended", "code", "close"),
    [
        (Ended(), "worker_lost", 1012),
        (Ended(failure=Failure(code="media_invalid", message="No picture.", stage="decode")), "media_invalid", 1003),
        (Ended(failure=Failure(code="internal_error", message="Number 1.", retryable=True)), "internal_error", 1011),
    ],
)
def test_stream_ended_by_worker_closes_with_problem(gateway: Gateway, ended: Ended, code: str, close: int) -> None:
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        name = adopted(desk)
        assert told(socket)["type"] == "ready"
        desk.send(name, ended)
        assert refused(socket) == (code, close)


@pytest.mark.slow
def test_stream_silent_worker_is_lost(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UPDATE_TIMEOUT_SECONDS", 1.5)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        adopted(desk)
        assert told(socket)["type"] == "ready"
        assert refused(socket) == ("worker_lost", 1011)


@pytest.mark.slow
def test_stream_silent_client_is_closed(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(live_idle_seconds=1.5)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        adopted(desk)
        assert told(socket)["type"] == "ready"
        assert refused(socket) == ("validation_failed", 1001)


def test_stream_other_origin_or_missing_key_is_rejected(open_gateway: OpenGateway) -> None:
    for origin in ("https://evil.example", "http://["):
        with stream(open_gateway(), additional_headers={"Origin": origin}) as socket:
            assert refused(socket) == ("unauthorized", 1008)
    key = f"ann:{hashlib.sha256(b'secret').hexdigest()}"
    gateway = open_gateway(api_keys=key)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        assert refused(socket) == ("unauthorized", 1008)
    with stream(gateway, additional_headers={"Authorization": "Bearer secret"}) as socket:
        socket.send("{}")
        adopted(desk)
        assert told(socket)["type"] == "ready"


def test_streams_opened_again_and_again_leave_few_wake_ups(gateway: Gateway) -> None:
    live_worker(gateway)
    for _ in range(MAX_PENDING_WAKE_UPS + 4):  # its worker is busy, and takes none
        with stream(gateway) as socket:
            socket.send("{}")
            assert eventually(lambda: gateway.redis.exists("live:waiting"))
        assert eventually(lambda: not gateway.redis.exists("live:waiting"))
    assert 0 < pending_wake_ups(make_celery(gateway.settings), "live") <= MAX_PENDING_WAKE_UPS
    assert gateway.redis.keys("live*") == []


def test_stream_accepts_ticket(open_gateway: OpenGateway) -> None:
    key = f"ann:{hashlib.sha256(b'secret').hexdigest()}"
    gateway = open_gateway(api_keys=key, headers={"Authorization": "Bearer secret"})
    desk = live_worker(gateway)
    ticket = gateway.client.post("/v1/tickets").raise_for_status().json()["ticket"]
    with stream(gateway, f"?ticket={ticket}") as socket:
        socket.send("{}")
        adopted(desk)
        assert told(socket)["type"] == "ready"
    with stream(gateway, "?ticket=none") as socket:
        assert refused(socket) == ("unauthorized", 1008)


def test_stream_start_message_above_limit_is_too_large(gateway: Gateway) -> None:
    with stream(gateway) as socket:
        socket.send(json.dumps({"options": {"language": "x" * MAX_START_BYTES}}))
        assert refused(socket) == ("file_too_large", 1009)


def test_stream_many_wrong_options_get_short_answer(gateway: Gateway) -> None:
    with stream(gateway) as socket:
        socket.send(json.dumps({"options": {f"unknown {number} {'x' * 300}": number for number in range(150)}}))
        answer = socket.recv(timeout=20)
    assert len(answer) < 20_000
    faults = json.loads(answer)["problem"]["errors"]
    assert len(faults) == 20 and all(len(fault["location"]) <= 200 for fault in faults)


def test_stream_huge_message_closes_socket(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(live_message_bytes=4000)
    with stream(gateway) as socket, pytest.raises(ConnectionClosed):
        socket.send(bytes(3_000_000))
        socket.recv(timeout=20)
    assert gateway.client.get("/livez").status_code == 200


def test_stream_accepts_no_compression(gateway: Gateway) -> None:
    with stream(gateway, compression="deflate") as socket:
        assert socket.protocol.extensions == []


@pytest.mark.slow
def test_stream_is_read_at_limited_rate(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(live_bytes_per_second=200_000, live_message_bytes=2**20)
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        name = adopted(desk)
        assert told(socket)["type"] == "ready"
        began = time.monotonic()
        socket.send(frame(1.0, bytes(600_000)))
        arrived(desk, name, lambda arrival: arrival.frame is not None)
        assert 1.5 < time.monotonic() - began < 8  # the first second's bytes come at once


@pytest.mark.slow
def test_stream_flood_of_pings_leaves_others_alone(gateway: Gateway) -> None:
    desk = live_worker(gateway)
    with stream(gateway) as flooded, stream(gateway) as other:
        other.send("{}")
        name = adopted(desk)
        assert told(other)["type"] == "ready"
        flooded.socket.settimeout(2)
        sent, ping = 0, bytes([0x89, 0x80, 0, 0, 0, 0]) * 10_000
        try:
            while sent < 20_000_000:
                flooded.socket.sendall(ping)
                sent += len(ping)
        except OSError:
            pass
        assert sent < 20_000_000  # the gateway stops reading
        began = time.monotonic()
        other.send(frame(1.0))
        arrived(desk, name, lambda arrival: arrival.frame is not None)
        assert gateway.client.get("/livez").status_code == 200
        assert time.monotonic() - began < 2
        flooded.socket.close()


def test_stream_sound_faster_than_real_time_is_dropped(gateway: Gateway) -> None:
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        name = adopted(desk)
        assert told(socket)["type"] == "ready"
        for number in range(40):
            socket.send(struct.pack("<Bd", 2, number) + bytes(32_000))
        socket.send(frame(1.0))
        seconds, frames = 0.0, 0
        while not frames:
            arrival = arrived(desk, name, lambda arrival: bool(arrival.frame or arrival.sounds))
            seconds += sum(sound.sound_seconds for sound in arrival.sounds)
            frames += arrival.frame is not None
        assert 15 <= seconds <= 30


def test_stream_frames_of_changing_size_are_relayed(gateway: Gateway) -> None:
    desk = live_worker(gateway)
    with stream(gateway) as socket:
        socket.send("{}")
        name = adopted(desk)
        assert told(socket)["type"] == "ready"
        for size in (10, 100_000, 1, 500_000):
            socket.send(frame(1.0, bytes(size)))
            newest = arrived(desk, name, lambda arrival: arrival.frame is not None).frame
            assert newest is not None and len(newest.packet.payload) == size
            time.sleep(0.1)
