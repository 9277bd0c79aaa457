"""Live messages: what a client sends is a packet or refused."""

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.live.messages import MessageInvalid, Packet


@given(st.sampled_from([(1, "frame"), (2, "sound")]), st.floats(0, 1e6), st.binary(min_size=1, max_size=40))
def test_packet_parse_reads_what_was_written(kind: tuple[int, str], time: float, payload: bytes) -> None:
    packet = Packet.parse(struct.pack("<Bd", kind[0], time) + payload)
    assert (packet.kind, packet.time, packet.payload) == (kind[1], time, payload)


@given(st.binary(max_size=30) | st.builds(struct.pack, st.just("<Bd4s"), st.integers(0, 4), st.floats(), st.binary()))
def test_packet_parse_other_bytes_are_rejected(message: bytes) -> None:
    with suppress(MessageInvalid):
        packet = Packet.parse(message)
        assert packet.payload and 0 <= packet.time < 1e9
