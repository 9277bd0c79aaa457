"""Pages for people. They load nothing from anywhere else, so that they work on a host without the internet."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_UI = Path(__file__).parent.parent / "ui"
_PARTS = StaticFiles(directory=_UI / "page")
_FRESH = {"Cache-Control": "no-cache"}
"""A page and its parts are of one version: a browser asks each time whether its copy still holds."""


@router.get("/")
async def index() -> FileResponse:
    """Media in, timeline out, for people."""
    return FileResponse(_UI / "index.html", headers=_FRESH)


@router.get("/page/{name}")
async def page_part(name: str, request: Request) -> Response:
    """What the page is made of."""
    answer = await _PARTS.get_response(name, request.scope)
    answer.headers.update(_FRESH)
    return answer


@router.get("/docs")
async def docs() -> FileResponse:
    """The API, to be read and tried."""
    return FileResponse(_UI / "docs.html")


@router.get("/docs/{name}")
async def docs_part(name: Literal["docs.js", "docs.css"]) -> FileResponse:
    """What the page of the API is made of."""
    return FileResponse(_UI / name)
