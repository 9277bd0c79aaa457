"""Settings of a worker. Each is an environment variable with the prefix `AFFECT_`."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from ml.media.limits import MediaLimits
from workers.protocol.broker import TASK_TIME_LIMIT_SECONDS
from workers.protocol.records import WorkerKind
from workers.protocol.settings import SharedSettings

_MEDIA = MediaLimits()


class WorkerSettings(SharedSettings):
    """Settings of one worker."""

    worker_kinds: Annotated[tuple[WorkerKind, ...], NoDecode] = Field(
        ("inference", "io"),
        min_length=1,
        description="What this worker does, comma-separated: `inference` (analyses), `io` (downloads links and sends "
        "webhooks; loads no models if it is the only kind), `live` (live streams). The flag `--kinds` overrides it.",
    )
    model_store: Path = Field(Path("model_store"), description="Folder of the model store.")
    bundle: str = Field("default", description="Name of the bundle of models to serve.")
    device: str = Field("auto", description="Device that runs the models: `auto`, `cpu` or `cuda`.")
    face_search: Literal["graphs", "nets"] = Field(
        "graphs",
        description="Backend of the face search: mediapipe's `graphs` on the CPU, or its `nets` on `DEVICE`. Both give "
        "the same results.",
    )
    video_decoder: Literal["software", "cuda"] = Field(
        _MEDIA.video_decoder,
        description="Decoder of videos longer than half a minute: ffmpeg in `software`, or an NVIDIA GPU (`cuda`) if "
        "it supports the codec.",
    )
    licences: Literal["any", "commercial"] = Field(
        "any", description="Model licences to accept. `commercial` rejects models that forbid commercial use."
    )
    whisper_model: Annotated[str | None, BeforeValidator(lambda value: value or None)] = Field(
        None, description="Name of a Whisper model to use instead of the bundle's."
    )
    concurrency: int = Field(
        1, ge=1, description="Number of worker processes. Each loads the models and runs one job at a time."
    )
    io_concurrency: int = Field(32, ge=1, description="Maximum number of concurrent downloads of a worker process.")
    fetches_per_key: int = Field(8, ge=1, description="Maximum number of concurrent downloads of one caller.")
    webhook_concurrency: int = Field(32, ge=1, description="Maximum number of concurrent webhooks of a worker process.")
    webhooks_per_key: int = Field(8, ge=1, description="Maximum number of concurrent webhooks of one caller.")
    live_streams: int = Field(4, ge=1, description="Maximum number of concurrent live streams per worker process.")
    threads: int = Field(0, ge=0, description="CPU threads per worker process. 0: one per core.")
    pictures: int = Field(4, ge=1, description="Maximum number of small images that a worker process analyses at once.")
    scratch_dir: Path | None = Field(
        None, description="Folder for temporary files of running jobs. Default: `scratch` in `DATA_DIR`."
    )
    max_seconds: float = Field(_MEDIA.max_seconds, gt=0, description="Maximum duration of media, in seconds.")
    max_pixels: int = Field(_MEDIA.max_pixels, ge=1, description="Maximum pixels of an image or video frame.")
    job_seconds: float = Field(
        5 * 3600.0, gt=0, lt=TASK_TIME_LIMIT_SECONDS, description="Time limit of one attempt at a job, in seconds."
    )

    long_seconds: float = Field(
        600.0, gt=0, description="Duration in seconds above which media is split into parts that all workers share."
    )
    part_seconds: float = Field(
        300.0, ge=60, description="Maximum duration of such a part in seconds, rounded to minutes."
    )
    part_megapixels: float = Field(
        1000.0,
        gt=0,
        description="Megapixels of video frames above which a part is made shorter (a minute at least). Media with "
        "four times as many is split even if it is short.",
    )

    fetch_seconds: float = Field(3600.0, gt=0, description="Time limit of a download, in seconds.")
    fetch_idle_seconds: float = Field(
        30.0, gt=0, description="Seconds without any data after which a download is aborted."
    )
    fetch_bytes_per_second: int = Field(
        4096,
        ge=0,
        description="Minimum pace of a download, in bytes per second over a minute. A slower one is aborted.",
    )

    pages: bool = Field(
        False, description="Download media from web pages, with yt-dlp (extra `pages`), if a link leads to a page."
    )
    webhook_seconds: float = Field(15.0, gt=0, description="Seconds to wait for the response to a webhook.")
    webhook_pauses: Annotated[tuple[float, ...], NoDecode] = Field(
        (5, 60, 300, 1800, 7200, 18000, 36000),
        description="Seconds to wait before each retry of a webhook, comma-separated.",
    )

    @field_validator("pages")
    @classmethod
    def _require_yt_dlp(cls, value: bool) -> bool:
        if value and importlib.util.find_spec("yt_dlp") is None:
            raise ValueError("yt-dlp is not installed: pip install 'affect[pages]'")
        return value

    @field_validator("webhook_pauses", mode="before")
    @classmethod
    def _split_pauses(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("worker_kinds", mode="before")
    @classmethod
    def _split_kinds(cls, value: Any) -> Any:
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
    def media_limits(self) -> MediaLimits:
        return MediaLimits(
            max_seconds=self.max_seconds,
            max_pixels=self.max_pixels,
            max_bytes=self.max_upload_bytes,
            video_decoder=self.video_decoder,
        )
