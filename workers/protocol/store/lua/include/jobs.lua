-- include: prelude
-- include: parts
-- Jobs, their queues, leases, events and quotas.
local MAX_EVENTS = 100              -- approximate length of a job's event stream; a slow reader misses progress only
local ENDED_EVENTS_SECONDS = 3600   -- time to live of the events of a finished job, unless the job expires earlier
local PACE_WEIGHT = 0.1             -- weight of the newest job in the moving average of the seconds per job
local PACE_SECONDS = 86400          -- time to live of that average
local MIN_WORK_SECONDS = 0.125      -- seconds of work that each claim counts for at least
local WORK_TTL_SECONDS = 86400      -- time to live of the counts of work in a queue that no worker claims from
local HOUR = 3600
local QUEUES = {{QUEUES}}

local function get_job(id, field) return redis.call('HGET', job_key(id), field) end
local function set_job(id, ...) redis.call('HSET', job_key(id), ...) end
local function events_key(id) return PREFIX .. 'events:' .. id end

local function publish_event(id)
  local state = redis.call('HMGET', job_key(id), 'status', 'stage', 'progress')
  redis.call('XADD', events_key(id), 'MAXLEN', '~', MAX_EVENTS, '*',
    'status', state[1], 'stage', state[2] or '', 'progress', state[3])
end

-- A queue is a list of the owners with waiting jobs, and a sorted set of waiting jobs for each of them; another set has
-- those of them that are small. A claim takes the first job of the owner with the fewest seconds of work, of several
-- such owners the first in the list, and moves that owner to the end (start-time fair
-- queueing: Goyal, Vin, Cheng 1996).
local function owner_queue(queue) return PREFIX .. 'ring:' .. queue end
local function waiting_key(queue, owner) return PREFIX .. 'waiting:' .. queue .. ':' .. owner end
local function small_key(queue, owner) return PREFIX .. 'small:' .. queue .. ':' .. owner end

-- Seconds of work of the owners of a queue; and the highest count at which a job was claimed. An owner who comes back
-- begins at that, so that seconds in which it had no jobs are no credit.
local function work_key(queue) return PREFIX .. 'work:' .. queue end
local function work_clock_key(queue) return PREFIX .. 'work_clock:' .. queue end
local function get_work(queue, owner) return tonumber(redis.call('HGET', work_key(queue), owner) or '0') end

-- Seconds of analysis that an owner has used in this hour.
local function compute_key(owner) return PREFIX .. 'compute:' .. owner .. ':' .. math.floor(now / HOUR) end
local function get_compute(owner) return tonumber(redis.call('GET', compute_key(owner)) or '0') end

local function add_work(queue, owner, seconds)
  redis.call('HINCRBYFLOAT', work_key(queue), owner, string.format('%.6f', seconds))
  if queue ~= 'inference' then return end
  redis.call('INCRBYFLOAT', compute_key(owner), string.format('%.6f', seconds))
  redis.call('EXPIRE', compute_key(owner), HOUR)
end

local function start_lease(member, lease_seconds, charged_at)
  redis.call('ZADD', PREFIX .. 'leases', now + lease_seconds, member)
  set_member(member, 'charged_at', charged_at)
end

-- Counts the seconds since a claim, or since they were last counted, as work of its owner.
local function charge_work(member)
  local charged_at = tonumber(get_member(member, 'charged_at') or now)
  if now <= charged_at then return end
  set_member(member, 'charged_at', now)
  local queue, owner = unpack(redis.call('HMGET', job_key(job_of(member)), 'queue', 'owner'))
  add_work(queue, owner, now - charged_at)
end

local function end_lease(member)
  if redis.call('ZREM', PREFIX .. 'leases', member) == 1 then charge_work(member) end
end

local function enqueue(member)
  set_member(member, 'queued_at', now)
  local fields = redis.call('HMGET', job_key(job_of(member)), 'queue', 'owner', 'number', 'small')
  local queue, owner, number, small = unpack(fields)
  if redis.call('ZADD', waiting_key(queue, owner), number, member) == 1 then change_queued_parts(member, owner, 1) end
  if small == '1' and not part_of(member) then redis.call('ZADD', small_key(queue, owner), number, member) end
  if redis.call('LPOS', owner_queue(queue), owner) then return end
  redis.call('RPUSH', owner_queue(queue), owner)
  local clock = redis.call('GET', work_clock_key(queue))
  if clock and tonumber(clock) > get_work(queue, owner) then redis.call('HSET', work_key(queue), owner, clock) end
end

-- Removes a waiting job or part from its queue. Returns whether it was there.
local function dequeue(member)
  local queue, owner = unpack(redis.call('HMGET', job_key(job_of(member)), 'queue', 'owner'))
  if not owner then return false end
  local key = waiting_key(queue, owner)
  redis.call('ZREM', small_key(queue, owner), member)
  if redis.call('ZREM', key, member) == 0 then return false end
  change_queued_parts(member, owner, -1)
  if redis.call('ZCARD', key) == 0 then redis.call('LREM', owner_queue(queue), 0, owner) end
  return true
end

local function queue_length(queues)
  local count = 0
  for _, queue in ipairs(queues) do
    for _, owner in ipairs(redis.call('LRANGE', owner_queue(queue), 0, -1)) do
      count = count + redis.call('ZCARD', waiting_key(queue, owner))
    end
  end
  return count
end

local function delete_parts(id)
  for _, member in ipairs(part_members(id)) do
    dequeue(member)
    end_lease(member)
  end
  redis.call('DEL', parts_key(id))
end

-- The media of a job count towards the stored bytes of its owner until they are deleted.
local function charge_quota(id, owner, bytes)
  if bytes == 0 then return end
  set_job(id, 'bytes', bytes)
  redis.call('INCRBY', PREFIX .. 'bytes:' .. owner, bytes)
end

local function release_quota(id)
  local owner, bytes = unpack(redis.call('HMGET', job_key(id), 'owner', 'bytes'))
  if not bytes then return end
  redis.call('HDEL', job_key(id), 'bytes')
  local key = PREFIX .. 'bytes:' .. owner
  if redis.call('DECRBY', key, bytes) <= 0 then redis.call('DEL', key) end
end

local function finish_job(id, status, ttl, failure)
  delete_parts(id)
  if status ~= 'succeeded' or get_job(id, 'keeps') ~= '1' then release_quota(id) end
  set_job(id, 'status', status, 'finished_at', now, 'failure', failure)
  if status == 'succeeded' then set_job(id, 'progress', '1') end
  end_lease(id)
  redis.call('ZADD', PREFIX .. 'expiry', now + ttl, id)
  publish_event(id)
  redis.call('PEXPIRE', events_key(id), math.ceil(math.min(ttl, ENDED_EVENTS_SECONDS) * 1000))
  if get_job(id, 'webhook') == '1' then
    redis.call('HSET', PREFIX .. 'delivery:' .. id, 'owner', get_job(id, 'owner'), 'state', 'pending', 'attempts', '0')
    redis.call('ZADD', PREFIX .. 'outbox', now, id)
  end
end

-- Updates the moving average of the seconds that a job takes.
local function update_pace(id)
  local seconds, average = now - tonumber(get_job(id, 'started_at') or now), redis.call('GET', PREFIX .. 'pace')
  if average then seconds = average + (seconds - average) * PACE_WEIGHT end
  redis.call('SET', PREFIX .. 'pace', seconds, 'EX', PACE_SECONDS)
end

-- Returns the seconds until that many more jobs have ended, at the current pace; 0 if the pace is unknown.
local function estimate_seconds(jobs)
  local seconds = tonumber(redis.call('GET', PREFIX .. 'pace') or 0)
  return seconds * jobs / math.max(1, redis.call('ZCARD', PREFIX .. 'leases'))
end

-- Returns whether the job or part is still claimed with this token.
local function is_claimed(member, token)
  if get_job(job_of(member), 'status') ~= 'running' or get_member(member, 'token') ~= token then return false end
  return not part_of(member) or get_part(member, 'state') == 'running'
end

local function requeue(member)
  end_lease(member)
  if part_of(member) then
    set_part(member, 'state', 'waiting')
    enqueue(member)
    return
  end
  set_job(member, 'status', 'queued')
  if redis.call('EXISTS', parts_key(member)) == 0 then
    set_job(member, 'progress', '0')
    redis.call('HDEL', job_key(member), 'stage')
  end
  enqueue(member)
  publish_event(member)
end

-- Returns a running job or part to its queue; ends the job if it was cancelled or has no attempts left.
local function requeue_or_finish(member, max_attempts, failure, ttl)
  local id = job_of(member)
  if get_job(id, 'cancel') == '1' then
    finish_job(id, 'cancelled', ttl, '')
  elseif tonumber(get_member(member, 'attempts')) >= max_attempts then
    finish_job(id, 'failed', ttl, failure)
  else
    requeue(member)
  end
end

-- Deletes all keys of a job except its events. Returns its owner, or false if there is no such job.
local function erase_job(id)
  local owner = get_job(id, 'owner')
  if not owner then return false end
  delete_parts(id)
  dequeue(id)
  release_quota(id)
  redis.call('ZREM', PREFIX .. 'jobs:' .. owner, id)
  end_lease(id)
  redis.call('ZREM', PREFIX .. 'expiry', id)
  for _, key in ipairs({'outbox', 'outbox:' .. owner, 'sending:' .. owner}) do
    redis.call('ZREM', PREFIX .. key, id)
  end
  redis.call('DEL', job_key(id), PREFIX .. 'delivery:' .. id, PREFIX .. 'attempts:' .. id)
  return owner
end

-- Returns how many jobs of its queue are claimed before a queued job, if each claim counts for the minimum of work;
-- false if the job does not wait. The job is claimed once its owner has `rank` claims more. Another owner has by then
-- all claims that begin with less work; on equal work, the owner comes first whose last claim is longer ago.
local function queue_position(id)
  local queue, owner = unpack(redis.call('HMGET', job_key(id), 'queue', 'owner'))
  local rank = redis.call('ZRANK', waiting_key(queue, owner), id)
  if not rank then return false end
  local before, is_ahead, work = rank, true, get_work(queue, owner)
  for _, other in ipairs(redis.call('LRANGE', owner_queue(queue), 0, -1)) do
    if other == owner then
      is_ahead = false
    else
      local lead = (work - get_work(queue, other)) / MIN_WORK_SECONDS
      local claims = math.ceil(lead + rank)
      local is_first = lead < 0 or lead == 0 and is_ahead
      if claims == lead + rank and claims >= 0 and is_first then claims = claims + 1 end
      before = before + math.max(0, math.min(redis.call('ZCARD', waiting_key(queue, other)), claims))
    end
  end
  return before
end

-- Returns a record: id, fields, position in the queue, id of the last event that the fields include, and the estimated
-- seconds until the job is claimed.
local function record_reply(id)
  local fields = redis.call('HGETALL', job_key(id))
  if #fields == 0 then return false end
  local last = redis.call('XREVRANGE', events_key(id), '+', '-', 'COUNT', 1)
  local position = queue_position(id)
  local wait = position and estimate_seconds(position + 1) or 0
  return {id, fields, position, last[1] and last[1][1] or '0', tostring(wait)}
end

-- Returns which limit an owner would exceed with that many more jobs and bytes; nil if none. `own_compute` is followed
-- by the seconds until the next hour.
local function exceeded_limit(owner, jobs, bytes, max_queued, max_own_queued, max_own_bytes, max_own_compute)
  local own_queued = 0
  for _, queue in ipairs(QUEUES) do own_queued = own_queued + redis.call('ZCARD', waiting_key(queue, owner)) end
  own_queued = own_queued - count_queued_parts(owner)
  if max_own_compute > 0 and get_compute(owner) >= max_own_compute then
    return 'own_compute ' .. math.ceil(HOUR - now % HOUR)
  end
  if own_queued + jobs > max_own_queued then return 'own_jobs' end
  if tonumber(redis.call('GET', PREFIX .. 'bytes:' .. owner) or 0) + bytes > max_own_bytes then return 'own_bytes' end
  if queue_length(QUEUES) + jobs > max_queued then return 'jobs' end
end
