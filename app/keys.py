"""Makes API keys: `python -m app keys new NAME`. A key is shown once; what is set is its sha256."""

import argparse
import secrets
import sys
from collections.abc import Sequence

from app.http.security import ApiKey

KEY_PREFIX = "affect_"
"""By which scanners of leaked secrets, and people, know one."""


def generate_key() -> str:
    """256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def main(arguments: Sequence[str]) -> None:
    """The command. Exits with a message where the name is none."""
    parser = argparse.ArgumentParser(prog="python -m app keys", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("new", "makes a key"), ("hash", "reads a key from standard input")):
        verbs.add_parser(verb, help=text).add_argument("name", help="the caller; one may have several keys")
    chosen = parser.parse_args(arguments)
    key = generate_key() if chosen.verb == "new" else sys.stdin.readline().strip()
    if not key:
        parser.error("no key came from standard input")
    try:
        entry = ApiKey.of(chosen.name, key).entry
    except ValueError as error:
        parser.error(str(error))
    if chosen.verb == "new":
        print(f"Key, for the caller (it is shown only now):      {key}")
    print(f"Entry, to add to AFFECT_API_KEYS (after a comma): {entry}")
