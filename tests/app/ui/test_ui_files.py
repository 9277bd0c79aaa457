"""Tests that the page's files are packaged and served, and that nothing else of its folder is."""

import json
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.routes import pages

ROOT = Path(__file__).parents[3]
UI = ROOT / "app" / "ui"
MAX_PAGE_BYTES = 300_000
"""Maximum bytes that a browser loads for all pages, compressed as they are served."""
CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SERVED = sorted(path for folder in ("css", "images", "js") for path in (UI / folder).rglob("*") if path.is_file())


def packaged() -> set[Path]:
    """Return the files of the page that the wheel contains."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["app"]
    return {path for pattern in patterns for path in (ROOT / "app").glob(pattern)}


def test_package_contains_the_pages_and_what_they_load() -> None:
    assert packaged() == {*SERVED, UI / "index.html", UI / "docs.html"}


def test_page_is_small() -> None:
    app = FastAPI()
    app.include_router(pages.router)
    with TestClient(app) as browser:
        paths = ["/", "/docs", *(f"/ui/{path.relative_to(UI)}" for path in SERVED)]
        loaded = [browser.get(path, headers={"Accept-Encoding": "gzip"}) for path in paths]
    assert all(answer.status_code == 200 for answer in loaded)
    assert sum(int(answer.headers["content-length"]) for answer in loaded) <= MAX_PAGE_BYTES / 2


def test_file_is_compressed_for_browsers_that_accept_it_and_not_sent_again(client: TestClient) -> None:
    plain = client.get("/ui/js/main.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/ui/js/main.js", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content  # the client unpacks it
    headers = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert client.get("/ui/js/main.js", headers=headers).status_code == 304


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    app.include_router(pages.router)
    return TestClient(app)


@pytest.mark.parametrize("path", SERVED, ids=lambda path: str(path.relative_to(UI)))
def test_file_is_served_with_its_type(client: TestClient, path: Path) -> None:
    response = client.get(f"/ui/{path.relative_to(UI)}")
    assert response.content == path.read_bytes()
    assert response.headers["content-type"].split(";")[0] == CONTENT_TYPES[path.suffix]
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["package.json", "api.d.ts", "tests/format.test.js", "node_modules/.installed"])
def test_development_file_is_not_served(client: TestClient, name: str) -> None:
    assert client.get(f"/ui/{name}").status_code in (404, 422)


def test_lock_file_names_only_the_public_registry() -> None:
    packages = json.loads((UI / "package-lock.json").read_text())["packages"].values()
    hosts = {urlsplit(package["resolved"]).hostname for package in packages if "resolved" in package}
    assert hosts <= {"registry.npmjs.org"}
