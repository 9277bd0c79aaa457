"""Audit of the dependencies: `make audit` looks up each locked package in the OSV database of known vulnerabilities.

It reads the locks of Python packages (`docker/lock`) and of the page's development tools (`app/ui/package-lock.json`).
The exit status is 0 if no vulnerability is known, 1 if one is, and 3 if the database did not answer: then nothing was
checked. Packages of the base images (ffmpeg, for example) are not in these locks: scan the images for those.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
DATABASE = "https://api.osv.dev"
MAX_QUERIES = 1000
"""Maximum queries of one request to OSV."""
TIMEOUT_SECONDS = 30.0
VULNERABLE, NOT_CHECKED = 1, 3

_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


class DatabaseUnavailable(Exception):
    """No answer of the database, or one that is not of OSV."""


@dataclass(frozen=True, order=True)
class Package:
    """Exact version of a package. `ecosystem` is OSV's name of its registry."""

    ecosystem: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.ecosystem})"


@dataclass(frozen=True)
class Vulnerability:
    """Known vulnerability. `aliases`: its ids in other databases; `fixed`: first versions without it."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join((self.id, *self.aliases))
        fixed = f"; fixed in {', '.join(self.fixed)}" if self.fixed else ""
        return f"{names}: {self.summary or 'no summary'}{fixed}"


def read_requirements(text: str) -> Iterator[Package]:
    """Yield the packages of a lock in pip's format. A local version (`2.13.0+cpu`) counts as the public one."""
    for match in _REQUIREMENT.finditer(text):
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        yield Package("PyPI", name, match["version"].partition("+")[0])


def read_package_lock(text: str) -> Iterator[Package]:
    """Yield the packages of npm's lock."""
    for path, entry in json.loads(text)["packages"].items():
        if path and "version" in entry:
            yield Package("npm", entry.get("name", path.rpartition("node_modules/")[2]), entry["version"])


def locked_packages(root: Path = ROOT) -> list[Package]:
    """Return the packages of all locks, sorted, each once."""
    packages = set(read_package_lock((root / "app/ui/package-lock.json").read_text()))
    for path in (root / "docker/lock").glob("*.txt"):
        packages.update(read_requirements(path.read_text()))
    return sorted(packages)


def find_vulnerabilities(packages: Iterable[Package], client: httpx.Client) -> Mapping[Package, list[Vulnerability]]:
    """Return the known vulnerabilities of the packages that have any. Raises DatabaseUnavailable."""
    found: dict[Package, list[Vulnerability]] = {}
    queries: list[tuple[Package, str | None]] = [(package, None) for package in packages]
    while queries:
        following: list[tuple[Package, str | None]] = []
        for start in range(0, len(queries), MAX_QUERIES):
            batch = queries[start : start + MAX_QUERIES]
            body = {"queries": [_query(package, page) for package, page in batch]}
            results = _request(client, "POST", "/v1/querybatch", body).get("results", [])
            if len(results) != len(batch):
                raise DatabaseUnavailable(f"{len(results)} results for {len(batch)} queries")
            for (package, _), result in zip(batch, results, strict=True):
                for each in result.get("vulns", ()):
                    found.setdefault(package, []).append(_fetch(client, each["id"], package))
                if page := result.get("next_page_token"):
                    following.append((package, page))
        queries = following
    return found


def _query(package: Package, page: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {
        "package": {"name": package.name, "ecosystem": package.ecosystem},
        "version": package.version,
    }
    return query | ({"page_token": page} if page else {})


def _fetch(client: httpx.Client, vulnerability_id: str, package: Package) -> Vulnerability:
    details = _request(client, "GET", f"/v1/vulns/{vulnerability_id}")
    fixed = {
        event["fixed"]
        for affected in details.get("affected", ())
        if affected.get("package", {}).get("name", "").lower() == package.name.lower()
        for versions in affected.get("ranges", ())
        if versions.get("type") != "GIT"
        for event in versions.get("events", ())
        if "fixed" in event
    }
    return Vulnerability(
        vulnerability_id, tuple(details.get("aliases", ())), details.get("summary", ""), tuple(sorted(fixed))
    )


def _request(client: httpx.Client, method: str, path: str, body: object = None) -> dict[str, Any]:
    try:
        response = client.request(method, path, json=body)
        response.raise_for_status()
        content = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise DatabaseUnavailable(str(error) or type(error).__name__) from error
    if not isinstance(content, dict):
        raise DatabaseUnavailable("the response is not of OSV")
    return content


def audit(packages: Sequence[Package], client: httpx.Client) -> int:
    """Print the known vulnerabilities of the packages. Return the exit status."""
    try:
        found = find_vulnerabilities(packages, client)
    except DatabaseUnavailable as error:
        print(f"NOT CHECKED: {client.base_url} did not answer ({error}).", file=sys.stderr)
        print(f"None of the {len(packages)} locked packages was looked up. Run this where it is reachable.")
        return NOT_CHECKED
    for package, vulnerabilities in found.items():
        print(package, *(f"  {each}" for each in vulnerabilities), sep="\n")
    print(f"{len(packages)} locked packages, {len(found)} with known vulnerabilities, according to {client.base_url}.")
    return VULNERABLE if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.audit",
        description="Look up the locked dependencies in the OSV database of known vulnerabilities.",
        epilog="Exit status: 0 none known, 1 some known, 3 the database did not answer and nothing was checked.",
    )
    parser.add_argument("--database", default=DATABASE, metavar="URL", help="OSV or a mirror of it (%(default)s)")
    options = parser.parse_args()
    with httpx.Client(base_url=options.database, timeout=TIMEOUT_SECONDS) as client:
        return audit(locked_packages(), client)


if __name__ == "__main__":
    sys.exit(main())
