"""The table of error codes and the exceptions."""

import re
from collections.abc import Iterator
from pathlib import Path

import app.main  # noqa: F401 (imports every module that defines an error of the gateway)
from app.errors import ERRORS, GatewayError, Problem
from ml.errors import AffectError

ROOT = Path(__file__).parents[2]
RAISED_BY_NO_REQUEST = {"invalid_manifest"}
"""Codes of commands, which no HTTP response has."""


def subclasses(kind: type[AffectError]) -> Iterator[type[AffectError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_exception_has_a_row_in_the_table() -> None:
    codes = {kind.code for kind in subclasses(AffectError)} - RAISED_BY_NO_REQUEST
    assert codes <= set(ERRORS)


def test_gateway_code_belongs_to_one_exception() -> None:
    codes = [kind.code for kind in subclasses(GatewayError) if "code" in vars(kind)]
    assert len(codes) == len(set(codes))


def test_title_is_a_sentence_without_full_stop() -> None:
    for spec in ERRORS.values():
        assert re.fullmatch(r"[A-Z][^.]*[^.\s]", spec.title)


def test_problem_of_unknown_code_keeps_the_code() -> None:
    problem = Problem.from_code("of_a_newer_worker", "Something new.")
    assert (problem.code, problem.status, problem.title) == ("of_a_newer_worker", 500, ERRORS["internal_error"].title)


def test_operations_page_explains_only_known_codes() -> None:
    text = (ROOT / "docker" / "OPERATIONS.md").read_text()
    section = text.partition("\n## By error code\n")[2].partition("\n## ")[0]
    codes = {
        code for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    assert codes and codes <= set(ERRORS)
