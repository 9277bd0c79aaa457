"""Settings from environment variables with the prefix `AFFECT_`.

Each may be stored in a file instead, as container secrets are: `AFFECT_API_KEYS_FILE` is the path of a file that
contains the value of `AFFECT_API_KEYS`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_PREFIX = "AFFECT_"
_SUFFIX = "_FILE"
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
"""Begin of a variable that Kubernetes sets for a Service: a Service called `affect` sets AFFECT_PORT=tcp://10.0.0.7:80."""


class _EnvironmentSource(EnvSettingsSource):
    """Reads the variables, without those of Kubernetes Services that have the name of a port setting."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        variables = super()._load_env_vars()
        return {
            name: value
            for name, value in variables.items()
            if not (name.lower().endswith("port") and _SERVICE_LINK.match(value or ""))
        }


class _FileSource(EnvSettingsSource):
    """Reads `AFFECT_NAME` from the file that `AFFECT_NAME_FILE` names."""

    def _load_env_vars(self) -> dict[str, str | None]:
        paths = {
            name.removesuffix(_SUFFIX): Path(path)
            for name, path in os.environ.items()
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX) and path
        }
        return {name.lower(): path.read_text().strip() for name, path in paths.items()}


class EnvSettings(BaseSettings):
    """Base of all settings. Error messages omit rejected values, because they may be secrets."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
        **named_sources: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return named_sources["init_settings"], _EnvironmentSource(settings_cls), _FileSource(settings_cls)
