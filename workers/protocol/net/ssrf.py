"""Protection against server-side request forgery: addresses that callers may make the service connect to.

The same rules apply to links, pages and webhooks: http and https only, and public addresses only (IANA's
special-purpose registries, RFC 6890), except networks that the operator permits (`AFFECT_EGRESS_ALLOW`). The metadata
services of clouds, which hand out credentials, need an entry with exactly their address. A name is
resolved once, every resolved address is checked, and the connection goes to a checked address. A DNS answer that
changes later therefore has no effect.
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
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "168.63.129.16",  # Azure: the host of a virtual machine. Public according to IANA
            "192.80.8.124",  # Equinix Metal. Public according to IANA
            "169.254.169.254",  # AWS, Azure, Google Cloud, DigitalOcean, Hetzner, Oracle, OpenStack and others
            "169.254.170.2",  # AWS: containers
            "169.254.170.23",  # AWS: EKS Pod Identity
            "169.254.42.42",  # Scaleway
            "169.254.0.23",  # Tencent Cloud
            "100.100.100.200",  # Alibaba Cloud
            "192.0.0.192",  # Oracle Cloud, first generation
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS: EKS Pod Identity
            "fd20:ce::254",  # Google Cloud
            "fd00:42::42",  # Scaleway
            "fd00:a9fe:a9fe::1",  # Linode
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)
"""Addresses of the metadata services of clouds. They stay forbidden if the operator permits a network around them."""


class ForbiddenUrl(AffectError):
    """The service may not connect to the address."""

    code = "forbidden_url"


@dataclass(frozen=True)
class Target:
    """Destination of a URL: a name, or an address that was checked."""

    scheme: str
    host: str
    port: int


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as the operating system resolves it. Raises OSError."""
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class EgressPolicy:
    """Rules for outgoing connections. `allowed`: networks that are permitted in addition to the public ones."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolver = system_resolver

    @classmethod
    def from_settings(cls, settings: SharedSettings) -> Self:
        return cls(settings.egress_allow)

    def check_url(self, url: str) -> Target:
        """Check what needs no name resolution: scheme, form, and the address if the URL contains one. Raises
        ForbiddenUrl."""
        if len(url) > MAX_URL_LENGTH or not url.isprintable() or any(sign in url for sign in " \\"):
            raise ForbiddenUrl("The address is not a valid URL.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ForbiddenUrl("The address is not a valid URL.") from None
        if parts.scheme not in _PORTS:
            raise ForbiddenUrl("Only http and https addresses are allowed.")
        if "@" in parts.netloc:
            raise ForbiddenUrl("An address with a user name or password is not allowed.")
        if not host or port == 0:
            raise ForbiddenUrl("The address contains no host.")
        target = Target(parts.scheme, host, port or _PORTS[parts.scheme])
        literal = _literal(host)
        if literal is not None:
            self._check(literal)
        elif "[" in parts.netloc:
            raise ForbiddenUrl("The address contains no host.")
        return target

    def checked_addresses(self, target: Target) -> tuple[str, ...]:
        """Return the checked addresses of a target. Connect to these, never to its name.

        Raises ForbiddenUrl; FetchFailed if the name cannot be resolved.
        """
        literal = _literal(target.host)
        if literal is not None:
            self._check(literal)
            return (str(literal),)
        try:
            resolved = self.resolve(target.host, target.port)
            addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in resolved]
        except (OSError, UnicodeError, ValueError):
            raise FetchFailed("The host name of the address could not be resolved.", stage="fetch") from None
        if not addresses:
            raise FetchFailed("The host name of the address could not be resolved.", stage="fetch")
        for address in addresses:
            self._check(address)
        return tuple(dict.fromkeys(map(str, addresses)))

    def _check(self, address: IPAddress) -> None:
        embedded = _embedded(address)
        permitting = [network for network in self.allowed if embedded in network]
        if embedded in _METADATA:
            permitted = any(network.num_addresses == 1 for network in permitting)
        else:
            permitted = bool(permitting) or is_public(embedded)
        if not permitted:
            raise ForbiddenUrl("The address belongs to a network that is not allowed.")


def is_public(address: IPAddress) -> bool:
    """Return whether the address can belong to a host on the public internet."""
    if address in _METADATA:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _embedded(address: IPAddress) -> IPAddress:
    """Return the IPv4 address within an IPv6 one: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056); or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> IPAddress | None:
    """Return the address that a host is written as; None for a name.

    Raises ForbiddenUrl if the form is ambiguous: a zone, or a number that some programs read as octal, hexadecimal or
    shortened.
    """
    plain = unicodedata.normalize("NFKC", host).translate(_DOTS).lower().rstrip(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    if "%" in plain:
        raise ForbiddenUrl("An address with a zone or an escape is not allowed.")
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        pass
    if not _NAME.fullmatch(plain) or _NUMBER.fullmatch(plain.rpartition(".")[2]):
        raise ForbiddenUrl("The address is written in a form that is not allowed.")
    return None
