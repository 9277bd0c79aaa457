"""The table of limits in OPERATIONS against the settings."""

import re
from pathlib import Path

import pytest

from app.settings import Settings
from workers.settings import WorkerSettings

PAGE = Path(__file__).parents[2] / "docker" / "OPERATIONS.md"
SETTINGS = {**Settings.model_fields, **WorkerSettings.model_fields}
LIMIT = re.compile(
    r"max_|min_free|.*_per_(key|minute|second)$|live_(idle|message|frame)|(fetch|head|unread|job|webhook)_.*seconds"
)
"""Names of settings that are limits."""


def limits_section() -> str:
    return PAGE.read_text().partition("\n## Limits\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", [name for name in SETTINGS if LIMIT.match(name)])
def test_limit_is_in_table(name: str) -> None:
    assert f"`{name.upper()}`" in limits_section()


def test_each_name_in_table_is_a_setting() -> None:
    columns = [line.split("|")[2] for line in limits_section().splitlines() if line.startswith("|")][2:]
    names = {name.lower() for column in columns for name in re.findall(r"`(\w+)`", column)}
    assert len(names) > 20 and names <= SETTINGS.keys()
