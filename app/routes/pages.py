"""Pages for people. They load nothing from other hosts, so that they work without internet access."""

import gzip
from functools import cache
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_UI = Path(__file__).parent.parent / "ui"
_FOLDERS = {name: StaticFiles(directory=_UI / name) for name in ("css", "images", "js")}
_REVALIDATE = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
"""Headers that make a browser check its copy each time: a page and its files must be of one version."""


@router.get("/")
async def index() -> FileResponse:
    """Serve the page."""
    return FileResponse(_UI / "index.html", headers=_REVALIDATE)


@router.get("/docs")
async def docs() -> FileResponse:
    """Serve the documentation of the API, in which requests can be tried."""
    return FileResponse(_UI / "docs.html", headers=_REVALIDATE)


@router.get("/ui/{folder}/{path:path}")
async def page_file(folder: Literal["css", "images", "js"], path: str, request: Request) -> Response:
    """Serve a stylesheet, an image or a script of the pages, compressed if the browser accepts that."""
    response = await _FOLDERS[folder].get_response(path, request.scope)
    if isinstance(response, FileResponse) and "gzip" in request.headers.get("accept-encoding", ""):
        file = Path(response.path)
        headers = {**_REVALIDATE, "Content-Encoding": "gzip", "ETag": response.headers["etag"]}
        return Response(_compressed(file, file.stat().st_mtime_ns), headers=headers, media_type=response.media_type)
    response.headers.update(_REVALIDATE)
    return response


@cache
def _compressed(file: Path, _modified: int) -> bytes:
    """Return the bytes of a file, compressed once for each version of it."""
    return gzip.compress(file.read_bytes(), mtime=0)
