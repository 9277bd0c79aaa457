"""Settings of a worker."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from ml.media.limits import MediaLimits
from workers.outbound.downloader import FetchLimits
from workers.outbound.page_downloader import Pages
from workers.outbound.webhook_sender import WebhookTerms
from workers.protocol.broker import HARD_LIMIT
from workers.protocol.net.ssrf import Egress
from workers.protocol.records import WorkerKind
from workers.protocol.settings import WireSettings

_MEDIA = MediaLimits()


class WorkerSettings(WireSettings):
    worker_kinds: Annotated[tuple[WorkerKind, ...], NoDecode] = Field(
        ("inference", "io"),
        min_length=1,
        description="What this worker does, comma-separated: `inference` (analyses), `io` (fetches links, sends "
        "webhooks; alone, it loads no models), `live` (streams).",
    )
    model_store: Path = Field(Path("model_store"), description="Where the models lie.")
    bundle: str = Field("default", description="The bundle that is served.")
    device: str = Field("auto", description="`auto`, `cpu` or `cuda`.")
    face_search: Literal["graphs", "nets"] = Field(
        "graphs",
        description="What searches for faces, to the same answers: mediapipe's `graphs` on the CPU, or their `nets` on "
        "`device`.",
    )
    video_decoder: Literal["software", "cuda"] = Field(
        _MEDIA.video_decoder,
        description="What decodes videos of half a minute and more: ffmpeg in `software`, or an NVIDIA GPU (`cuda`), "
        "where it can.",
    )
    licences: Literal["any", "commercial"] = Field("any", description="`commercial` refuses research weights.")
    whisper_model: Annotated[str | None, BeforeValidator(lambda told: told or None)] = Field(
        None, description="A Whisper model other than the bundle's."
    )
    concurrency: int = Field(1, ge=1, description="Processes of a worker; each holds the models and does one job.")
    io_concurrency: int = Field(8, ge=1, description="Links and webhooks at once, of a worker that does nothing else.")
    live_streams: int = Field(4, ge=1, description="Live streams that one worker process reads at once.")
    threads: int = Field(0, ge=0, description="CPU threads of a worker process; 0: as many as there are.")
    pictures: int = Field(4, ge=1, description="Small pictures that one worker process reads at once.")
    scratch_dir: Path | None = Field(
        None, description="Where media are unpacked while they are read; null: under `data_dir`."
    )
    max_seconds: float = Field(_MEDIA.max_seconds, gt=0, description="Longest media, in seconds.")
    max_pixels: int = Field(_MEDIA.max_pixels, ge=1, description="Most pixels of a picture or frame.")
    job_seconds: float = Field(
        5 * 3600.0, gt=0, lt=HARD_LIMIT, description="Longest that one attempt at a job may take."
    )

    long_seconds: float = Field(
        600.0, gt=0, description="Media longer than so many seconds are worked on in parts, by all workers."
    )
    part_seconds: float = Field(300.0, ge=60, description="Length of such a part, in seconds; whole minutes.")

    fetch_seconds: float = Field(3600.0, gt=0, description="Longest that the download of a link may take.")
    fetch_idle_seconds: float = Field(30.0, gt=0, description="A download that stands still for so long is given up.")

    pages: bool = Field(
        False, description="Fetch the media that a web page shows (extra `pages`: yt-dlp), where a link leads to one."
    )
    webhook_seconds: float = Field(15.0, gt=0, description="For which a webhook's receiver may take its time.")
    webhook_pauses: Annotated[tuple[float, ...], NoDecode] = Field(
        WebhookTerms.pauses, description="Seconds before each further attempt at a webhook, comma-separated."
    )

    @field_validator("pages")
    @classmethod
    def _can_read_pages(cls, value: bool) -> bool:
        if value and importlib.util.find_spec("yt_dlp") is None:
            raise ValueError("it needs yt-dlp: pip install 'affect[pages]'")
        return value

    @field_validator("webhook_pauses", mode="before")
    @classmethod
    def _split_pauses(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("worker_kinds", mode="before")
    @classmethod
    def _parse_kinds(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(kind.strip() for kind in value.split(",") if kind.strip()))

    @property
    def needs_models(self) -> bool:
        return self.worker_kinds != ("io",)

    @property
    def scratch(self) -> Path:
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def fetch_limits(self) -> FetchLimits:
        return FetchLimits(self.max_upload_bytes, self.fetch_seconds, self.fetch_idle_seconds)

    @property
    def page_reader(self) -> Pages | None:
        if not self.pages:
            return None
        return Pages(Egress.of(self), self.max_upload_bytes, self.fetch_seconds, self.fetch_idle_seconds)

    @property
    def webhook_terms(self) -> WebhookTerms:
        return WebhookTerms(self.webhook_seconds, self.webhook_pauses)

    @property
    def media_limits(self) -> MediaLimits:
        return MediaLimits(
            max_seconds=self.max_seconds,
            max_pixels=self.max_pixels,
            max_bytes=self.max_upload_bytes,
            video_decoder=self.video_decoder,
        )
