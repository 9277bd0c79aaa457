"""Pages for people. They load nothing from anywhere else, so that they work on a host without the internet."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

_UI = Path(__file__).parent.parent / "ui"


@router.get("/")
async def index() -> FileResponse:
    """What this is."""
    return FileResponse(_UI / "index.html")


@router.get("/docs")
async def docs() -> FileResponse:
    """The API, to be read and tried."""
    return FileResponse(_UI / "docs.html")


@router.get("/docs/{name}")
async def docs_part(name: Literal["docs.js", "docs.css"]) -> FileResponse:
    """What the page of the API is made of."""
    return FileResponse(_UI / name)
