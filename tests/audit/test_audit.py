"""The audit against a database that the test answers for."""

import json
from collections.abc import Callable

import httpx
import pytest

from tests.audit import __main__ as audit
from tests.audit.__main__ import Package, locked_packages, read_package_lock, read_requirements

OLD, GOOD = Package("PyPI", "py-yaml", "5.3"), Package("npm", "@types/node", "1.0.0")
DETAILS = {
    "id": "GHSA-1",
    "aliases": ["CVE-1"],
    "summary": "Runs code",
    "affected": [
        {
            "package": {"name": "Py-YAML"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]},
                {"type": "GIT", "events": [{"fixed": "c0ffee"}]},
            ],
        },
        {"package": {"name": "other"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9"}]}]},
    ],
}


def database(respond: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(base_url="https://osv.example", transport=httpx.MockTransport(respond))


def osv(request: httpx.Request) -> httpx.Response:
    """OSV with one vulnerability, of `OLD`, on the second page."""
    if request.method == "GET":
        assert request.url.path == "/v1/vulns/GHSA-1"
        return httpx.Response(200, json=DETAILS)
    results: list[object] = []
    for query in json.loads(request.content)["queries"]:
        is_old = query["package"] == {"name": OLD.name, "ecosystem": OLD.ecosystem} and query["version"] == OLD.version
        if is_old and query.get("page_token") == "2":
            results.append({"vulns": [{"id": "GHSA-1"}]})
        else:
            results.append({"next_page_token": "2"} if is_old else {})
    return httpx.Response(200, json={"results": results})


def test_read_requirements_normalises_names_and_versions() -> None:
    text = "Py_YAML==5.3 \\\n    --hash=sha256:00\ntorch==2.13.0+cpu; os_name < '4'\n# a==1\n-r b.txt\nc[x,y]==1.0\n"
    assert list(read_requirements(text)) == [OLD, Package("PyPI", "torch", "2.13.0"), Package("PyPI", "c", "1.0")]


def test_read_package_lock_has_nested_scoped_and_renamed_packages() -> None:
    packages = {
        "": {"name": "page"},
        "node_modules/a/node_modules/@types/node": {"version": "1.0.0"},
        "node_modules/alias": {"name": "real", "version": "2.0.0"},
    }
    assert list(read_package_lock(json.dumps({"packages": packages}))) == [GOOD, Package("npm", "real", "2.0.0")]


def test_locked_packages_are_those_of_all_locks() -> None:
    packages = locked_packages()
    assert {"torch", "fastapi", "eslint"} <= {package.name for package in packages}
    for path in (audit.ROOT / "docker/lock").glob("*.txt"):
        pinned = [line for line in path.read_text().splitlines() if "==" in line.partition(";")[0] and line[0] != "#"]
        assert len(list(read_requirements(path.read_text()))) == len(pinned), path.name


@pytest.mark.parametrize(("packages", "status"), [([OLD, GOOD], audit.VULNERABLE), ([GOOD], 0)])
def test_audit_lists_known_vulnerabilities(
    packages: list[Package], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "MAX_QUERIES", 1)
    assert audit.audit(packages, database(osv)) == status
    told = capsys.readouterr().out
    assert ("py-yaml 5.3 (PyPI)\n  GHSA-1, CVE-1: Runs code; fixed in 5.4\n" in told) == (status != 0)
    assert f"{len(packages)} locked packages, {status} with known vulnerabilities" in told


def _unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


@pytest.mark.parametrize(
    "respond",
    [
        _unreachable,
        lambda _: httpx.Response(405),
        lambda _: httpx.Response(200, text="<html>proxy</html>"),
        lambda _: httpx.Response(200, json=[]),
        lambda _: httpx.Response(200, json={"results": []}),
    ],
    ids=["unreachable", "refused", "html", "list", "incomplete"],
)
def test_audit_without_database_says_so(
    respond: Callable[[httpx.Request], httpx.Response], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.audit([OLD], database(respond)) == audit.NOT_CHECKED
    assert "NOT CHECKED: https://osv.example" in capsys.readouterr().err
