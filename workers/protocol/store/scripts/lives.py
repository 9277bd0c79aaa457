"""How jobs come to be and go, but for the work on them: by their owner's wish, or because their time is over."""

from workers.protocol.store.idempotency import LUA as PLEDGES
from workers.protocol.store.scripts.common import COMMON

DELETED_EVENTS_SECONDS = 10
"""For which somebody who reads a deleted job's events can still learn that it is gone."""
EXPIRED_AT_ONCE = 100

# owner, most that may wait, most of the owner's, most bytes of the owner's; what is wanted: jobs, bytes
ROOM = (
    COMMON
    + """
local numbers = {}
for index = 3, 7 do numbers[#numbers + 1] = tonumber(ARGV[index]) end
local most, most_own_jobs, most_own_bytes, jobs, bytes = unpack(numbers)
return bound(ARGV[2], jobs, bytes, most, most_own_jobs, most_own_bytes)
"""
)

# owner, most that may wait, most of the owner's, most bytes of the owner's; digests of tags, queue, whether somebody is
# to be told of the end, whether the media stay (1 or 0); pledge: digest, holder, fingerprint, seconds; id, bytes and
# whether it is small (1 or 0) of each…
CREATE = (
    COMMON
    + PLEDGES
    + """
local owner, ids, all, sizes, small, bytes = ARGV[2], {}, {}, {}, {}, 0
for index = 14, #ARGV, 3 do
  local id = ARGV[index]
  all[#all + 1] = id
  if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
    ids[#ids + 1], sizes[id], small[id] = id, tonumber(ARGV[index + 1]), ARGV[index + 2]
    bytes = bytes + sizes[id]
  end
end
local reason = bound(owner, #ids, bytes, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
if reason and #ids > 0 then return reason end
if not keep_pledge(ARGV[10], ARGV[11], ARGV[12], ARGV[13], all) then return 'pledge' end
for _, id in ipairs(ids) do
  local number = redis.call('INCR', P .. 'seq:' .. owner)
  set(id, 'owner', owner, 'number', number, 'queue', ARGV[7], 'status', 'queued', 'progress', '0', 'attempts', '0',
    'token', '0', 'tags', ARGV[6], 'webhook', ARGV[8], 'keeps', ARGV[9], 'pledge', ARGV[10], 'created_at', now,
    'small', small[id])
  store(id, owner, sizes[id])
  redis.call('ZADD', P .. 'jobs:' .. owner, number, id)
  enqueue(id)
  tell(id)
end
return false
"""
)

# id, seconds to keep
CANCEL = (
    COMMON
    + """
local id = ARGV[2]
local status = get(id, 'status')
if status == 'queued' then
  dequeue(id)
  finish(id, 'cancelled', tonumber(ARGV[3]), '')
elseif status == 'running' and parts_left(id) > 0 then
  finish(id, 'cancelled', tonumber(ARGV[3]), '')
  return 'queued'
elseif status == 'running' then
  set(id, 'cancel', '1')
end
return status
"""
)

# id
DELETE = (
    COMMON
    + PLEDGES
    + f"""
local id = ARGV[2]
leave_pledge(get(id, 'pledge'), id)
if not forget(id) then return 0 end
redis.call('XADD', P .. 'events:' .. id, '*', 'status', 'deleted', 'stage', '', 'progress', '0')
redis.call('EXPIRE', P .. 'events:' .. id, {DELETED_EVENTS_SECONDS})
redis.call('SET', P .. 'erased', 1)
redis.call('SET', P .. 'erasing', 1, 'EX', {DELETED_EVENTS_SECONDS + 1})
return 1
"""
)

# seconds for which an expired job is remembered
EXPIRE = (
    COMMON
    + f"""
local due = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', now, 'LIMIT', 0, {EXPIRED_AT_ONCE})
for _, id in ipairs(due) do
  local owner = forget(id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('DEL', P .. 'events:' .. id)
  if owner then redis.call('SET', P .. 'expired:' .. id, owner, 'EX', ARGV[2]) end
end
return due
"""
)

# id, of a job that has no queue yet
ADOPT = (
    COMMON
    + """
local id = ARGV[2]
local owner = get(id, 'owner')
if not owner or get(id, 'queue') then return end
set(id, 'queue', 'inference')
redis.call('ZREM', P .. 'waiting:' .. owner, id)
if get(id, 'status') == 'queued' then enqueue(id) end
"""
)

ALL = {"room": ROOM, "create": CREATE, "cancel": CANCEL, "delete": DELETE, "expire": EXPIRE, "adopt": ADOPT}
