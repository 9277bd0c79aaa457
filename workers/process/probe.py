"""Probe of a container's health: `python -m workers.process.probe [URL] [--except COMPONENT]`.

Asks a `/readyz` (default: that of the worker's metrics port) and prints why the service is not ready. The exit status
is 0 if it is ready. `--except workers`: a gateway that lacks only workers counts as ready: it accepts jobs, which wait.
Imports nothing but the standard library, because it runs every few seconds.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 8.0
DEFAULT_METRICS_PORT = 9100


def problem(url: str, accepted: frozenset[str] = frozenset()) -> str | None:
    """Return why the service at `url` is not ready, None if it is. `accepted`: components that may be missing."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            response.read()
        return None
    except urllib.error.HTTPError as error:
        return _reason(error.read(), accepted, f"{url} answers {error.code}.")
    except OSError as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}."


def _reason(body: bytes, accepted: frozenset[str], fallback: str) -> str | None:
    """Return the reasons that an answer names, except those of `accepted` components."""
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError:
        return fallback
    faults = document.get("errors") or []
    if not faults:
        return str(document.get("reason") or fallback)
    return " ".join(fault["message"] for fault in faults if fault["location"] not in accepted) or None


def metrics_port() -> int:
    """Return the worker's metrics port."""
    value = os.environ.get("AFFECT_METRICS_PORT", "")
    return int(value) if value.isdecimal() else DEFAULT_METRICS_PORT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.process.probe", allow_abbrev=False)
    parser.add_argument("url", nargs="?", help="address to ask (default: /readyz of the worker's metrics port)")
    parser.add_argument(
        "--except",
        dest="accepted",
        action="append",
        default=[],
        metavar="COMPONENT",
        help="component that may be missing, such as `workers`",
    )
    options = parser.parse_args()
    reason = problem(options.url or f"http://127.0.0.1:{metrics_port()}/readyz", frozenset(options.accepted))
    print(reason or "ready")
    sys.exit(reason is not None)


if __name__ == "__main__":
    main()
