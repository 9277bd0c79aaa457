"""The job store's changes as Lua scripts: each is one step for everybody who looks at Redis.

Keys, behind the prefix: `job:<id>` the record (hash); `waiting:<queue>:<owner>` the owner's jobs in a queue by number
(sorted set); `ring:<queue>` the owners with jobs there (list); `jobs:<owner>` all its jobs by number (sorted set);
`seq:<owner>` the last number given; `leases` the running jobs by the end of their lease; `expiry` the ended ones by the
end of their keeping; `events:<id>` the changes of a job (stream); `erased` there when Redis's file still tells of a
deleted job, `erasing` while its events do; `expired:<id>` whose an expired job was; `bytes:<owner>` what is stored of
its media; `pace` the seconds that a job is worked on, averaged; `layout` which version of all this it is; those
of `workers.protocol.store.webhook_queue` and `pledges`. Every time is Redis's own: the clocks of several hosts need not agree. A script
may run twice (a client repeats what it got no answer to), so the second run of each changes nothing, but for a claim:
one that nobody heard of lapses.
"""

from workers.protocol.store.scripts import claims, lives, parts, queries
from workers.protocol.store.scripts.lives import DELETED_EVENTS_SECONDS

__all__ = ["ALL", "DELETED_EVENTS_SECONDS"]

ALL = claims.ALL | lives.ALL | parts.ALL | queries.ALL
