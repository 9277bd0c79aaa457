"""Which room may import which: design, section 1."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From low to high: a room may import those before it, and its own.
ML_ORDER = [
    ("vocabulary", "languages", "errors", "scripts", "signatures", "paths", "cpu", "memory", "version"),
    ("options",),
    ("movements",),
    ("results",),
    ("reports",),
    ("ratings",),
    ("people_edits",),
    ("media",),
    ("networks",),
    ("registry",),
    ("inference",),
    ("explanation", "rendering"),
    ("training",),
    ("predict",),
    ("__main__",),
]
# The same for the packages of `ml.inference`; type annotations may also name a higher one.
INFERENCE_ORDER = [
    ("api",),
    ("runtime",),
    ("face", "voice", "text"),
    ("speech",),
    ("people",),
    ("fusion",),
    ("pipeline",),
]
# The same for the gateway, whose client and page are apart.
APP_ORDER = [
    ("errors", "keys", "loopback"),
    ("schemas", "settings"),
    ("http",),
    ("services",),
    ("dependencies", "openapi"),
    ("routes",),
    ("compat",),
    ("main", "server"),
    ("__main__",),
]
SHARED = (
    *("ml.results", "ml.reports", "ml.people_edits", "ml.vocabulary", "ml.languages", "ml.errors", "ml.signatures"),
    *("ml.ratings", "ml.movements", "ml.version"),
)
WORKERS = (*SHARED, "ml.memory", "ml.media", "ml.inference", "ml.registry", "ml.explanation", "ml.rendering", "workers")


def imports_of(path: Path, absolute: bool = False) -> Iterator[str]:
    yield from imports_of_tree(ast.parse(path.read_text()), absolute)


def imports_of_tree(tree: ast.AST, absolute: bool = False) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not (absolute and node.level):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def runtime_imports_of(path: Path) -> Iterator[str]:
    """Imports outside of `if TYPE_CHECKING:`."""

    class Pruned(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node

    yield from imports_of_tree(Pruned().visit(ast.parse(path.read_text())))


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def ours(path: Path, rooms: tuple[str, ...]) -> list[str]:
    """Imports of the project's own top-level packages, each with a room below it."""
    found = [name for name in imports_of(path) if name.split(".")[0] in {"app", "workers", "ml"} and "." in name]
    return [name for name in found if not within(name, rooms)]


@pytest.mark.parametrize("path", sources("ml"), ids=lambda path: str(path.relative_to(ROOT)))
def test_ml_imports_only_lower_rooms(path: Path) -> None:
    room = path.relative_to(ROOT / "ml").parts[0].removesuffix(".py")
    if room == "__init__":
        return
    rank = next(index for index, rooms in enumerate(ML_ORDER) if room in rooms)
    allowed = {name for rooms in ML_ORDER[:rank] for name in rooms} | {room}
    assert ours(path, tuple(f"ml.{name}" for name in allowed | set(ML_ORDER[rank]))) == []


@pytest.mark.parametrize("path", sources("ml/inference"), ids=lambda path: str(path.relative_to(ROOT)))
def test_inference_package_imports_only_lower_packages(path: Path) -> None:
    package = path.relative_to(ROOT / "ml/inference").parts[0].removesuffix(".py")
    if package == "__init__":
        return
    rank = next(index for index, packages in enumerate(INFERENCE_ORDER) if package in packages)
    allowed = tuple(f"ml.inference.{name}" for packages in INFERENCE_ORDER[: rank + 1] for name in packages)
    names = [name for name in runtime_imports_of(path) if within(name, ("ml.inference",))]
    assert [name for name in names if not within(name, allowed)] == []


@pytest.mark.parametrize("path", sources("app/client"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_client_knows_nothing_but_itself(path: Path) -> None:
    """So that it can be installed by itself: it names its own modules from where it stands."""
    outside = {name.split(".")[0] for name in imports_of(path, absolute=True)}
    assert outside - set(sys.stdlib_module_names) <= {"httpx", "pydantic"}


@pytest.mark.parametrize("path", sources("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_gateway_knows_only_the_wire_and_the_results(path: Path) -> None:
    assert ours(path, (*SHARED, "app", "workers.protocol")) == []


@pytest.mark.parametrize("path", sources("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_gateway_module_imports_only_lower_modules(path: Path) -> None:
    room = path.relative_to(ROOT / "app").parts[0].removesuffix(".py")
    if room in ("__init__", "client", "ui"):
        return
    rank = next(index for index, rooms in enumerate(APP_ORDER) if room in rooms)
    allowed = tuple(f"app.{name}" for rooms in APP_ORDER[: rank + 1] for name in rooms)
    names = [name for name in imports_of(path) if within(name, ("app",)) and name != "app"]
    assert [name for name in names if not within(name, allowed)] == []


def test_settings_of_gateway_import_no_features() -> None:
    """They are read everywhere, so that they must not lead back to what reads them."""
    assert ours(ROOT / "app/settings.py", ("app.keys", "app.loopback", "workers.protocol.settings")) == []


@pytest.mark.parametrize("path", sources("workers"), ids=lambda path: str(path.relative_to(ROOT)))
def test_workers_know_neither_gateway_nor_training(path: Path) -> None:
    allowed = (*SHARED, "workers.protocol") if "protocol" in path.parts else WORKERS
    assert ours(path, allowed) == []


def test_inference_leaves_the_web_and_the_queue_out() -> None:
    code = (
        "import sys, ml.inference.pipeline.analyzer;"
        "print([m for m in ('fastapi', 'celery', 'redis') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_results_and_reports_leave_torch_out() -> None:
    rooms = "ml.results, ml.reports.caption_parser, ml.reports.formats, ml.reports.terminal, ml.signatures"
    code = f"import sys, {rooms}; print([m for m in ('torch', 'cv2', 'numpy') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
