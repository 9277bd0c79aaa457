"""People of a result on the page, with a running service: choose one, name, merge, undo, and their exports."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.client import Job
from tests.e2e.conftest import Service, serving
from tests.e2e.test_e2e_page import SECONDS, axe, browser, expect, launch, visiting
from tests.face_files import make_scenes, two_people
from tests.toy_models import make_store

__all__ = ["browser", "launch"]  # fixtures


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(make_store(tmp_path_factory.mktemp("people")), AFFECT_WORKER_KINDS="inference") as running:
        yield running


@pytest.fixture(scope="module")
def done(seeing: Service, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job of two faces side by side, which are seen at once, so that they are two people."""
    film = make_scenes(tmp_path_factory.mktemp("film") / "two.mp4", [(two_people(), 3)])
    return seeing.finished(film, options={"thumbnails": True})


def test_people_are_chosen_named_and_merged(browser: Any, seeing: Service, done: Job, tmp_path: Path) -> None:
    with visiting(browser, seeing, viewport={"width": 1200, "height": 900}) as visit:
        page = visit.open(f"/#/job/{done.id}")
        people = page.locator(".person-choice")
        expect(people).to_have_count(2, timeout=SECONDS)
        expect(people.locator("img.artifact")).to_have_count(2)
        assert page.locator(".track-person .track-name").all_inner_texts() == ["Person 1", "Person 2"]

        people.nth(1).click()
        expect(people.nth(1)).to_have_attribute("aria-pressed", "true")
        page.get_by_role("textbox", name="Name").fill("Ann & Co")
        page.keyboard.press("Enter")
        expect(people.nth(1)).to_contain_text("Ann & Co", timeout=SECONDS)
        expect(people.nth(1)).to_have_attribute("aria-pressed", "true")
        expect(people.nth(1)).to_be_focused()
        assert page.locator(".track-person .track-name").all_inner_texts() == ["Person 1", "Ann & Co"]
        assert exported(page, "CSV, people", tmp_path) == [("2", "Ann & Co")]

        page.get_by_role("combobox", name="Same person as").select_option(label="Person 1")
        page.get_by_role("button", name="Merge").click()
        expect(people).to_have_count(1, timeout=SECONDS)
        expect(people.first).to_contain_text("Ann & Co")
        assert [person.name for person in seeing.affect.result(done).people] == ["Ann & Co"]

        page.get_by_role("button", name="Undo all changes").click()
        expect(people).to_have_count(2, timeout=SECONDS)
        assert exported(page, "CSV, people", tmp_path) == [("1", ""), ("2", "")]


def exported(page: Any, button: str, folder: Path) -> list[tuple[str, str]]:
    """Return number and name of the people in a table that the page downloads."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    path = folder / "people.csv"
    download.value.save_as(path)
    return [(row["person"], row["name"]) for row in csv.DictReader(path.read_text("utf-8-sig").splitlines())]


@pytest.mark.parametrize("look", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_people_have_no_serious_violation(browser: Any, seeing: Service, done: Job, look: dict[str, Any]) -> None:
    with visiting(browser, seeing, **look) as visit:
        page = visit.open(f"/#/job/{done.id}")
        page.locator(".person-choice").first.click(timeout=SECONDS)
        expect(page.locator(".person-editor")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = axe.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
