"""Keys of the job store in Redis. All of them begin with `KEY_PREFIX`.

| Key | Type | Content |
|---|---|---|
| `layout` | string | version of this list (`KEY_LAYOUT`) |
| `job:<id>` | hash | record of a job |
| `jobs:<owner>` | sorted set | all jobs of an owner by their number |
| `seq:<owner>` | string | number of the owner's newest job |
| `ring:<queue>` | list | owners with waiting jobs in a queue, the one whose last claim is longest ago first |
| `waiting:<queue>:<owner>` | sorted set | waiting jobs of an owner by their number |
| `small:<queue>:<owner>` | sorted set | those of them that are small images |
| `work:<queue>` | hash | seconds of work of each owner, by which they take turns |
| `work_clock:<queue>` | string | highest seconds of work at which a job was claimed |
| `compute:<owner>:<hour>` | string | seconds of analysis of an owner in an hour (since 1970) |
| `leases` | sorted set | running jobs by the end of their lease |
| `parts:<id>` | hash | parts of a job, see below |
| `parts_waiting:<owner>` | string | number of the owner's waiting parts |
| `bytes:<owner>` | string | bytes of the owner's stored media |
| `expiry` | sorted set | ended jobs by the time until which they are kept |
| `expired:<id>` | string | owner of an expired job |
| `events:<id>` | stream | changes of a job |
| `erased`, `erasing` | string | exist while Redis's append-only file, or an event stream, mentions a deleted job |
| `lock:<id>` | string | exists while one request changes the ratings of a job |
| `upload:<id>` | string | exists while the media of a future job arrive |
| `pace` | string | moving average of the seconds that a job takes |
| `turn:<name>` | string | exists while a periodic task need not run again |
| `pledge:<digest>` | hash | idempotency key: `holder`, and once it has jobs `fingerprint`, `jobs` |
| `outbox` | sorted set | webhook deliveries by the time at which they are due, or at which their lease ends |
| `outbox:<owner>` | sorted set | those that are due and wait, by the same time |
| `outbox_owners` | list | owners of those, the next one first |
| `sending:<owner>` | sorted set | leased deliveries of an owner by the end of their lease |
| `delivery:<id>` | hash | owner, state and number of attempts of a delivery |
| `attempts:<id>` | list | results of these attempts |
| `workers`, `worker:<name>` | set, string | names and heartbeats of the workers |
| `live:waiting`, `live-of:<owner>` | list, sorted set | live streams that wait for a worker, and those of an owner |
| `live:<stream>:<part>` | string, streams | options (`about`), `frames`, `sound` and `answers` of a live stream |

The fields of `parts:<id>` are `split` (token of the claim that split the job), `count`, `left` (parts that are not
done), `joined_by` (token of the claim that joins them), and for each part `state:<number>` (waiting, running, done),
`token:<number>`, `attempts:<number>`, `progress:<number>`, `queued_at:<number>` and `charged_at:<number>` (time until
which its work was counted).

The gateway adds keys of its own: `rate:<owner>` and `ticket:<digest>`.

No key grows for ever. What names a job is deleted with it, apart from `expired:<id>` (a week), its `events` (an hour
after its end, seconds after its deletion) and the `pledge`, which have times of their own; so have tickets, rates,
locks, streams, heartbeats, uploads and tests of webhooks. Lists and sets of owners, jobs, streams and workers lose a
member when it ends. One `seq` for each caller and `layout` stay. Celery's lists of wake-ups have no prefix, and at most
`MAX_PENDING_WAKE_UPS` entries, or one for each waiting job. `tests/workers/protocol/store/test_growth.py` holds this.
"""

KEY_PREFIX = "affect:"
KEY_LAYOUT = b"2"
"""Version of the keys, stored in Redis under `layout`."""
IDEMPOTENCY_PREFIX = "pledge:"
