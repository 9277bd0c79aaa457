"""Recognises addresses of this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether a host name or address, as written in a header or a setting, is this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
