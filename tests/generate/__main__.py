"""Generator of the files that are derived from others: `make generate` rewrites them.

| File | Source |
|---|---|
| `app/client/models.py` | the OpenAPI document |
| `app/client/client.py` | `app/client/async_client.py` |
| `app/ui/js/lib/tables.js` | `ml.vocabulary`, `ml.results.Options`, the export formats, the palette |
| `app/ui/api.d.ts` | the OpenAPI document |
| tables of `README.md` | the settings classes, `ml.results.Options`, the export formats |

A test fails if a file differs from what this generator writes.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.generate import client_models, page_tables, readme_tables, sync_client

ROOT = Path(__file__).parents[2]
GENERATORS: Mapping[str, Callable[[], str]] = {
    "app/client/models.py": client_models.generate,
    "app/client/client.py": sync_client.generate,
    "app/ui/js/lib/tables.js": page_tables.tables,
    "app/ui/api.d.ts": page_tables.types,
    "README.md": readme_tables.generate,
}
"""Function that returns the whole text of each file."""


def generate(name: str) -> str:
    """Return the text of a generated file, formatted as the rest of the project."""
    text = GENERATORS[name]()
    return _format(name, text) if name.endswith(".py") else text


def _format(name: str, text: str) -> str:
    """Sort the imports of a module and format it with ruff."""
    for command in (["check", "--quiet", "--select", "I,F401", "--fix-only"], ["format", "--quiet"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = ran.stdout
    return text


def main() -> None:
    """Rewrite the files that are out of date."""
    for name in GENERATORS:
        text = generate(name)
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"rewrote {name}")


if __name__ == "__main__":
    main()
