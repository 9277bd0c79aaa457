"""Thousands of damaged files through the media layer."""

from pathlib import Path

from ml.media import MediaLimits
from tests.damaged_files import check, make_seeds, survey

FILES = 2500


def test_any_damage_ends_in_a_result_or_a_code(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    found = survey(make_seeds(seeds), tmp_path, FILES, MediaLimits(max_seconds=600))
    print(f"\n{found}")
    check(found)
    assert [path for path in tmp_path.iterdir() if path != seeds] == []
