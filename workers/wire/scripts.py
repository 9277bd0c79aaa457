"""The ledger's changes as Lua scripts: each is one step for everybody who looks at Redis.

Keys, behind the prefix: `job:<id>` the record (hash); `waiting:<queue>:<owner>` the owner's jobs in a queue by number
(sorted set); `ring:<queue>` the owners with jobs there (list); `jobs:<owner>` all its jobs by number (sorted set);
`seq:<owner>` the last number given; `leases` the running jobs by the end of their lease; `expiry` the ended ones by the
end of their keeping; `events:<id>` the changes of a job (stream); `erased` there when Redis's file still tells of a
deleted job, `erasing` while its events do; `expired:<id>` whose an expired job was; `bytes:<owner>` what is stored of
its media; `pace` the seconds that a job is worked on, averaged; those of `workers.wire.outbox` and `pledges`. Every
time is Redis's own: the clocks of several hosts need not agree. A script may run twice (a client repeats what it got no
answer to), so the second run of each changes nothing, but for a claim: one that nobody heard of lapses.
"""

from workers.wire import part_scripts
from workers.wire.contract import KINDS
from workers.wire.pledges import LUA as PLEDGES

EVENTS_KEPT = 100
"""Of a job, about: who reads more slowly misses steps of the progress, never the last state."""
ENDED_EVENTS_SECONDS = 3600
"""For which the events of an ended job stay; at most as long as the job."""
DELETED_EVENTS_SECONDS = 10
"""For which somebody who reads a deleted job's events can still learn that it is gone."""
REAPED_AT_ONCE = 100
PACE_WEIGHT = 0.1
"""Of the newest job in the running average of the seconds that jobs take."""
PACE_SECONDS = 86400
"""For which that average is remembered."""
SCANNED_AT_ONCE = 10_000
"""Most jobs that one page of a filtered listing looks through."""

_QUEUES = ", ".join(f"'{kind}'" for kind in KINDS)
_COMMON = f"""
local P = ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

{part_scripts.HELPERS}
local function get(id, field) return redis.call('HGET', P .. 'job:' .. id, field) end
local function set(id, ...) redis.call('HSET', P .. 'job:' .. id, ...) end

local function tell(id)
  local state = redis.call('HMGET', P .. 'job:' .. id, 'status', 'stage', 'progress')
  redis.call('XADD', P .. 'events:' .. id, 'MAXLEN', '~', {EVENTS_KEPT}, '*',
    'status', state[1], 'stage', state[2] or '', 'progress', state[3])
end

local function ring(queue) return P .. 'ring:' .. queue end
local function waiting(queue, owner) return P .. 'waiting:' .. queue .. ':' .. owner end

local function enqueue(member)
  set_of(member, 'queued_at', now)
  local job = P .. 'job:' .. job_of(member)
  local queue, owner, number = unpack(redis.call('HMGET', job, 'queue', 'owner', 'number'))
  if redis.call('ZADD', waiting(queue, owner), number, member) == 1 then count_part(member, owner, 1) end
  if not redis.call('LPOS', ring(queue), owner) then redis.call('RPUSH', ring(queue), owner) end
end

local function dequeue(member)
  local queue, owner = unpack(redis.call('HMGET', P .. 'job:' .. job_of(member), 'queue', 'owner'))
  local list = waiting(queue, owner)
  if redis.call('ZREM', list, member) == 0 then return end
  count_part(member, owner, -1)
  if redis.call('ZCARD', list) == 0 then redis.call('LREM', ring(queue), 0, owner) end
end

local function queued(...)
  local count = 0
  for _, queue in ipairs({{...}}) do
    for _, owner in ipairs(redis.call('LRANGE', ring(queue), 0, -1)) do
      count = count + redis.call('ZCARD', waiting(queue, owner))
    end
  end
  return count
end

local function drop_parts(id)
  for _, member in ipairs(every_part(id)) do
    dequeue(member)
    redis.call('ZREM', P .. 'leases', member)
  end
  redis.call('DEL', parts(id))
end

-- The media of a job count among the owner's stored bytes until they go.
local function store(id, owner, bytes)
  if bytes == 0 then return end
  set(id, 'bytes', bytes)
  redis.call('INCRBY', P .. 'bytes:' .. owner, bytes)
end

local function unstore(id)
  local owner, bytes = unpack(redis.call('HMGET', P .. 'job:' .. id, 'owner', 'bytes'))
  if not bytes then return end
  redis.call('HDEL', P .. 'job:' .. id, 'bytes')
  local key = P .. 'bytes:' .. owner
  if redis.call('DECRBY', key, bytes) <= 0 then redis.call('DEL', key) end
end

local function finish(id, status, ttl, failure)
  drop_parts(id)
  if status ~= 'succeeded' or get(id, 'keeps') ~= '1' then unstore(id) end
  set(id, 'status', status, 'finished_at', now, 'failure', failure)
  if status == 'succeeded' then set(id, 'progress', '1') end
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZADD', P .. 'expiry', now + ttl, id)
  tell(id)
  redis.call('PEXPIRE', P .. 'events:' .. id, math.ceil(math.min(ttl, {ENDED_EVENTS_SECONDS}) * 1000))
  if get(id, 'webhook') == '1' then
    redis.call('HSET', P .. 'delivery:' .. id, 'owner', get(id, 'owner'), 'state', 'pending', 'attempts', '0')
    redis.call('ZADD', P .. 'outbox', now, id)
  end
end

-- Each finished job moves the average of the seconds that one takes.
local function measure(id)
  local seconds, before = now - tonumber(get(id, 'started_at') or now), redis.call('GET', P .. 'pace')
  if before then seconds = before + (seconds - before) * {PACE_WEIGHT} end
  redis.call('SET', P .. 'pace', seconds, 'EX', {PACE_SECONDS})
end

-- Seconds until so many jobs more have ended, as they do now; 0 where that is not known.
local function pace(jobs)
  local seconds = tonumber(redis.call('GET', P .. 'pace') or 0)
  return seconds * jobs / math.max(1, redis.call('ZCARD', P .. 'leases'))
end

-- Of a job or of one of its parts.
local function holds(member, token)
  if get(job_of(member), 'status') ~= 'running' or get_of(member, 'token') ~= token then return false end
  return not part_of(member) or part_get(member, 'state') == 'running'
end

local function requeue(member)
  redis.call('ZREM', P .. 'leases', member)
  if part_of(member) then
    part_set(member, 'state', 'waiting')
    enqueue(member)
    return
  end
  set(member, 'status', 'queued')
  if redis.call('EXISTS', parts(member)) == 0 then
    set(member, 'progress', '0')
    redis.call('HDEL', P .. 'job:' .. member, 'stage')
  end
  enqueue(member)
  tell(member)
end

-- Puts a running job or part back in its place, or ends the job where it was cancelled or its attempts are used up.
local function put_back(member, most_attempts, lost, ttl)
  local id = job_of(member)
  if get(id, 'cancel') == '1' then
    finish(id, 'cancelled', ttl, '')
  elseif tonumber(get_of(member, 'attempts')) >= most_attempts then
    finish(id, 'failed', ttl, lost)
  else
    requeue(member)
  end
end

-- Leaves nothing of a job; its owner, if there was one.
local function forget(id)
  local owner = get(id, 'owner')
  if not owner then return false end
  drop_parts(id)
  dequeue(id)
  unstore(id)
  redis.call('ZREM', P .. 'jobs:' .. owner, id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('ZREM', P .. 'outbox', id)
  redis.call('DEL', P .. 'job:' .. id, P .. 'delivery:' .. id, P .. 'attempts:' .. id)
  return owner
end

-- How many jobs of its queue are claimed before a queued one: each owner's turn comes in the order of the ring.
local function position(id)
  local queue, owner = unpack(redis.call('HMGET', P .. 'job:' .. id, 'queue', 'owner'))
  local rank = redis.call('ZRANK', waiting(queue, owner), id)
  if not rank then return false end
  local before, turns = rank, rank + 1
  for _, other in ipairs(redis.call('LRANGE', ring(queue), 0, -1)) do
    if other == owner then
      turns = rank
    else
      before = before + math.min(redis.call('ZCARD', waiting(queue, other)), turns)
    end
  end
  return before
end

-- Id, fields, place in the queue, the last event that the fields know of, and the seconds until it is claimed.
local function view(id)
  local fields = redis.call('HGETALL', P .. 'job:' .. id)
  if #fields == 0 then return false end
  local last = redis.call('XREVRANGE', P .. 'events:' .. id, '+', '-', 'COUNT', 1)
  local place = position(id)
  return {{id, fields, place, last[1] and last[1][1] or '0', tostring(place and pace(place + 1) or 0)}}
end

-- What keeps an owner from so many jobs more, with so many bytes; null where nothing does.
local function bound(owner, jobs, bytes, most, most_own_jobs, most_own_bytes)
  local mine = 0
  for _, queue in ipairs({{{_QUEUES}}}) do mine = mine + redis.call('ZCARD', waiting(queue, owner)) end
  mine = mine - parts_waiting(owner)
  if mine + jobs > most_own_jobs then return 'own_jobs' end
  if tonumber(redis.call('GET', P .. 'bytes:' .. owner) or 0) + bytes > most_own_bytes then return 'own_bytes' end
  if queued({_QUEUES}) + jobs > most then return 'jobs' end
end
"""

# owner, most that may wait, most of the owner's, most bytes of the owner's; what is wanted: jobs, bytes
_ROOM = (
    _COMMON
    + """
local numbers = {}
for index = 3, 7 do numbers[#numbers + 1] = tonumber(ARGV[index]) end
local most, most_own_jobs, most_own_bytes, jobs, bytes = unpack(numbers)
return bound(ARGV[2], jobs, bytes, most, most_own_jobs, most_own_bytes)
"""
)

# owner, most that may wait, most of the owner's, most bytes of the owner's; digests of tags, queue, whether somebody is
# to be told of the end, whether the media stay (1 or 0); pledge: digest, holder, fingerprint, seconds; ids and bytes…
_CREATE = (
    _COMMON
    + PLEDGES
    + """
local owner, ids, all, sizes, bytes = ARGV[2], {}, {}, {}, 0
for index = 14, #ARGV, 2 do
  local id = ARGV[index]
  all[#all + 1] = id
  if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
    ids[#ids + 1], sizes[id] = id, tonumber(ARGV[index + 1])
    bytes = bytes + sizes[id]
  end
end
local reason = bound(owner, #ids, bytes, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
if reason and #ids > 0 then return reason end
if not keep_pledge(ARGV[10], ARGV[11], ARGV[12], ARGV[13], all) then return 'pledge' end
for _, id in ipairs(ids) do
  local number = redis.call('INCR', P .. 'seq:' .. owner)
  set(id, 'owner', owner, 'number', number, 'queue', ARGV[7], 'status', 'queued', 'progress', '0', 'attempts', '0',
    'token', '0', 'tags', ARGV[6], 'webhook', ARGV[8], 'keeps', ARGV[9], 'pledge', ARGV[10], 'created_at', now)
  store(id, owner, sizes[id])
  redis.call('ZADD', P .. 'jobs:' .. owner, number, id)
  enqueue(id)
  tell(id)
end
return false
"""
)

# seconds of a lease, queue
_CLAIM = (
    _COMMON
    + """
local queue = ARGV[3]
while true do
  local owner = redis.call('LPOP', ring(queue))
  if not owner then return false end
  local member = redis.call('ZPOPMIN', waiting(queue, owner))[1]
  if redis.call('ZCARD', waiting(queue, owner)) > 0 then redis.call('RPUSH', ring(queue), owner) end
  local part = member and part_of(member)
  if part then count_part(member, owner, -1) end
  local waits = part and part_get(member, 'state') == 'waiting' or member and get(member, 'status') == 'queued'
  if waits then
    local token, attempt = tonumber(get_of(member, 'token')) + 1, tonumber(get_of(member, 'attempts')) + 1
    set_of(member, 'token', token)
    set_of(member, 'attempts', attempt)
    redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[2]), member)
    if part then
      part_set(member, 'state', 'running')
    else
      set(member, 'status', 'running')
      redis.call('HSETNX', P .. 'job:' .. member, 'started_at', now)
      tell(member)
    end
    return claimed(member, token, attempt, now - (get_of(member, 'queued_at') or now))
  end
end
"""
)

# id (and part), token, seconds of a lease, stage, progress
_RENEW = (
    _COMMON
    + """
local member, progress = ARGV[2], tonumber(ARGV[6])
local id = job_of(member)
if not holds(member, ARGV[3]) then return -1 end
redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[4]), member)
if part_of(member) then
  part_set(member, 'progress', ARGV[6])
  progress = parts_progress(id)
end
local told = string.format('%.3f', math.max(progress, tonumber(get(id, 'progress'))))
if ARGV[5] ~= '' and (get(id, 'stage') ~= ARGV[5] or get(id, 'progress') ~= told) then
  set(id, 'stage', ARGV[5], 'progress', told)
  tell(id)
end
return tonumber(get(id, 'cancel') or '0')
"""
)

# id (and part, whose failure is that of the job), token, status, stage, failure, seconds to keep
_FINISH = (
    _COMMON
    + """
local id, status, claim = job_of(ARGV[2]), ARGV[4], ARGV[2] .. ' ' .. ARGV[3]
if get(id, 'ended_by') == claim and get(id, 'status') == status then return 1 end
if not holds(ARGV[2], ARGV[3]) then return 0 end
set(id, 'ended_by', claim)
if ARGV[5] ~= '' then set(id, 'stage', ARGV[5]) end
finish(id, status, tonumber(ARGV[7]), ARGV[6])
measure(id)
return 1
"""
)

# id, token, the queue where it goes on
_PASS_ON = (
    _COMMON
    + """
local id, token, queue = ARGV[2], ARGV[3], ARGV[4]
if get(id, 'token') == token and get(id, 'status') == 'queued' and get(id, 'queue') == queue then return 1 end
if not holds(id, token) then return 0 end
if get(id, 'cancel') == '1' then return 2 end
set(id, 'queue', queue, 'attempts', '0', 'fetched', token)
requeue(id)
return 1
"""
)

# id (and part), token, seconds to keep
_HAND_BACK = (
    _COMMON
    + """
local member = ARGV[2]
if not holds(member, ARGV[3]) then return 0 end
set_of(member, 'attempts', tonumber(get_of(member, 'attempts')) - 1)
put_back(member, math.huge, '', tonumber(ARGV[4]))
return 1
"""
)

# id, token, most attempts, failure of a job that used them up, seconds to keep
_RELEASE = (
    _COMMON
    + """
local member = ARGV[2]
if not holds(member, ARGV[3]) then return false end
put_back(member, tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]))
return get(job_of(member), 'status')
"""
)

# most attempts, failure of a job that used them up, seconds to keep
_REAP = (
    _COMMON
    + f"""
local reaped = {{}}
local lapsed = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, {REAPED_AT_ONCE})
for _, member in ipairs(lapsed) do
  local id = job_of(member)
  if get(id, 'status') == 'running' then
    put_back(member, tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]))
    reaped[#reaped + 1] = {{id, get(id, 'status')}}
  else
    redis.call('ZREM', P .. 'leases', member)
  end
end
return reaped
"""
)

# id, seconds to keep
_CANCEL = (
    _COMMON
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
_DELETE = (
    _COMMON
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
_EXPIRE = (
    _COMMON
    + f"""
local due = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', now, 'LIMIT', 0, {REAPED_AT_ONCE})
for _, id in ipairs(due) do
  local owner = forget(id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('DEL', P .. 'events:' .. id)
  if owner then redis.call('SET', P .. 'expired:' .. id, owner, 'EX', ARGV[2]) end
end
return due
"""
)

# id
_READ = _COMMON + "return view(ARGV[2])"

# owner, number before which to begin or '', status or '', digest of a tag or '', most jobs
_PAGE = (
    _COMMON
    + f"""
local key, last, status, tag, most = P .. 'jobs:' .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local found, scanned = {{}}, 0

local function fits(id)
  if status ~= '' and get(id, 'status') ~= status then return false end
  return tag == '' or string.find(get(id, 'tags') or '', tag, 1, true) ~= nil
end

while scanned < {SCANNED_AT_ONCE} and #found < most do
  local page = redis.call('ZREVRANGEBYSCORE', key, last == '' and '+inf' or '(' .. last, '-inf', 'WITHSCORES',
    'LIMIT', 0, 100)
  if #page == 0 then return {{'', found}} end
  for index = 1, #page, 2 do
    last, scanned = page[index + 1], scanned + 1
    if fits(page[index]) then found[#found + 1] = view(page[index]) end
    if #found == most then break end
  end
end
return {{redis.call('ZCOUNT', key, '-inf', '(' .. last) > 0 and last or '', found}}
"""
)

# queues…
# Of each queue: jobs that wait, and seconds for which the oldest has; then how many are worked on.
_LOAD = (
    _COMMON
    + f"""
local found = {{}}
for _, queue in ipairs({{{_QUEUES}}}) do
  local since = now
  for _, owner in ipairs(redis.call('LRANGE', ring(queue), 0, -1)) do
    local first = redis.call('ZRANGE', waiting(queue, owner), 0, 0)[1]
    if first then since = math.min(since, tonumber(get_of(first, 'queued_at') or now)) end
  end
  found[#found + 1] = {{queue, queued(queue), tostring(now - since)}}
end
return {{found, redis.call('ZCARD', P .. 'leases')}}
"""
)

# jobs
_PACE = _COMMON + "return tostring(pace(tonumber(ARGV[2])))"

# queues…
_QUEUED = _COMMON + "return queued(unpack(ARGV, 2))"


ALL = {
    "split": _COMMON + part_scripts.SPLIT,
    "part_done": _COMMON + part_scripts.PART_DONE,
    "room": _ROOM,
    "create": _CREATE,
    "claim": _CLAIM,
    "renew": _RENEW,
    "finish": _FINISH,
    "pass_on": _PASS_ON,
    "hand_back": _HAND_BACK,
    "release": _RELEASE,
    "reap": _REAP,
    "cancel": _CANCEL,
    "delete": _DELETE,
    "expire": _EXPIRE,
    "read": _READ,
    "page": _PAGE,
    "pace": _PACE,
    "queued": _QUEUED,
    "load": _LOAD,
}
