"""Which addresses may be reached. No name is asked of a real resolver here."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import FetchFailed
from workers.protocol.net.ssrf import EgressPolicy, ForbiddenUrl, Target, is_public
from workers.protocol.settings import SharedSettings


def resolving(*addresses: str, allowed: tuple[str, ...] = ()) -> EgressPolicy:
    return EgressPolicy(tuple(map(ipaddress.ip_network, allowed)), lambda host, port: addresses)


def never(host: str, port: int) -> list[str]:
    pytest.fail(f"{host} was looked up")


PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2002:c0a8:101::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
METADATA = [
    "168.63.129.16", "192.80.8.124", "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42",
    "169.254.0.23", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
    "fd00:a9fe:a9fe::1", "fe80::a9fe:a9fe", "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "2002:a83f:8110::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "223.255.255.255", "2606:4700:4700::1111",
          "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]  # fmt: skip
ODD = [
    "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.1.",
    "127.0.0.01", "0", "0x", "1.2.3.4.5", "999.1.1.1", "127。0。0。1", "①②⑦.0.0.1", "localhost", "LOCALHOST",
    "localhost.", "a.localhost", "[fe80::1%25eth0]", "[fe80::1%1]", "127.0.0.1%00",
    "%31%32%37.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "[v1.x]",
]  # fmt: skip


@pytest.mark.parametrize("address", [*PRIVATE, *METADATA])
def test_egress_policy_private_address_is_forbidden_as_literal_and_as_resolved_name(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ForbiddenUrl):
        EgressPolicy(resolve=never).check_url(f"http://{host}/a.png")
    named = EgressPolicy().check_url("https://media.example/a.png")
    for answer in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(ForbiddenUrl):
            resolving(*answer).checked_addresses(named)


@pytest.mark.parametrize("address", PUBLIC)
def test_egress_policy_public_address_is_allowed(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert EgressPolicy(resolve=never).check_url(f"http://{host}:8080/a.png").port == 8080
    assert resolving(address).checked_addresses(Target("http", "media.example", 80)) == (
        str(ipaddress.ip_address(address)),
    )


@pytest.mark.parametrize("host", ODD)
def test_egress_policy_unusual_form_is_forbidden_without_resolution(host: str) -> None:
    for allowed in ((), ("8.0.0.0/8",)):
        with pytest.raises(ForbiddenUrl):
            EgressPolicy(tuple(map(ipaddress.ip_network, allowed)), never).check_url(f"http://{host}/")


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1"])
def test_egress_policy_allowed_network_does_not_allow_unusual_forms(host: str) -> None:
    with pytest.raises(ForbiddenUrl):
        EgressPolicy((ipaddress.ip_network("127.0.0.0/8"),), never).check_url(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/a", "dict://8.8.8.8/", "data:image/png,",
        "javascript:1", "//8.8.8.8/", "8.8.8.8/a.png", "", "http://", "http:///a", "http://:80/", "http://u:p@8.8.8.8/",
        "http://u@8.8.8.8/", "http://@8.8.8.8/", "http://8.8.8.8@127.0.0.1/", "http://127.0.0.1\\@8.8.8.8/", "http://8.8.8.8:99999/",
        "http://8.8.8.8:0/", "http://8.8.8.8:x/", "http://8.8.8.8/a b", "http://8.8.8.8/\n", "http://[::1/",
        "http://8.8.8.8/\x00",
        "http://8.8.8.8/" + "a" * 2048,
    ],
)  # fmt: skip
def test_check_url_allows_only_plain_web_addresses(url: str) -> None:
    with pytest.raises(ForbiddenUrl):
        EgressPolicy(resolve=never).check_url(url)


def test_egress_policy_allowed_network_and_no_other_is_reachable() -> None:
    egress = resolving("10.1.2.3", allowed=("10.1.0.0/16", "fd00::/8"))
    target = egress.check_url("http://store.internal/a.png")
    assert egress.checked_addresses(target) == ("10.1.2.3",)
    assert egress.check_url("http://[::ffff:10.1.2.3]/").host == "::ffff:10.1.2.3"
    assert egress.check_url("http://[fd00::1]/").host == "fd00::1"
    for url in ("http://10.2.0.1/", "http://127.0.0.1/", "http://[::1]/"):
        with pytest.raises(ForbiddenUrl):
            egress.check_url(url)


@pytest.mark.parametrize("address", METADATA)
def test_egress_policy_metadata_address_needs_an_entry_of_its_own(address: str) -> None:
    target = Target("http", "media.example", 80)
    for wide in (("0.0.0.0/0", "::/0"), ("168.63.129.0/24", "fd00::/8", "169.254.0.0/16", "100.64.0.0/10")):
        with pytest.raises(ForbiddenUrl):
            resolving(address, allowed=wide).checked_addresses(target)
    exact = ("168.63.129.16/32", f"{address}/{128 if ':' in address else 32}")
    assert resolving(address, allowed=exact).checked_addresses(target)


def test_egress_policy_from_settings_reads_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_EGRESS_ALLOW", "10.0.0.0/8, fd00::/8")
    assert EgressPolicy.from_settings(SharedSettings()).allowed == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
    )


def test_checked_addresses_unknown_name_fails_as_fetch() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError

    target = Target("http", "nowhere.example", 80)
    for resolve in (unknown, lambda host, port: [], lambda host, port: ["no address"]):
        with pytest.raises(FetchFailed):
            EgressPolicy(resolve=resolve).checked_addresses(target)


@given(st.ip_addresses(v=4))
def test_is_public_is_equal_for_every_ipv6_form(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    forms = [f"::ffff:{address}", f"64:ff9b::{address}", str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80)))]
    for form in (str(address), *forms):
        target = Target("http", "name.example", 80)
        if is_public(address):
            assert resolving(form).checked_addresses(target)
        else:
            with pytest.raises(ForbiddenUrl):
                resolving(form).checked_addresses(target)


@given(st.ip_addresses())
def test_is_public_is_false_for_what_python_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    ):
        assert not is_public(address)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "{0:#x}", "0{0:o}", "{1}.{4}", "0x{1:x}.{2}.{3}.{5}"]))
def test_check_url_never_takes_a_number_for_a_name(number: int, form: str) -> None:
    a, b, c, d = number.to_bytes(4, "big")
    host = form.format(number, a, b, c, number & 0xFFFFFF, d)
    with pytest.raises(ForbiddenUrl):
        EgressPolicy(resolve=never).check_url(f"http://{host}/")


@settings(max_examples=40)
@given(st.text(max_size=60) | st.text(st.characters(max_codepoint=127), max_size=30).map("http://{}".format))
def test_check_url_any_text_is_forbidden_or_stable(url: str) -> None:
    egress = EgressPolicy(resolve=never)
    try:
        target = egress.check_url(url)
    except ForbiddenUrl:
        return
    host = f"[{target.host}]" if ":" in target.host else target.host
    assert egress.check_url(f"{target.scheme}://{host}:{target.port}/") == target
