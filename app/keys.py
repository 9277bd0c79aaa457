"""API keys: how `AFFECT_API_KEYS` holds them, and the command that creates them (`python -m app keys`)."""

import argparse
import hashlib
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

KEY_PREFIX = "affect_"
"""Prefix that lets secret scanners, and people, recognise an Affect key."""

_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]{1,64}):(?P<digest>[0-9a-fA-F]{64})$")


@dataclass(frozen=True)
class ApiKey:
    """A caller's name and the sha256 of one of the caller's keys. The plain key is never stored."""

    name: str
    digest: bytes

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Read an entry of the setting: `name:sha256`, the digest in hexadecimal. Raises ValueError."""
        match = _ENTRY.match(entry.strip())
        if match is None:
            raise ValueError("an API key is written name:sha256, with the sha256 of the key as 64 hexadecimal digits")
        return cls(match["name"], bytes.fromhex(match["digest"]))

    @classmethod
    def from_key(cls, name: str, key: str) -> Self:
        """Return the entry of a plain key. Raises ValueError if the name is invalid."""
        return cls.parse(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}")

    @property
    def entry(self) -> str:
        """The text that `parse` reads."""
        return f"{self.name}:{self.digest.hex()}"


def generate_key() -> str:
    """Return a new key with 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def main(arguments: Sequence[str]) -> None:
    """Run `python -m app keys`. Exits with a message if the name is invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m app keys",
        description="Create an API key. The key is shown once; AFFECT_API_KEYS holds only its sha256.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, help_text in (
        ("new", "create a key and print it with its entry for AFFECT_API_KEYS"),
        ("hash", "read an existing key from standard input and print its entry"),
    ):
        commands.add_parser(command, help=help_text).add_argument(
            "name", help="name of the caller; several keys may share a name"
        )
    options = parser.parse_args(arguments)
    key = generate_key() if options.command == "new" else sys.stdin.readline().strip()
    if not key:
        parser.error("standard input contains no key")
    try:
        entry = ApiKey.from_key(options.name, key).entry
    except ValueError as error:
        parser.error(str(error))
    if options.command == "new":
        print(f"Key for the caller (shown only once):              {key}")
    print(f"Entry to add to AFFECT_API_KEYS (comma-separated): {entry}")
