"""The page in a real browser, over a running service that reads faces."""

import base64
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.client import Job
from ml.reports.palette import COLOURS
from ml.vocabulary import EMOTIONS
from tests.e2e.conftest import Service, serving
from tests.face_files import make_scenes, nobody, portrait
from tests.media_files import ffmpeg
from tests.toy_models import make_store

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = playwright.expect

SECONDS = 60_000
"""Milliseconds for which something of the service may be awaited, on a busy machine."""
QUIET = ("background-networking", "component-update", "sync", "gpu")
WIDTH, HEIGHT = 512, 300
FACE = (85, 183)
"""Left and right of the portrait's face, pixels of its picture."""
CAPTIONS = "1\n00:00:00,000 --> 00:00:02,000\nhello there\n\n2\n00:00:03,000 --> 00:00:05,000\ngood bye\n"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(make_store(tmp_path_factory.mktemp("seeing")), AFFECT_WORKER_KINDS="inference,io,live") as running:
        yield running


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds, 512×300: a face on the left, a second of nobody, the same face on the right."""
    left = np.concatenate([portrait(), nobody()], axis=1)
    right = np.concatenate([nobody(), portrait()], axis=1)
    empty = np.concatenate([nobody(), nobody()], axis=1)
    return make_scenes(tmp_path_factory.mktemp("film") / "left to right.mp4", [(left, 2), (empty, 1), (right, 2)])


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """A function that starts a browser, with arguments of one's own."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium (`make test` installs it)")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{each}" for each in QUIET)]
    with playwright.sync_playwright() as running:
        yield lambda *own: running.chromium.launch(executable_path=chromium, args=[*arguments, *own])


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Iterator[Any]:
    opened = launch()
    yield opened
    opened.close()


@dataclass
class Visit:
    """A tab, and what it did that it should not: errors, requests to elsewhere."""

    page: Any
    origin: str
    expected: str = "willReadFrequently"  # a hint to `boxes`
    trouble: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        if not re.search(self.expected, message):
            self.trouble.append(message)

    def watch(self) -> None:
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.note(said.text))
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.on("request", lambda request: self.is_own(request.url) or self.note(f"left for {request.url}"))

    def is_own(self, url: str) -> bool:
        return url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:"))

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.origin + path)
        return self.page

    def drop(self, path: Path) -> None:
        """As if the file came from the desktop."""
        content = base64.b64encode(path.read_bytes()).decode()
        script = """([name, content]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(content), (each) => each.charCodeAt(0))], name));
            return transfer;
        }"""
        transfer = self.page.evaluate_handle(script, [path.name, content])
        self.page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})

    def go(self, share: float) -> None:
        """Clicks the timeline at a share of its width."""
        lane = self.page.locator(".lane-fusion canvas")
        lane.scroll_into_view_if_needed()
        box = lane.bounding_box()
        lane.click(position={"x": box["width"] * share, "y": 20})

    def playhead(self) -> float:
        """Where the player is, seconds, once it is there."""
        there = "(video) => !video.seeking && video.readyState >= 2"
        video = self.page.locator(".stage video")
        self.page.wait_for_function(there, arg=video.element_handle(), timeout=SECONDS)
        return float(video.evaluate("(video) => video.currentTime"))

    def boxes(self) -> list[tuple[float, float]]:
        """Left and right edges of what is drawn over the film at the height of the face, pixels of the film."""
        script = """(canvas, [width, height, row]) => {
            const scale = Math.min(canvas.width / width, canvas.height / height);
            const [left, top] = [(canvas.width - width * scale) / 2, (canvas.height - height * scale) / 2];
            const {data} = canvas.getContext("2d").getImageData(0, Math.round(top + row * scale), canvas.width, 1);
            const drawn = [...Array(canvas.width).keys()].filter((x) => data[4 * x + 3] > 128);
            return drawn.map((x) => (x - left) / scale);
        }"""
        drawn = self.page.locator("canvas.overlay").evaluate(script, [WIDTH, HEIGHT, 125])
        return [(drawn[0], drawn[-1])] if drawn else []


@contextmanager
def visiting(browser: Any, service: Service, **context: Any) -> Iterator[Visit]:
    """A new tab; at its end nothing may have gone wrong in it."""
    opened = browser.new_context(**context)
    visit = Visit(opened.new_page(), str(service.client.base_url).rstrip("/"))
    visit.watch()
    yield visit
    opened.close()
    assert visit.trouble == []


@pytest.fixture
def visit(browser: Any, seeing: Service) -> Iterator[Visit]:
    with visiting(browser, seeing, viewport={"width": 1200, "height": 900}) as opened:
        yield opened


@pytest.fixture(scope="module")
def done(seeing: Service, film: Path) -> Job:
    """The job of the film, with a caller's captions, the media kept and all made that can be."""
    return seeing.finished(film, transcript=CAPTIONS, options={"keep_media": True, "heatmaps": True, "annotate": True})


def test_a_dropped_film_is_read_before_one_s_eyes(visit: Visit, film: Path) -> None:
    page = visit.open()
    visit.drop(film)
    expect(page.locator(".progress progress")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("heading", level=1)).to_have_text(film.name)
    expect(page.get_by_role("slider", name="Emotion over time")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("status")).to_contain_text("Overall")
    assert "#/job/" in page.url


def test_what_breaks_off_on_the_way_is_taken_up_again(visit: Visit, film: Path) -> None:
    """The first upload gets nowhere, and events never come: sent again, and asked for."""
    visit.expected = "ERR_FAILED"
    page = visit.open()
    page.route("**/v1/jobs", lambda route: route.abort(), times=1)
    page.route("**/events", lambda route: route.abort())
    visit.drop(film)
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("slider", name="Emotion over time")).to_be_visible(timeout=SECONDS)


def test_a_click_on_the_timeline_seeks_and_the_box_is_where_the_face_is(visit: Visit, film: Path, done: Job) -> None:
    visit.open(f"/#/job/{done.id}")
    visit.playhead()
    visit.go(0.2)
    assert visit.playhead() == pytest.approx(1.0, abs=0.1)
    assert visit.boxes() == [pytest.approx(FACE, abs=25)]
    visit.go(0.5)
    assert visit.playhead() == pytest.approx(2.5, abs=0.1)
    assert visit.boxes() == []
    visit.go(0.8)
    assert visit.playhead() == pytest.approx(4.0, abs=0.1)
    assert visit.boxes() == [pytest.approx((256 + FACE[0], 256 + FACE[1]), abs=25)]
    expect(visit.page.locator(".word.spoken")).to_have_text("good")


def test_the_timeline_is_played_on_the_keyboard(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    slider = page.get_by_role("slider", name="Emotion over time")
    slider.focus()
    told = [slider.get_attribute("aria-valuenow")]
    for key in ("ArrowRight", "End", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        told.append(slider.get_attribute("aria-valuenow"))
    assert told == ["0.0", "2.0", "5.0", "3.0", "0.0"]
    page.keyboard.press("Space")  # without a medium time runs all the same
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(slider).not_to_have_attribute("aria-valuenow", "0.0")


def test_what_is_drawn_is_told_in_numbers_too(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    page.get_by_text("The same in numbers").click()
    rows = page.get_by_role("table", name="Emotion by window").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("0:02.0 – 0:05.0")
    readings = page.get_by_role("region", name="At the playhead").get_by_role("row")
    expect(readings).to_have_count(8)


def test_why_is_shown_beside_the_face_and_the_film_may_be_the_annotated_one(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    pictures = page.locator(".why img")
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function("(image) => image.naturalWidth > 100", arg=pictures.first.element_handle())
    page.locator(".why button").first.click()
    expect(page.locator(".corner img")).to_be_visible()
    page.get_by_label("Heatmaps", exact=True).uncheck()
    expect(page.locator(".corner")).to_be_hidden()
    visit.playhead()
    assert visit.boxes() != []
    page.get_by_label("Annotated", exact=True).check()
    expect(page.locator(".stage video")).to_have_attribute("src", re.compile("annotated.mp4"))
    visit.playhead()
    assert visit.boxes() == []


def test_a_kept_film_is_read_again_in_another_way(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()  # comes last, and moves what is below it
    page.get_by_text("Read it again in another way").click()
    page.get_by_label("Emotions").select_option("simplified")
    page.get_by_label("Annotated video").uncheck()
    page.get_by_role("button", name="Read it again").click()
    expect(page.get_by_role("button", name="surprise or disgust")).to_be_visible(timeout=SECONDS)
    assert done.id not in page.url


@pytest.mark.parametrize("made", [False, True], ids=["written when asked for", "made by the job"])
def test_every_download_is_a_file(visit: Visit, done: Job, made: bool) -> None:
    """In two visits: a browser lets a page start no more than ten downloads in a row."""
    page = visit.open(f"/#/job/{done.id}")
    expect(page.get_by_role("button", name="annotated.mp4")).to_be_visible()
    names = {}
    for button in page.locator(".downloads > .files .file").all()[10 if made else 0 :][:10]:
        with page.expect_download() as started:
            button.click()
        names[started.value.suggested_filename] = Path(started.value.path()).read_bytes()
    assert all(names.values())
    if made:
        assert set(names) == {"annotated.mp4", "summary.png"}
    else:
        endings = [".csv", ".eaf", ".json", ".srt", ".TextGrid", ".txt", ".vtt"]
        assert sorted({Path(name).suffix for name in names}, key=str.lower) == endings
        assert all(name.startswith("left to right") for name in names)
        assert b"hello there" in names["left to right.srt"]


def test_a_bad_file_is_told_in_plain_words(visit: Visit, tmp_path: Path) -> None:
    visit.expected = "status of 415"
    page = visit.open()
    (tmp_path / "film.mp4").write_text("Once upon a time")
    visit.drop(tmp_path / "film.mp4")
    expect(page.get_by_role("alert")).to_contain_text("The file is of no accepted format", timeout=SECONDS)
    expect(page.get_by_role("alert")).to_contain_text("unsupported_media")


def test_a_film_that_cannot_be_decoded_says_why(visit: Visit, seeing: Service, film: Path, tmp_path: Path) -> None:
    (tmp_path / "half.mp4").write_bytes(film.read_bytes()[:4000])
    failed = seeing.finished(tmp_path / "half.mp4")
    page = visit.open(f"/#/job/{failed.id}")
    expect(page.get_by_role("alert")).to_contain_text("The media cannot be decoded")


def test_a_job_is_cancelled(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Faces a second").fill("30")
    visit.drop(make_scenes(tmp_path / "long.mp4", [(portrait(), 100)]))
    page.get_by_role("button", name="Cancel").click(timeout=SECONDS)
    expect(page.get_by_text("This job was cancelled.")).to_be_visible(timeout=SECONDS)


def test_two_results_stand_side_by_side_on_one_axis(visit: Visit, seeing: Service, done: Job, tmp_path: Path) -> None:
    seeing.finished(make_scenes(tmp_path / "short.mp4", [(portrait(), 2)]))
    page = visit.open()
    for name in ("short.mp4", "left to right.mp4"):
        page.get_by_role("checkbox", name=f"Compare {name}").first.check()
    page.get_by_role("link", name="Compare the two").click()
    sliders = page.get_by_role("slider", name=re.compile("^Emotion over time in"))
    expect(sliders).to_have_count(2)
    assert [slider.get_attribute("aria-valuemax") for slider in sliders.all()] == ["5.0", "5.0"]
    sliders.nth(0).press("ArrowRight")
    expect(sliders.nth(1)).to_have_attribute("aria-valuenow", str(sliders.nth(0).get_attribute("aria-valuenow")))


def test_the_key_goes_with_every_call_and_stays_in_its_tab(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="API key").click()
    page.get_by_label("Key", exact=True).fill("secret")
    with page.expect_request("**/v1/jobs?**") as asked:
        page.get_by_role("button", name="Use it").click()
    assert asked.value.headers["authorization"] == "Bearer secret"
    assert page.evaluate("JSON.stringify([sessionStorage, localStorage])").count("secret") == 1
    other = page.context.new_page()
    other.goto(visit.origin)
    assert "secret" not in other.evaluate("JSON.stringify([sessionStorage, localStorage])")


@pytest.mark.parametrize(
    ("time", "box"),
    [(0.0, 10), (0.5, 15), (1.0, 20), (2.0, None), (4.0, 40), (9.0, None)],
    ids=["on a frame", "between two", "on the next", "away", "back", "after the end"],
)
def test_a_face_moves_between_its_frames_and_goes_while_it_is_away(
    visit: Visit, time: float, box: float | None
) -> None:
    frames = [{"time": at, "box": {"x": x, "y": 0, "width": 9, "height": 9}} for at, x in ((0, 10), (1, 20), (4, 40))]
    script = """async ([frames, time]) => {
        const { faceAt } = await import("/page/tracks.js");
        return faceAt({ track: 1, frames }, time, 0.5)?.box.x ?? null;
    }"""
    assert visit.open().evaluate(script, [frames, time]) == box


def test_a_box_lies_right_on_a_picture_with_bars_and_wide_pixels(visit: Visit) -> None:
    """Frames of 100×100 pixels, shown as 200×100 in a stage of 400×400: half as high, bars above and below."""
    script = """async () => {
        const { inside, placed } = await import("/page/overlay.js");
        const size = { width: 100, height: 100 };
        const place = placed({ videoWidth: 200, videoHeight: 100 }, size, 400, 400);
        return inside({ x: 50, y: 50, width: 10, height: 10 }, size, place);
    }"""
    assert visit.open().evaluate(script) == [200, 200, 40, 20]


def test_colours_are_those_of_the_pictures_and_films(visit: Visit) -> None:
    script = "async (labels) => labels.map((await import('/page/emotions.js')).colour)"
    assert visit.open().evaluate(script, list(COLOURS)) == list(COLOURS.values())


def test_live_tells_what_the_camera_shows(launch: Callable[..., Any], seeing: Service, tmp_path: Path) -> None:
    """Three seconds of a face, four of nobody, again and again."""
    film = make_scenes(tmp_path / "camera.mkv", [(portrait(), 3), (nobody(), 4)])
    camera = tmp_path / "camera.y4m"
    ffmpeg("-i", film, "-an", "-pix_fmt", "yuv420p", camera)
    fake = (
        "use-fake-device-for-media-stream",
        "use-fake-ui-for-media-stream",
        f"use-file-for-fake-video-capture={camera}",
    )
    filming = launch(*(f"--{each}" for each in fake))
    with visiting(filming, seeing, viewport={"width": 1000, "height": 900}) as visit:
        page = visit.open("/#/live")
        page.get_by_role("combobox", name="Over the last").select_option("2")
        page.get_by_role("button", name="Begin").click()
        word = page.locator(".now-word")
        for told in ("|".join(EMOTIONS), "nothing to read", "|".join(EMOTIONS)):
            expect(word).to_have_text(re.compile(f"^({told})$"), timeout=SECONDS)
        drawn = page.locator(".stage canvas").evaluate("(canvas) => canvas.toDataURL()")
        page.get_by_role("button", name="End").click()
        expect(page.get_by_role("button", name="Begin")).to_be_visible()
        assert page.locator(".stage canvas").evaluate("(canvas) => canvas.toDataURL()") != drawn
        expect(page.get_by_text("The camera is off.")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
    filming.close()


def test_live_without_a_camera_says_so(visit: Visit) -> None:
    page = visit.open("/#/live")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("alert")).to_contain_text("No camera or microphone")
    expect(page.get_by_role("button", name="Begin")).to_be_visible()


@pytest.mark.parametrize(
    "look",
    [
        {"color_scheme": "light", "viewport": {"width": 1200, "height": 900}},
        {"color_scheme": "dark", "viewport": {"width": 1200, "height": 900}},
        {"color_scheme": "light", "viewport": {"width": 375, "height": 700}, "reduced_motion": "reduce"},
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(browser: Any, seeing: Service, done: Job, look: dict[str, Any]) -> None:
    with visiting(browser, seeing, **look) as visit:
        for path, landmark in (("/", ".job"), (f"/#/job/{done.id}", ".timeline"), ("/#/live", ".stage")):
            page = visit.open(path)
            expect(page.locator(landmark).first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the page"
            found = axe.Axe().run(page).response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
