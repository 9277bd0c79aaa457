"""Where settings come from: environment variables with the prefix `AFFECT_`.

Any of them may lie in a file instead, as secrets of containers do: `AFFECT_API_KEYS_FILE` names the file whose content
is `AFFECT_API_KEYS`.
"""

import os
from pathlib import Path

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_PREFIX = "AFFECT_"
_SUFFIX = "_FILE"


class _Files(EnvSettingsSource):
    """Reads `AFFECT_NAME` from the file that `AFFECT_NAME_FILE` names."""

    def _load_env_vars(self) -> dict[str, str | None]:
        named = {
            name.removesuffix(_SUFFIX): Path(path)
            for name, path in os.environ.items()
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX) and path
        }
        return {name.lower(): path.read_text().strip() for name, path in named.items()}


class EnvSettings(BaseSettings):
    """Read from the environment, or from the files that it names. What is refused is not shown: it may be a key."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return named["init_settings"], named["env_settings"], _Files(settings_cls)
