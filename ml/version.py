"""Version of the software."""

import tomllib
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def software_version() -> str:
    """Return the version that `pyproject.toml` states, in a checkout or an image, or that of the installed package."""
    if _PROJECT.exists():
        version: str = tomllib.loads(_PROJECT.read_text())["project"]["version"]
        return version
    return metadata.version("affect")
