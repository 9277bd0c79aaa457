"""Lua for the parts of a long job.

A job that was split stays `running` while its parts wait, are claimed and end, each with token, lease and attempts of
its own. In queues and leases a part is the member `<id>#<number>`; `parts:<id>` (hash) holds `split` (the token of the
claim that split it), `count`, `left`, and of each part `state:<number>` (waiting, running, done), `token:`,
`attempts:`, `progress:`, `queued_at:`. `parts_waiting:<owner>` counts those of an owner that wait. Whoever ends the
last part holds the job again, to join them.
"""

from workers.protocol.store.scripts.common import COMMON

# id, token, how many parts
SPLIT = (
    COMMON
    + """
local id, token, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('HGET', parts(id), 'split') == token then return 1 end
if not holds(id, token) then return 0 end
if get(id, 'cancel') == '1' then return 2 end
redis.call('ZREM', P .. 'leases', id)
redis.call('HINCRBY', P .. 'job:' .. id, 'token', 1)
set(id, 'attempts', '0')
redis.call('HSET', parts(id), 'split', token, 'count', count, 'left', count)
for _, member in ipairs(every_part(id)) do
  part_set(member, 'token', '0')
  part_set(member, 'attempts', '0')
  part_set(member, 'progress', '0')
  requeue(member)
end
return 1
"""
)

# id and part, token, seconds of a lease
PART_DONE = (
    COMMON
    + """
local member, token = ARGV[2], ARGV[3]
local id = job_of(member)
if part_get(member, 'state') == 'done' and part_get(member, 'token') == token then
  if redis.call('HGET', parts(id), 'joined_by') ~= get(id, 'token') then return 1 end
  return claimed(id, tonumber(get(id, 'token')), tonumber(get(id, 'attempts')), 0)
end
if not holds(member, token) then return 0 end
part_set(member, 'state', 'done')
part_set(member, 'progress', '1')
set(id, 'progress', string.format('%.3f', math.max(parts_progress(id), tonumber(get(id, 'progress')))))
tell(id)
redis.call('ZREM', P .. 'leases', member)
if redis.call('HINCRBY', parts(id), 'left', -1) > 0 then return 1 end
local joining = redis.call('HINCRBY', P .. 'job:' .. id, 'token', 1)
local attempt = redis.call('HINCRBY', P .. 'job:' .. id, 'attempts', 1)
redis.call('HSET', parts(id), 'joined_by', joining)
redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[4]), id)
return claimed(id, joining, attempt, 0)
"""
)

ALL = {"split": SPLIT, "part_done": PART_DONE}
