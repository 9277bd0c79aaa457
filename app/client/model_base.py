"""Base of the models of what the service sends (`models`)."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

Options = Mapping[str, Any]
"""Options of a job, such as `{"hop_seconds": 1}`. The README lists them."""


class ApiModel(BaseModel):
    """Immutable model. Fields that a newer service adds are kept, and can be read by their names."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, serialize_by_alias=True)
