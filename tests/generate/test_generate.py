"""Generated files are what the generator writes."""

from pathlib import Path

import pytest

from ml.results import Options
from tests.generate import readme_tables, sync_client
from tests.generate.__main__ import GENERATORS, generate
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_file_is_up_to_date(name: str) -> None:
    assert generate(name) == (ROOT / name).read_text(), f"{name} is out of date: run `make generate`"


def test_sync_client_lost_pattern_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "async_client.py"
    source.write_text(sync_client.SOURCE.read_text().replace("asyncio.sleep", "anyio.sleep"))
    monkeypatch.setattr(sync_client, "SOURCE", source)
    with pytest.raises(ValueError, match="asyncio"):
        sync_client.generate()


def test_options_table_lists_default_values_and_range_of_each_option() -> None:
    table = readme_tables.options_table()
    assert all(f"\n| `{name}` | " in table for name in Options.model_fields)
    assert "| `window_seconds` | `4.0` | 0.5 to 60 |" in table
    assert "| `modalities` | `null` | list of `face`, `audio`, `text` or `null` |" in table


def test_settings_tables_list_each_variable_once_with_full_names() -> None:
    tables = readme_tables.settings_tables()
    for settings in readme_tables.SECTIONS.values():
        for name, field in settings.model_fields.items():
            assert tables.count(f"\n| `AFFECT_{name.upper()}` | ") == 1, name
            assert field.description, f"{settings.__name__}.{name} has no description"
    assert "`AFFECT_MAX_UPLOAD_BYTES` | `2147483648` (2 GiB)" in tables
    assert f"`AFFECT_BUNDLE` | `{WorkerSettings.model_fields['bundle'].default}`" in tables
    assert " `DATA_DIR`" not in tables
