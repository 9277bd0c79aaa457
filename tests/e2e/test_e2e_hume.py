"""Hume's own SDK against the running service, with the models of the light bundle."""

import asyncio
import base64
import csv
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hume import AsyncHumeClient, HumeClient
from hume.core.api_error import ApiError
from hume.expression_measurement.batch.types import (
    Face,
    InferenceBaseRequest,
    Language,
    Models,
    Prosody,
    Transcription,
)
from hume.expression_measurement.stream.stream.types import Config, StreamFace, StreamLanguage
from hume.expression_measurement.stream.stream.types.stream_models_endpoint_payload import StreamModelsEndpointPayload
from PIL import Image
from standardwebhooks import Webhook

from app.compat.hume.emotions import EMOTION_NAMES
from tests.e2e.conftest import ROOT, WEBHOOK_SECRET, Service, serving
from tests.face_files import make_scenes, portrait
from tests.loopback import Handler, loopback
from tests.speech_files import make_sound, say

NAMES = sorted(EMOTION_NAMES.values())
SENTENCES = ("I am so happy that you came.", "This is terrible, go away!")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hume")
    settings = {"AFFECT_MODEL_STORE": str(ROOT / "model_store"), "AFFECT_BUNDLE": "light"}
    with serving(folder, **settings) as running:
        yield running


@pytest.fixture
def hume(service: Service) -> HumeClient:
    return HumeClient(api_key="any", base_url=str(service.client.base_url).rstrip("/"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "portrait.jpg"
    Image.fromarray(portrait()).save(path)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound = say(" ".join(SENTENCES))
    return make_scenes(tmp_path_factory.mktemp("media") / "film.mp4", [(portrait(), len(sound) / 16_000)], sound)


def completed(hume: HumeClient, job_id: str) -> Any:
    """The details of a job once it has ended."""
    until = time.monotonic() + 120
    while (job := hume.expression_measurement.batch.get_job_details(job_id)).state.status in ("QUEUED", "IN_PROGRESS"):
        assert time.monotonic() < until
        time.sleep(0.1)
    return job


def predicted(hume: HumeClient, job_id: str) -> list[Any]:
    assert completed(hume, job_id).state.status == "COMPLETED"
    return hume.expression_measurement.batch.get_job_predictions(job_id)


def test_a_local_film_is_read_by_all_models(service: Service, hume: HumeClient, film: Path, tmp_path: Path) -> None:
    batch = hume.expression_measurement.batch
    wish = InferenceBaseRequest(
        models=Models(
            face=Face(fps_pred=2, identify_faces=True, facs={}, prob_threshold=0.3, min_face_size=20),
            prosody=Prosody(granularity="sentence", identify_speakers=True),
            burst={},
            language=Language(granularity="sentence", sentiment={}),
        ),
        transcription=Transcription(language="en"),
        notify=True,
    )
    with film.open("rb") as file:
        job_id = batch.start_inference_job_from_local_file(file=[file], json=wish)
    [source] = predicted(hume, job_id)
    assert (source.source.type, source.source.filename, source.error) == ("file", "film.mp4", None)
    [read] = source.results.predictions
    assert read.file == "film.mp4"
    [faces] = read.models.face.grouped_predictions
    assert faces.id != "unknown" and 4 <= len(faces.predictions) <= 14
    first = faces.predictions[0]
    assert [score.name for score in first.emotions] == NAMES
    assert sum(score.score for score in first.emotions) == pytest.approx(1, abs=1e-5)
    assert first.box.w > 20 and first.prob >= 0.3
    words = [each for group in read.models.language.grouped_predictions for each in group.predictions]
    assert len(words) >= 2 and len(words[0].sentiment) == 3
    text = " ".join(each.text for each in words)
    assert all(text[each.position.begin : each.position.end] == each.text for each in words)
    voices = [each for group in read.models.prosody.grouped_predictions for each in group.predictions]
    assert voices and voices[0].time.end > voices[0].time.begin and voices[0].text == words[0].text
    assert read.models.burst is not None
    batch.get_and_write_job_artifacts(job_id, file_name=str(tmp_path / "artifacts.zip"))
    with zipfile.ZipFile(tmp_path / "artifacts.zip") as archive:
        tables = {Path(name).stem: archive.read(name).decode() for name in archive.namelist() if name.endswith("csv")}
    rows = list(csv.DictReader(io.StringIO(tables["face"])))
    assert len(rows) == len(faces.predictions) and float(rows[0]["Joy"]) == pytest.approx(
        next(score.score for score in first.emotions if score.name == "Joy")
    )
    assert {"face", "prosody", "language"} <= set(tables)


def test_a_link_is_fetched_and_jobs_are_listed(service: Service, hume: HumeClient, picture: Path) -> None:
    batch = hume.expression_measurement.batch
    with loopback(lambda handler: handler.reply(200, picture.read_bytes())) as server:
        url = server.url("/portrait.jpg")
        job_id = batch.start_inference_job(models=Models(face=Face()), urls=[url])
        [source] = predicted(hume, job_id)
    assert (source.source.type, source.source.url) == ("url", url)
    [faces] = source.results.predictions[0].models.face.grouped_predictions
    assert (faces.id, faces.predictions[0].time) == ("unknown", 0)
    listed = batch.list_jobs(status=["COMPLETED"], limit=5, when="created_after", timestamp_ms=0, direction="desc")
    assert listed[0].job_id == job_id and listed[0].request.urls == [url]
    assert listed[0].state.num_predictions == 1 and listed[0].state.num_errors == 0
    assert batch.list_jobs(status=["FAILED"], limit=5) == []


def test_texts_are_read_sentence_by_sentence(hume: HumeClient) -> None:
    batch = hume.expression_measurement.batch
    joy, anger = "I love this so much! It is wonderful.", "I hate you. I am furious!"
    wish = Models(language=Language(granularity="sentence", sentiment={}))
    [source] = predicted(hume, batch.start_inference_job(models=wish, text=[joy, anger]))
    assert source.source.type == "text"
    strongest = []
    for text, read in zip((joy, anger), source.results.predictions, strict=True):
        [group] = read.models.language.grouped_predictions
        assert [each.text for each in group.predictions] == [
            text[each.position.begin : each.position.end] for each in group.predictions
        ]
        strongest.append(max(group.predictions[1].emotions, key=lambda score: score.score).name)
    assert strongest == ["Joy", "Anger"]


def test_callback_tells_that_all_files_have_ended(hume: HumeClient, picture: Path) -> None:
    heard = threading.Event()

    def answer(handler: Handler) -> None:
        handler.reply(204)
        heard.set()

    with loopback(answer) as receiver, picture.open("rb") as one, picture.open("rb") as two:
        job_id = hume.expression_measurement.batch.start_inference_job_from_local_file(
            file=[one, two],
            json=InferenceBaseRequest(models=Models(face=Face()), callback_url=receiver.url("/hook")),
        )
        assert heard.wait(120)
        [received] = receiver.requests
    assert Webhook(WEBHOOK_SECRET).verify(received.body, received.headers) == {"job_id": job_id, "status": "COMPLETED"}


def test_archives_are_unpacked_and_what_is_no_media_is_named(hume: HumeClient, picture: Path, tmp_path: Path) -> None:
    archive = tmp_path / "faces.tar.gz"
    (tmp_path / "notes.md").write_text("# notes")
    with tarfile.open(archive, "w:gz") as target:
        target.add(picture, "set/one.jpg")
        target.add(tmp_path / "notes.md", "set/notes.md")
    with archive.open("rb") as file:
        job_id = hume.expression_measurement.batch.start_inference_job_from_local_file(
            file=[file], json=InferenceBaseRequest(models=Models(face=Face()))
        )
    [source] = predicted(hume, job_id)
    assert [read.file for read in source.results.predictions] == ["set/one.jpg"]
    assert [error.file for error in source.results.errors] == ["set/notes.md"]


def test_what_is_not_supported_is_refused_by_name(hume: HumeClient) -> None:
    batch = hume.expression_measurement.batch
    for models, name in (
        (Models(facemesh={}), "models.facemesh"),
        (Models(language=Language(toxicity={})), "models.language.toxicity"),
        (Models(face=Face(descriptions={})), "models.face.descriptions"),
    ):
        with pytest.raises(ApiError) as refused:
            batch.start_inference_job(models=models, text=["Hello."])
        assert refused.value.status_code == 400 and name in refused.value.body["message"]
    with pytest.raises(ApiError) as missing:
        batch.get_job_details("none")
    assert (missing.value.status_code, missing.value.body["code"]) == (404, "job_not_found")


def test_the_async_client_submits_polls_and_streams(service: Service, picture: Path, film: Path) -> None:
    async def run() -> None:
        hume = AsyncHumeClient(api_key="any", base_url=str(service.client.base_url).rstrip("/"))
        batch = hume.expression_measurement.batch
        job_id = await batch.start_inference_job(models=Models(language=Language()), text=["Hello there."])
        while (await batch.get_job_details(job_id)).state.status != "COMPLETED":
            await asyncio.sleep(0.1)
        [source] = await batch.get_job_predictions(job_id)
        [group] = source.results.predictions[0].models.language.grouped_predictions
        assert [each.text for each in group.predictions] == ["Hello", "there."]
        with picture.open("rb") as file:
            again = await batch.start_inference_job_from_local_file(file=[file])
        assert (await batch.get_job_details(again)).request.files[0].filename == "portrait.jpg"
        async with hume.expression_measurement.stream.connect() as socket:
            seen = await socket.send_file(picture, Config(face=StreamFace(identify_faces=True)))
            assert seen.face is not None and [score.name for score in seen.face.predictions[0].emotions] == NAMES

    asyncio.run(run())


def test_the_stream_reads_pictures_texts_and_sound(hume: HumeClient, picture: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "a.wav", say(SENTENCES[0]))
    with hume.expression_measurement.stream.connect() as socket:
        seen = socket.send_file(picture, Config(face=StreamFace()), payload_id="one")
        assert (seen.payload_id, seen.face.predictions[0].face_id) == ("one", "unknown")
        told = socket.send_text("I am so glad!", Config(language=StreamLanguage(granularity="passage", sentiment={})))
        assert told.language.predictions[0].text == "I am so glad!"
        assert max(told.language.predictions[0].emotions, key=lambda score: score.score).name == "Joy"
        heard = socket.send_file(sound, Config(prosody={}))
        assert heard.prosody.predictions[0].time.end > 0
        nothing = socket.send_file(sound, Config(face=StreamFace()))
        assert nothing.face.predictions == [] and nothing.face.code == "W0103"
        assert socket.get_job_details().job_details.job_id
        socket.reset()
        for message, code in (
            (StreamModelsEndpointPayload(data="***", models=Config(face=StreamFace())), "E0201"),
            (StreamModelsEndpointPayload(data="aGVsbG8=", models=Config(face=StreamFace())), "E0200"),
            (StreamModelsEndpointPayload(data="hello", raw_text=True, models=Config(facemesh={})), "E0101"),
        ):
            socket.send_publish(message)
            assert socket.recv().code == code
    assert hume.expression_measurement.batch.list_jobs(limit=100) is not None


def test_the_window_of_a_stream_joins_what_came_before(hume: HumeClient, tmp_path: Path) -> None:
    half = base64.b64encode(make_sound(tmp_path / "b.wav", say(SENTENCES[1])[:16_000]).read_bytes()).decode()
    with hume.expression_measurement.stream.connect() as socket:
        ends = []
        for _ in range(2):
            socket.send_publish(
                StreamModelsEndpointPayload(data=half, models=Config(prosody={}), stream_window_ms=3000)
            )
            answer = socket.recv()
            ends.append(max(each.time.end for each in answer.prosody.predictions))
    assert ends == [pytest.approx(1.0, abs=0.05), pytest.approx(2.0, abs=0.05)]
