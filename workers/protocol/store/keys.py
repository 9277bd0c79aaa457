"""Keys of the job store in Redis. All of them begin with `KEY_PREFIX`.

| Key | Type | Content |
|---|---|---|
| `layout` | string | version of this list (`KEY_LAYOUT`) |
| `job:<id>` | hash | record of a job |
| `jobs:<owner>` | sorted set | all jobs of an owner by their number |
| `seq:<owner>` | string | number of the owner's newest job |
| `ring:<queue>` | list | owners with waiting jobs in a queue, the next one first |
| `waiting:<queue>:<owner>` | sorted set | waiting jobs of an owner by their number |
| `leases` | sorted set | running jobs by the end of their lease |
| `parts:<id>` | hash | parts of a job, see below |
| `parts_waiting:<owner>` | string | number of the owner's waiting parts |
| `bytes:<owner>` | string | bytes of the owner's stored media |
| `expiry` | sorted set | ended jobs by the time until which they are kept |
| `expired:<id>` | string | owner of an expired job |
| `events:<id>` | stream | changes of a job |
| `erased`, `erasing` | string | exist while Redis's append-only file, or an event stream, mentions a deleted job |
| `upload:<id>` | string | exists while the media of a future job arrive |
| `pace` | string | moving average of the seconds that a job takes |
| `turn:<name>` | string | exists while a periodic task need not run again |
| `pledge:<digest>` | hash | idempotency key: `holder`, and once it has jobs `fingerprint`, `jobs` |
| `outbox` | sorted set | webhook deliveries by the time at which they are due |
| `delivery:<id>` | hash | owner, state and number of attempts of a delivery |
| `attempts:<id>` | list | results of these attempts |
| `workers`, `worker:<name>` | set, string | names and heartbeats of the workers |
| `live:waiting`, `live-of:<owner>` | list, sorted set | live streams that wait for a worker, and those of an owner |
| `live:<stream>:<part>` | string, streams | options (`about`), `frames`, `sound` and `answers` of a live stream |

The fields of `parts:<id>` are `split` (token of the claim that split the job), `count`, `left` (parts that are not
done), `joined_by` (token of the claim that joins them), and for each part `state:<number>` (waiting, running, done),
`token:<number>`, `attempts:<number>`, `progress:<number>` and `queued_at:<number>`.

The gateway adds keys of its own: `rate:<owner>` and `ticket:<digest>`.
"""

KEY_PREFIX = "affect:"
KEY_LAYOUT = b"2"
"""Version of the keys, stored in Redis under `layout`."""
IDEMPOTENCY_PREFIX = "pledge:"
