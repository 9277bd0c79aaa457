"""Which addresses a caller may make us reach: links, webhooks and pages alike (against server-side request forgery).

Only http and https, only public addresses (IANA's special-purpose registries, RFC 6890), but for networks that the
operator permits (`AFFECT_EGRESS_ALLOW`). A name is resolved once, every address of the answer is checked, and the
connection goes to an address that was checked: an answer that changes later changes nothing.
"""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from ml.errors import AffectError, FetchFailed
from workers.protocol.settings import Network, SharedSettings

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

MAX_URL_LENGTH = 2048
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[\w.-]+")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_DOTS = str.maketrans({"。": ".", "．": ".", "｡": "."})

_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenUrl(AffectError):
    """The address may not be reached from here."""

    code = "forbidden_url"


@dataclass(frozen=True)
class Target:
    """Where a URL leads: a name, or an address that was checked."""

    scheme: str
    host: str
    port: int


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True)
class EgressPolicy:
    """The rules, with the networks that are permitted besides the public ones."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolver = system_resolver

    @classmethod
    def from_settings(cls, settings: SharedSettings) -> Self:
        return cls(settings.egress_allow)

    def check_url(self, url: str) -> Target:
        """What can be told without asking anybody: scheme, form, and an address in place of a name. Raises
        ForbiddenUrl."""
        if len(url) > MAX_URL_LENGTH or not url.isprintable() or any(sign in url for sign in " \\"):
            raise ForbiddenUrl("The address is no URL.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ForbiddenUrl("The address is no URL.") from None
        if parts.scheme not in _PORTS:
            raise ForbiddenUrl("Only http and https addresses may be reached.")
        if "@" in parts.netloc:
            raise ForbiddenUrl("An address with a user name or password is not accepted.")
        if not host or port == 0:
            raise ForbiddenUrl("The address names no host.")
        target = Target(parts.scheme, host, port or _PORTS[parts.scheme])
        literal = _literal(host)
        if literal is not None:
            self._check(literal)
        elif "[" in parts.netloc:
            raise ForbiddenUrl("The address names no host.")
        return target

    def checked_addresses(self, target: Target) -> tuple[str, ...]:
        """The addresses of a target, every one of them checked: connect to these, never to its name. Raises
        ForbiddenUrl, or FetchFailed where the name is not known."""
        literal = _literal(target.host)
        if literal is not None:
            self._check(literal)
            return (str(literal),)
        try:
            answer = self.resolve(target.host, target.port)
            found = [ipaddress.ip_address(address.partition("%")[0]) for address in answer]
        except (OSError, UnicodeError, ValueError):
            raise FetchFailed("The name of the address is not known.", stage="fetch") from None
        if not found:
            raise FetchFailed("The name of the address is not known.", stage="fetch")
        for address in found:
            self._check(address)
        return tuple(dict.fromkeys(map(str, found)))

    def _check(self, address: IPAddress) -> None:
        meant = _embedded(address)
        if not is_public(meant) and not any(meant in network for network in self.allowed):
            raise ForbiddenUrl("The address lies in a network that may not be reached.")


def is_public(address: IPAddress) -> bool:
    """Whether anybody on the internet may have this address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _embedded(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056); or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> IPAddress | None:
    """The address that a host is written as; null for a name. Raises ForbiddenUrl for one in a form other than the
    usual: a zone, or a number that some read as octal, hexadecimal, or short."""
    plain = unicodedata.normalize("NFKC", host).translate(_DOTS).lower().rstrip(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    if "%" in plain:
        raise ForbiddenUrl("An address with a zone or an escape is not accepted.")
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        pass
    if not _NAME.fullmatch(plain) or _NUMBER.fullmatch(plain.rpartition(".")[2]):
        raise ForbiddenUrl("The address is written in a form that is not accepted.")
    return None
