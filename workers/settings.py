"""Settings of a worker."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from workers.wire.settings import WireSettings


class WorkerSettings(WireSettings):
    model_store: Path = Field(Path("model_store"), description="Where the models lie.")
    bundle: str = Field("default", description="The bundle that is served.")
    device: str = Field("auto", description="`auto`, `cpu` or `cuda`.")
    licences: Literal["any", "commercial"] = Field("any", description="`commercial` refuses research weights.")
    whisper_model: str | None = Field(None, description="A Whisper model other than the bundle's.")
    threads: int = Field(0, ge=0, description="CPU threads of a worker process; 0: as many as there are.")
