"""The page in a real browser, with a running service that reads faces."""

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
from ml.vocabulary import EMOTIONS
from tests.e2e.conftest import Service, serving
from tests.face_files import make_scenes, nobody, portrait
from tests.media_files import ffmpeg
from tests.toy_models import make_store

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = playwright.expect

SECONDS = 60_000
"""Milliseconds to wait for something of the service, on a busy machine."""
QUIET = ("background-networking", "component-update", "sync", "gpu")
WIDTH, HEIGHT = 512, 300
FACE = (85, 183)
"""Left and right edge of the portrait's face, pixels of its picture."""
CAPTIONS = "1\n00:00:00,000 --> 00:00:02,000\nhello there\n\n2\n00:00:03,000 --> 00:00:05,000\ngood bye\n"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(make_store(tmp_path_factory.mktemp("seeing")), AFFECT_WORKER_KINDS="inference,io,live") as running:
        yield running


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of five seconds, 512×300: a face on the left, a second without one, the same face on the right."""
    left = np.concatenate([portrait(), nobody()], axis=1)
    right = np.concatenate([nobody(), portrait()], axis=1)
    empty = np.concatenate([nobody(), nobody()], axis=1)
    return make_scenes(tmp_path_factory.mktemp("film") / "left to right.mp4", [(left, 2), (empty, 1), (right, 2)])


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """A function that starts a browser with further arguments."""
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
    """A tab, with the errors and the requests to other hosts that should not have happened in it."""

    page: Any
    origin: str
    expected: str = "willReadFrequently"  # a hint to `boxes`
    trouble: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        if not re.search(self.expected, message):
            self.trouble.append(message)

    def watch(self) -> None:
        self.page.on("console", lambda entry: entry.type in ("error", "warning") and self.note(entry.text))
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.on("request", lambda request: self.is_own(request.url) or self.note(f"requested {request.url}"))

    def is_own(self, url: str) -> bool:
        return url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:"))

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.origin + path)
        return self.page

    def drop(self, path: Path) -> None:
        """Drop a file as if from the desktop."""
        content = base64.b64encode(path.read_bytes()).decode()
        script = """([name, content]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(content), (each) => each.charCodeAt(0))], name));
            return transfer;
        }"""
        transfer = self.page.evaluate_handle(script, [path.name, content])
        self.page.dispatch_event(".drop-area", "drop", {"dataTransfer": transfer})

    def go(self, share: float) -> None:
        """Click the timeline at a share of its width."""
        track = self.page.locator(".track-combined canvas")
        track.scroll_into_view_if_needed()
        box = track.bounding_box()
        track.click(position={"x": box["width"] * share, "y": 20})

    def playhead(self) -> float:
        """Return the time of the player in seconds, after it has finished seeking."""
        settled = "(video) => !video.seeking && video.readyState >= 2"
        video = self.page.locator(".stage video")
        self.page.wait_for_function(settled, arg=video.element_handle(), timeout=SECONDS)
        return float(video.evaluate("(video) => video.currentTime"))

    def boxes(self) -> list[tuple[float, float]]:
        """Return left and right edge of what is drawn over the video at the height of the face, pixels of the video."""
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
    """A new tab; at its end the test fails if anything went wrong in it."""
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
    """The job of the video, with captions, the stored media and all artifacts."""
    return seeing.finished(film, transcript=CAPTIONS, options={"keep_media": True, "heatmaps": True, "annotate": True})


def test_upload_dropped_video_shows_progress_then_result(visit: Visit, film: Path) -> None:
    page = visit.open()
    visit.drop(film)
    expect(page.locator(".progress progress")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("heading", level=1)).to_have_text(film.name)
    expect(page.get_by_role("slider", name="Emotion timeline")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("status")).to_contain_text("Whole file")
    assert "#/job/" in page.url


def test_upload_connection_lost_can_be_sent_again(visit: Visit, film: Path) -> None:
    """The first upload fails and there are no events: the page sends it again, and polls."""
    visit.expected = "ERR_FAILED"
    page = visit.open()
    page.route("**/v1/jobs", lambda route: route.abort(), times=1)
    page.route("**/events", lambda route: route.abort())
    visit.drop(film)
    expect(page.get_by_role("alert")).to_contain_text("Can’t reach the server")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("slider", name="Emotion timeline")).to_be_visible(timeout=SECONDS)


def test_timeline_clicked_seeks_and_draws_box_at_face(visit: Visit, film: Path, done: Job) -> None:
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


def test_timeline_keys_move_and_play(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    slider = page.get_by_role("slider", name="Emotion timeline")
    slider.focus()
    times = [slider.get_attribute("aria-valuenow")]
    for key in ("ArrowRight", "End", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        times.append(slider.get_attribute("aria-valuenow"))
    assert times == ["0.0", "2.0", "5.0", "3.0", "0.0"]
    page.keyboard.press("Space")  # time runs even if the media has not loaded
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(slider).not_to_have_attribute("aria-valuenow", "0.0")


def test_link_to_moment_opens_there_and_keys_move(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}?t=3.5")
    assert visit.playhead() == pytest.approx(3.5, abs=0.1)
    page.keyboard.press("ArrowLeft")
    assert visit.playhead() == pytest.approx(0)
    page.keyboard.press("c")
    expect(page.locator(".captions")).to_have_text("hello there")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_timeline_lies_in_sight_of_the_picture(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    page.locator(".track-combined").scroll_into_view_if_needed()
    expect(page.locator(".stage")).to_be_in_viewport(ratio=0.9)
    page.evaluate("scrollTo(0, 300)")
    expect(page.locator(".stage")).to_be_in_viewport(ratio=0.9)


def test_overview_dragged_zooms_and_show_all_resets(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    strip = page.locator(".timeline-overview")
    strip.evaluate("(strip) => strip.scrollIntoView({block: 'end'})")
    box = strip.bounding_box()
    row = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, row)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], row, steps=3)
    page.mouse.up()
    frame = page.locator(".overview-frame")
    assert frame.evaluate("(frame) => frame.style.left") == "50%"
    visit.go(0.0)
    assert visit.playhead() == pytest.approx(2.5, abs=0.1)
    page.get_by_role("button", name="Show all").click()
    assert frame.evaluate("(frame) => frame.style.left") == "0%"


def test_key_dialog_saves_with_enter(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="API key").click()
    page.get_by_label("Key", exact=True).fill("another key")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('affect.key')") == "another key"


def test_page_fits_a_narrow_screen(browser: Any, seeing: Service, done: Job) -> None:
    with visiting(browser, seeing, viewport={"width": 320, "height": 640}) as visit:
        for path in ("/", f"/#/job/{done.id}", "/#/live"):
            page = visit.open(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path


def test_table_and_current_reading_show_numbers(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    page.get_by_text("View as table").click()
    rows = page.get_by_role("table", name="Emotion by window").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("0:02.0 – 0:05.0")
    readings = page.get_by_role("region", name="At the current time").get_by_role("row")
    expect(readings).to_have_count(8)


def test_player_offers_heatmaps_and_annotated_version(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    pictures = page.locator(".explanations img")
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function("(image) => image.naturalWidth > 100", arg=pictures.first.element_handle())
    page.locator(".explanations button").first.click()
    expect(page.locator(".heatmap-inset img")).to_be_visible()
    page.get_by_label("Heatmaps", exact=True).uncheck()
    expect(page.locator(".heatmap-inset")).to_be_hidden()
    visit.playhead()
    assert visit.boxes() != []
    page.get_by_label("Annotated version", exact=True).check()
    expect(page.locator(".stage video")).to_have_attribute("src", re.compile("annotated.mp4"))
    visit.playhead()
    assert visit.boxes() == []


def test_reanalyze_stored_video_with_other_settings_opens_new_job(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    expect(page.get_by_role("heading", name="Explanations")).to_be_visible()  # comes last and moves what is below
    page.get_by_text("Analyse again with different settings").click()
    page.get_by_role("combobox", name="Emotions").select_option("simplified")
    page.get_by_label("Annotated video").uncheck()
    page.get_by_role("button", name="Analyse again").click()
    expect(page.get_by_role("button", name="surprise or disgust", exact=True)).to_be_visible(timeout=SECONDS)
    assert done.id not in page.url


def test_downloads_each_button_saves_a_file(visit: Visit, done: Job) -> None:
    """Several visits, as a browser lets a page start at most ten downloads in a row."""
    names: dict[str, bytes] = {}
    while True:
        page = visit.open("/")
        visit.open(f"/#/job/{done.id}")
        expect(page.get_by_role("button", name="annotated.mp4")).to_be_visible()
        rest = page.locator(".downloads > .files .file").all()[len(names) :]
        for button in rest[:10]:
            with page.expect_download() as started:
                button.click()
            names[started.value.suggested_filename] = Path(started.value.path()).read_bytes()
        if len(rest) <= 10:
            break
    assert [name for name, content in names.items() if not content] == ["left to right.rttm"], "the film has no speech"
    exports = set(names) - {"annotated.mp4", "summary.png"}
    endings = [".csv", ".eaf", ".json", ".rttm", ".srt", ".TextGrid", ".txt", ".vtt"]
    assert sorted({Path(name).suffix for name in exports}, key=str.lower) == endings
    assert all(name.startswith("left to right") for name in exports)
    assert len(names) == len(exports) + 2
    assert b"hello there" in names["left to right.srt"]


def test_upload_unsupported_file_shows_plain_message(visit: Visit, tmp_path: Path) -> None:
    visit.expected = "status of 415"
    page = visit.open()
    (tmp_path / "film.mp4").write_text("Once upon a time")
    visit.drop(tmp_path / "film.mp4")
    expect(page.get_by_role("alert")).to_contain_text("This file type isn’t supported", timeout=SECONDS)
    expect(page.get_by_role("alert")).to_contain_text("unsupported_media")


def test_job_undecodable_video_shows_plain_message(visit: Visit, seeing: Service, film: Path, tmp_path: Path) -> None:
    (tmp_path / "half.mp4").write_bytes(film.read_bytes()[:4000])
    failed = seeing.finished(tmp_path / "half.mp4")
    page = visit.open(f"/#/job/{failed.id}")
    expect(page.get_by_role("alert")).to_contain_text("This file can’t be opened")


def test_job_cancelled_says_so(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Face samples per second").fill("30")
    visit.drop(make_scenes(tmp_path / "long.mp4", [(portrait(), 100)]))
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=SECONDS)
    expect(page.get_by_text("This analysis was cancelled.")).to_be_visible(timeout=SECONDS)


def test_compare_two_results_share_axis_and_time(visit: Visit, seeing: Service, done: Job, tmp_path: Path) -> None:
    seeing.finished(make_scenes(tmp_path / "short.mp4", [(portrait(), 2)]))
    page = visit.open()
    for name in ("short.mp4", "left to right.mp4"):
        page.get_by_role("checkbox", name=f"Select {name}").first.check()
    page.get_by_role("link", name="Compare", exact=True).click()
    sliders = page.get_by_role("slider", name=re.compile("^Emotion timeline of"))
    expect(sliders).to_have_count(2)
    assert [slider.get_attribute("aria-valuemax") for slider in sliders.all()] == ["5.0", "5.0"]
    sliders.nth(0).press("ArrowRight")
    expect(sliders.nth(1)).to_have_attribute("aria-valuenow", str(sliders.nth(0).get_attribute("aria-valuenow")))


def test_library_searches_changes_tags_and_downloads_a_selection(
    visit: Visit, seeing: Service, done: Job, tmp_path: Path
) -> None:
    other = seeing.finished(make_scenes(tmp_path / "interview.mp4", [(portrait(), 1)]))
    page = visit.open()
    row = page.locator(".job", has_text="interview.mp4").first
    expect(row.locator(".badge")).to_have_text(re.compile("|".join(EMOTIONS)))
    page.once("dialog", lambda dialog: dialog.accept("study-7, pilot"))
    row.get_by_role("button", name="Change tags of interview.mp4").click()
    expect(row).to_contain_text("#study-7")
    assert seeing.affect.get(other).tags == ("study-7", "pilot")
    page.get_by_role("searchbox", name="Search names and tags").fill("STUDY")
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_role("searchbox", name="Search names and tags").fill("")
    expect(page.locator(".job").nth(1)).to_be_visible()
    for name in ("interview.mp4", "left to right.mp4"):  # the last: another one was read with other emotions
        page.get_by_role("checkbox", name=f"Select {name}").last.check()
    expect(page.locator(".group-mean")).to_contain_text("Mean")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    table = Path(started.value.path()).read_text()
    assert all(f'"{name}"' in table for name in ("interview.mp4", "left to right.mp4"))
    page.get_by_role("checkbox", name="Select left to right.mp4").last.uncheck()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete selected").click()
    expect(page.locator(".notice")).to_contain_text("1 analysis deleted")
    expect(page.locator(".job", has_text="interview.mp4")).to_have_count(0)


def test_ratings_are_given_with_keys_imported_and_compared(visit: Visit, done: Job, tmp_path: Path) -> None:
    page = visit.open(f"/#/job/{done.id}?t=1")
    page.get_by_text("Your ratings").click()
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("heading", level=1).focus()
    page.keyboard.press("1")
    expect(page.locator(".notice")).to_contain_text("Rated as happy")
    row = page.locator(".ratings li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Ann")
    expect(page.locator(".track-rater .track-name")).to_have_text("Ann")
    table = tmp_path / "ratings.csv"
    table.write_text("start,end,emotion,rater\n0,4,happy,Ben\n")
    page.get_by_label("Import ratings (ELAN, Praat, CSV)").set_input_files(table)
    expect(page.locator(".track-rater")).to_have_count(2)
    page.get_by_role("button", name="Show agreement").click()
    expect(page.locator(".agreement")).to_contain_text("Krippendorff’s alpha")
    expect(page.locator(".agreement table").first).to_contain_text("Ann – Ben")
    page.get_by_role("button", name="Delete rating").first.click()
    expect(row).to_have_count(1)


def test_share_link_shows_the_result_and_offers_no_change(visit: Visit, done: Job) -> None:
    page = visit.open(f"/#/job/{done.id}")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_role("textbox", name="Link")
    expect(link).to_have_value(re.compile(r"#/job/.+\?share=.+"))
    address = link.input_value()
    page.get_by_role("button", name="Close").click()
    page.goto("about:blank")
    with page.expect_request(lambda request: "/result?" in request.url) as asked:
        page.goto(address)
    assert "share=" in asked.value.url
    expect(page.get_by_role("slider", name="Emotion timeline")).to_be_visible()
    for name in ("Delete", "Share"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_text("Your ratings")).not_to_be_visible()


def test_example_shows_a_result_without_a_request(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("link", name="See an example result").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Example: a telephone call")
    expect(page.get_by_role("slider", name="Emotion timeline")).to_be_visible()
    expect(page.locator(".sentence")).to_have_count(9)
    page.get_by_role("button", name=re.compile("^Customer")).first.click()
    expect(page.locator(".downloads")).not_to_be_visible()


def test_api_key_is_sent_and_stays_in_its_tab(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="API key").click()
    page.get_by_label("Key", exact=True).fill("secret")
    with page.expect_request("**/v1/jobs?**") as asked:
        page.get_by_role("button", name="Save").click()
    assert asked.value.headers["authorization"] == "Bearer secret"
    assert page.evaluate("JSON.stringify([sessionStorage, localStorage])").count("secret") == 1
    other = page.context.new_page()
    other.goto(visit.origin)
    assert "secret" not in other.evaluate("JSON.stringify([sessionStorage, localStorage])")


def test_live_shows_reading_of_camera(launch: Callable[..., Any], seeing: Service, tmp_path: Path) -> None:
    """The camera shows a face for three seconds, none for four, and so on."""
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
        page.get_by_role("combobox", name="Averaged over").select_option("2")
        page.get_by_role("button", name="Start").click()
        emotion = page.locator(".current-emotion")
        for text in ("|".join(EMOTIONS), "no signal", "|".join(EMOTIONS)):
            expect(emotion).to_have_text(re.compile(f"^({text})$"), timeout=SECONDS)
        drawn = page.locator(".stage canvas").evaluate("(canvas) => canvas.toDataURL()")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert page.locator(".stage canvas").evaluate("(canvas) => canvas.toDataURL()") != drawn
        expect(page.get_by_text("The camera is off.")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
    filming.close()


def test_live_without_camera_says_so(visit: Visit) -> None:
    page = visit.open("/#/live")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("No camera or microphone")
    expect(page.get_by_role("button", name="Start")).to_be_visible()


@pytest.mark.parametrize(
    "look",
    [
        {"color_scheme": "light", "viewport": {"width": 1200, "height": 900}},
        {"color_scheme": "dark", "viewport": {"width": 1200, "height": 900}},
        {"color_scheme": "light", "viewport": {"width": 375, "height": 700}, "reduced_motion": "reduce"},
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_no_serious_violation(browser: Any, seeing: Service, done: Job, look: dict[str, Any]) -> None:
    with visiting(browser, seeing, **look) as visit:
        for path, landmark in (("/", ".job"), (f"/#/job/{done.id}", ".timeline"), ("/#/live", ".stage")):
            page = visit.open(path)
            expect(page.locator(landmark).first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the page"
            found = axe.Axe().run(page).response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
