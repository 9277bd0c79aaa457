"""Lua scripts of the job store, in `lua/`. Each is one atomic step for every client of Redis.

A line `-- include: NAME` stands for the file `lua/include/NAME.lua`, and `{{NAME}}` for a constant below. A client may
run a script twice, because it repeats a call that got no reply. The second run of each changes nothing; only a claim
may be made twice, and the lease of the one that no worker received expires.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.commands.core import Script

from workers.protocol.records import WORKER_KINDS
from workers.protocol.store.keys import IDEMPOTENCY_PREFIX

DELETED_EVENTS_SECONDS = 10
"""Seconds for which readers of a deleted job's events can still learn that it was deleted."""

FOLDER = Path(__file__).parent / "lua"
_CONSTANTS = {
    "QUEUES": "{" + ", ".join(f"'{kind}'" for kind in WORKER_KINDS) + "}",
    "IDEMPOTENCY_PREFIX": IDEMPOTENCY_PREFIX,
    "DELETED_EVENTS_SECONDS": str(DELETED_EVENTS_SECONDS),
}
_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)
_CONSTANT = re.compile(r"{{([A-Z_]+)}}")


@cache
def load(name: str) -> str:
    """Return the text of `lua/NAME.lua` with its includes and constants, for example of `jobs/claim`."""
    text = (FOLDER / f"{name}.lua").read_text()
    text = _INCLUDE.sub(lambda match: load(f"include/{match[1]}"), text)
    return _CONSTANT.sub(lambda match: _CONSTANTS[match[1]], text)


class Scripts:
    """Scripts of one folder below `lua/`, sent to Redis at their first call. Safe to share between threads."""

    def __init__(self, redis: Redis, folder: str) -> None:
        self._scripts: dict[str, Script] = {
            path.stem: redis.register_script(load(f"{folder}/{path.stem}")) for path in (FOLDER / folder).glob("*.lua")
        }

    def run(self, name: str, *values: str | float, keys: tuple[str, ...] = ()) -> Any:
        """Run a script with `keys` as KEYS and `values` as ARGV. Raises RedisError."""
        return self._scripts[name](keys, values)
