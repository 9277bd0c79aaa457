"""Tests that the page's generated files are what their generator writes today."""

from app.main import create_app
from app.settings import Settings
from app.ui import generate


def test_tables_file_equals_generator() -> None:
    assert generate.TABLES_FILE.read_text() == generate.tables(), "run `python -m app.ui.generate`"


def test_types_file_equals_generator() -> None:
    schemas = create_app(Settings()).openapi()["components"]["schemas"]
    assert generate.TYPES_FILE.read_text() == generate.types(schemas), "run `python -m app.ui.generate`"
