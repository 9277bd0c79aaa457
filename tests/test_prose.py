"""Plain words: the worst habits of prose stay out of docstrings, comments, messages and documents."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "workers", "ml")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docker/OPERATIONS.md")

OPENINGS = re.compile(r"(Of|For which|Under which|By which|With which|Whom|Whose|Where|What|Whoever|Who|Told|Tells?)\b")
"""Beginnings of a docstring that lean on the name above it instead of naming the thing."""
WORDS = re.compile(
    r"\b(nobody|somebody|whoever|whomever|whom|anew|meanwhile|beside|told|tells|tell|under way|is none|are none"
    r"|goes on|go on|lies|so many|so long as|where (?:it|there|they) (?:is|are|was|were|has|have))\b",
    re.IGNORECASE,
)
"""Words that a hurried reader has to read twice; CONTRIBUTING.md names the plain ones."""
SPEAKING = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
"""Methods of a logger: their first argument is a sentence that an operator reads."""
SHOWN = frozenset({"help", "description", "title", "message", "epilog"})
"""Keyword arguments that hold text for people."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring, those of constants and fields included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of log lines, error messages, settings' descriptions and command line help."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        shown = [keyword.value for keyword in node.keywords if keyword.arg in SHOWN]
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in SPEAKING:
            shown += node.args[:1]
        raised = function.id if isinstance(function, ast.Name) else ""
        if raised[:1].isupper():
            shown += node.args[:1]
        for each in shown:
            for part in ast.walk(each):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield part.lineno, part.value


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def faults(path: Path) -> list[str]:
    source = path.read_text()
    tree = ast.parse(source)
    documented = list(docstrings(tree))
    found = [
        (line, f"begins with {match[0]!r}") for line, text in documented if (match := OPENINGS.match(text.strip()))
    ]
    for line, text in (*documented, *messages(tree), *comments(source)):
        found += [(line, f"says {match[0]!r}") for match in WORDS.finditer(without_code(text))]
    return [f"{path.relative_to(ROOT)}:{line}: {fault}" for line, fault in sorted(set(found))]


def without_code(text: str) -> str:
    return re.sub(r"`[^`]*`|\"[^\"]*\"", "", text)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_comments_and_messages_are_plain(room: str) -> None:
    assert [fault for path in sorted((ROOT / room).rglob("*.py")) for fault in faults(path)] == []


@pytest.mark.parametrize("pattern", ["**/*.lua", "**/*.js"])
def test_comments_of_scripts_are_plain(pattern: str) -> None:
    found = []
    for path in sorted(
        path for room in ROOMS for path in (ROOT / room).glob(pattern) if "node_modules" not in path.parts
    ):
        for line, text in enumerate(path.read_text().splitlines(), 1):
            comment = re.search(r"(?:^|\s)(?:--|//|/?\*)\s(.*)", text)
            if comment and (match := WORDS.search(without_code(comment[1]))):
                found.append(f"{path.relative_to(ROOT)}:{line}: says {match[0]!r}")
    assert found == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_plain(name: str) -> None:
    text = re.sub(r"```.*?```", lambda match: "\n" * match[0].count("\n"), (ROOT / name).read_text(), flags=re.DOTALL)
    lines = enumerate(map(without_code, text.splitlines()), 1)
    assert [f"{name}:{line}: says {match[0]!r}" for line, part in lines for match in WORDS.finditer(part)] == []


def test_a_habit_is_found(tmp_path: Path) -> None:
    """The check itself can fail."""
    path = tmp_path / "x.py"
    path.write_text('X = 1\n"""For which it waits."""\nlogger.info("nobody caught this")  # it is done anew\n')
    source = path.read_text()
    tree = ast.parse(source)
    assert [text for _, text in docstrings(tree) if OPENINGS.match(text)] == ["For which it waits."]
    assert [text for _, text in messages(tree) if WORDS.search(text)] == ["nobody caught this"]
    assert [text for _, text in comments(source) if WORDS.search(text)] == ["# it is done anew"]


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_documents_name_only_files_that_exist(name: str) -> None:
    """A path may be shortened to its end."""
    named = set(re.findall(r"`([\w./-]+\.(?:py|js|ts|json|lua|md|toml|txt|yml))`", (ROOT / name).read_text()))
    known = [
        f"/{path.relative_to(ROOT)}"
        for room in (*ROOMS, "docker", "tests", "model_store")
        for path in (ROOT / room).rglob("*.*")
    ]
    known += [f"/{path.name}" for path in ROOT.iterdir()]
    assert len(named) > 5
    assert [each for each in sorted(named) if not any(path.endswith(f"/{each}") for path in known)] == []
