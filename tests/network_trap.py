"""Network namespace without a way out, which records what tries to leave it. Needs root, or user namespaces.

`trapped(command)` runs a command there; loopback works. Every other address is routed to a TUN device that this module
reads: DNS queries are answered with an address of that device, so that a connection attempt follows, which stays
unanswered. The namespace has its own process ids, so that its processes end with it.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CANNOT_TRAP = 77
"""Exit status if the namespace cannot be set up."""
_DEVICE = b"trap"
_ADDRESS, _NAMESERVER, _ANSWER = "192.0.2.1", "192.0.2.53", "192.0.2.99"  # of the range for documentation
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_SIOCADDRT, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x890B, 0x8914, 0x8916, 0x891C
_UP, _RTF_UP = 0x41, 1
_TCP, _UDP, _DNS_PORT = 6, 17, 53


@dataclass
class Attempts:
    """Result of a trapped command. `lookups`: names that were asked of DNS. `connections`: address and port of TCP
    connections and UDP packets that would have left the host. `output`: standard output and error."""

    status: int
    output: str = ""
    lookups: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trapped:
    """Running command in a trap."""

    process: subprocess.Popen[str]
    report: Path

    def wait(self, seconds: float) -> Attempts:
        """Return the result. Skips the test if the machine allows no trap."""
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()  # and with it all processes of the namespace
            output, _ = self.process.communicate()
            pytest.fail(f"the trapped command did not end within {seconds:g} s: {output}")
        if not self.report.exists():
            reason = output.strip().rpartition("\n")[2]
            assert self.process.returncode in (1, CANNOT_TRAP), output
            pytest.skip(f"no network namespace can be made here: {reason}")
        return Attempts(output=output, **json.loads(self.report.read_text()))


def trapped(command: Sequence[str], report: Path, environment: dict[str, str] | None = None) -> Trapped:
    """Start a command in a trap. `report`: file that the trap writes when the command has ended."""
    namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    trap = [sys.executable, "-m", "tests.network_trap", str(report), *command]
    try:
        process = subprocess.Popen(
            ["unshare", *user, *namespaces, *trap],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("needs unshare (of util-linux)")
    return Trapped(process, report)


def _open_device() -> int:
    """Create the TUN device, and route everything except loopback to it. Return its file descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE, _IFF_TUN_NO_PI))
    name = ctypes.create_string_buffer(_DEVICE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ipv4:
        fcntl.ioctl(ipv4, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _UP))
        fcntl.ioctl(ipv4, _SIOCSIFADDR, struct.pack("16s16s8x", _DEVICE, _sockaddr(_ADDRESS)))
        fcntl.ioctl(ipv4, _SIOCSIFNETMASK, struct.pack("16s16s8x", _DEVICE, _sockaddr("255.255.255.0")))
        fcntl.ioctl(ipv4, _SIOCSIFFLAGS, struct.pack("16sH22x", _DEVICE, _UP))
        everything = _sockaddr("0.0.0.0")
        route = (0, everything, everything, everything, _RTF_UP, 0, 0, 0, 0, ctypes.addressof(name), 0, 0, 0)
        fcntl.ioctl(ipv4, _SIOCADDRT, struct.pack("L16s16s16sHhLPhPLLH4x", *route))  # struct rtentry
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ipv6:
        index = socket.if_nametoindex(_DEVICE.decode())
        route6 = (bytes(16), bytes(16), bytes(16), 0, 0, 0, 1, 0, _RTF_UP, index)
        fcntl.ioctl(ipv6, _SIOCADDRT, struct.pack("16s16s16sIHHILIi", *route6))  # struct in6_rtmsg
    return device


def _sockaddr(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _record(device: int, attempts: Attempts) -> None:
    """Read packets forever. Neighbour discovery of IPv6 and the like are no attempts."""
    while packet := os.read(device, 65536):
        if packet[0] >> 4 == 4:
            header, protocol = 4 * (packet[0] & 15), packet[9]
            target = socket.inet_ntop(socket.AF_INET, packet[16:20])
        else:
            header, protocol = 40, packet[6]
            target = socket.inet_ntop(socket.AF_INET6, packet[24:40])
        payload = packet[header:]
        port = int.from_bytes(payload[2:4])
        if protocol == _UDP and port == _DNS_PORT:
            name, reply = _answer(payload[8:])
            attempts.lookups.append(name)
            os.write(device, _datagram(reply, source=packet[16:20], target=packet[12:16], port=payload[:2]))
        elif protocol == _UDP or (protocol == _TCP and payload[13] & 0x12 == 0x02):  # SYN without ACK
            attempts.connections.append(f"{target}:{port}")


def _answer(query: bytes) -> tuple[str, bytes]:
    """Return the name that a DNS query asks for, and a reply: one address, or none for other types than A."""
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode())
        position += length + 1
    end = position + 5  # zero, type, class
    is_address = query[position + 1 : position + 3] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(_ANSWER) if is_address else b""
    counts = struct.pack(">4H", 1, bool(record), 0, 0)
    return ".".join(labels), query[:2] + b"\x81\x80" + counts + query[12:end] + record


def _datagram(body: bytes, source: bytes, target: bytes, port: bytes) -> bytes:
    """Return an IPv4 packet with a UDP datagram from the DNS port."""
    udp = struct.pack(">H2sHH", _DNS_PORT, port, 8 + len(body), 0) + body
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, _UDP, 0, source, target)
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return header[:10] + checksum.to_bytes(2) + header[12:] + udp


def _bind(path: str, content: str) -> None:
    """Show other content at `path` in this mount namespace."""
    with tempfile.NamedTemporaryFile("w", prefix="affect-trap-") as file:
        file.write(content)
        file.flush()
        os.chmod(file.name, 0o644)
        subprocess.run(["mount", "--bind", file.name, os.path.realpath(path)], check=True)


def main() -> None:
    report, *command = sys.argv[1:]
    try:
        device = _open_device()
        _bind("/etc/resolv.conf", f"nameserver {_NAMESERVER}\n")
        _bind("/etc/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n")  # no resolver behind a socket
    except (OSError, subprocess.CalledProcessError) as error:
        print(error)
        sys.exit(CANNOT_TRAP)
    attempts = Attempts(0)
    threading.Thread(target=_record, args=(device, attempts), daemon=True).start()
    status = subprocess.run(command).returncode
    Path(report).write_text(
        json.dumps({"status": status, "lookups": attempts.lookups, "connections": attempts.connections})
    )


if __name__ == "__main__":
    main()
