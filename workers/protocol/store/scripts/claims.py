"""Claims: a worker takes a job, holds it, and ends it or gives it back; what dead workers held is taken from them."""

from workers.protocol.store.scripts.common import COMMON

REAPED_AT_ONCE = 100

# seconds of a lease, queue, most that are claimed, 1 when only small ones are
# The first that waits; further ones only as long as they and it are small, so that none waits for a long one.
CLAIM = (
    COMMON
    + """
local queue, most, small, found = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1', {}

local function next_is_small()
  local owner = redis.call('LINDEX', ring(queue), 0)
  local member = owner and redis.call('ZRANGE', waiting(queue, owner), 0, 0)[1]
  return member and not part_of(member) and get(member, 'small') == '1'
end

while (#found == 0 and not small) or (#found < most and next_is_small()) do
  local owner = redis.call('LPOP', ring(queue))
  if not owner then break end
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
    found[#found + 1] = claimed(member, token, attempt, now - (get_of(member, 'queued_at') or now))
    if part or get(member, 'small') ~= '1' then break end
  end
end
return found
"""
)

# id (and part), token, seconds of a lease, stage, progress
RENEW = (
    COMMON
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
FINISH = (
    COMMON
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
PASS_ON = (
    COMMON
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
HAND_BACK = (
    COMMON
    + """
local member = ARGV[2]
if not holds(member, ARGV[3]) then return 0 end
set_of(member, 'attempts', tonumber(get_of(member, 'attempts')) - 1)
put_back(member, math.huge, '', tonumber(ARGV[4]))
return 1
"""
)

# id, token, most attempts, failure of a job that used them up, seconds to keep
RELEASE = (
    COMMON
    + """
local member = ARGV[2]
if not holds(member, ARGV[3]) then return false end
put_back(member, tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]))
return get(job_of(member), 'status')
"""
)

# most attempts, failure of a job that used them up, seconds to keep
REAP = (
    COMMON
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

ALL = {
    "claim": CLAIM,
    "renew": RENEW,
    "finish": FINISH,
    "pass_on": PASS_ON,
    "hand_back": HAND_BACK,
    "release": RELEASE,
    "reap": REAP,
}
