
local P = ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

-- include: include/parts

local function get(id, field) return redis.call('HGET', P .. 'job:' .. id, field) end
local function set(id, ...) redis.call('HSET', P .. 'job:' .. id, ...) end

local function tell(id)
  local state = redis.call('HMGET', P .. 'job:' .. id, 'status', 'stage', 'progress')
  redis.call('XADD', P .. 'events:' .. id, 'MAXLEN', '~', {{MAX_EVENTS}}, '*',
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
  for _, queue in ipairs({...}) do
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
  redis.call('PEXPIRE', P .. 'events:' .. id, math.ceil(math.min(ttl, {{ENDED_EVENTS_SECONDS}}) * 1000))
  if get(id, 'webhook') == '1' then
    redis.call('HSET', P .. 'delivery:' .. id, 'owner', get(id, 'owner'), 'state', 'pending', 'attempts', '0')
    redis.call('ZADD', P .. 'outbox', now, id)
  end
end

-- Each finished job moves the average of the seconds that one takes.
local function measure(id)
  local seconds, before = now - tonumber(get(id, 'started_at') or now), redis.call('GET', P .. 'pace')
  if before then seconds = before + (seconds - before) * {{PACE_WEIGHT}} end
  redis.call('SET', P .. 'pace', seconds, 'EX', {{PACE_SECONDS}})
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
  return {id, fields, place, last[1] and last[1][1] or '0', tostring(place and pace(place + 1) or 0)}
end

-- What keeps an owner from so many jobs more, with so many bytes; null where nothing does.
local function bound(owner, jobs, bytes, most, most_own_jobs, most_own_bytes)
  local mine = 0
  for _, queue in ipairs({{{QUEUES}}}) do mine = mine + redis.call('ZCARD', waiting(queue, owner)) end
  mine = mine - parts_waiting(owner)
  if mine + jobs > most_own_jobs then return 'own_jobs' end
  if tonumber(redis.call('GET', P .. 'bytes:' .. owner) or 0) + bytes > most_own_bytes then return 'own_bytes' end
  if queued({{QUEUES}}) + jobs > most then return 'jobs' end
end
