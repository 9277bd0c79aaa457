-- Claims the next jobs of a queue and returns the claims. Several are claimed only if all of them are small, so that no
-- job waits for a long one that was claimed with it.
-- ARGV: prefix, seconds of a lease, queue, maximum number of claims, whether to claim small jobs only (1 or 0), maximum
-- running jobs of one owner in this queue or 0, seconds of analysis of one owner in an hour or 0
-- include: jobs
local lease_seconds, queue, max_claims, small_only = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local max_running, max_compute = tonumber(ARGV[6]), tonumber(ARGV[7])
local claims, running = {}, {}

if max_running > 0 then
  for _, member in ipairs(redis.call('ZRANGE', PREFIX .. 'leases', 0, -1)) do
    local its_queue, owner = unpack(redis.call('HMGET', job_key(job_of(member)), 'queue', 'owner'))
    if its_queue == queue then running[owner] = (running[owner] or 0) + 1 end
  end
end

local function may_claim(owner)
  if max_running > 0 and (running[owner] or 0) >= max_running then return false end
  return queue ~= 'inference' or max_compute == 0 or get_compute(owner) < max_compute
end

-- Returns the next job or part, its owner and the owner's work.
local function next_member()
  local member, owner, work
  for _, other in ipairs(redis.call('LRANGE', owner_queue(queue), 0, -1)) do
    local others_work = get_work(queue, other)
    if (not work or others_work < work) and may_claim(other) then
      local key = small_only and small_key(queue, other) or waiting_key(queue, other)
      local first = redis.call('ZRANGE', key, 0, 0)[1]
      if first then member, owner, work = first, other, others_work end
    end
  end
  return member, owner, work
end

local function is_small(member) return not part_of(member) and get_job(member, 'small') == '1' end

while #claims < max_claims do
  local member, owner, work = next_member()
  if not member or #claims > 0 and not is_small(member) then break end
  redis.call('LREM', owner_queue(queue), 0, owner)
  redis.call('ZREM', small_key(queue, owner), member)
  local was_waiting = redis.call('ZREM', waiting_key(queue, owner), member) == 1
  if redis.call('ZCARD', waiting_key(queue, owner)) > 0 then redis.call('RPUSH', owner_queue(queue), owner) end
  local part = part_of(member)
  if was_waiting and part then change_queued_parts(member, owner, -1) end
  local state = part and get_part(member, 'state') or get_job(member, 'status')
  if was_waiting and state == (part and 'waiting' or 'queued') then
    local token, attempt = tonumber(get_member(member, 'token')) + 1, tonumber(get_member(member, 'attempts')) + 1
    set_member(member, 'token', token)
    set_member(member, 'attempts', attempt)
    start_lease(member, lease_seconds, now + MIN_WORK_SECONDS)
    add_work(queue, owner, MIN_WORK_SECONDS)
    local clock = math.max(work, tonumber(redis.call('GET', work_clock_key(queue)) or '0'))
    redis.call('SET', work_clock_key(queue), string.format('%.6f', clock), 'EX', WORK_TTL_SECONDS)
    redis.call('EXPIRE', work_key(queue), WORK_TTL_SECONDS)
    if part then
      set_part(member, 'state', 'running')
    else
      set_job(member, 'status', 'running')
      redis.call('HSETNX', job_key(member), 'started_at', now)
      publish_event(member)
    end
    running[owner] = (running[owner] or 0) + 1
    claims[#claims + 1] = claim_reply(member, token, attempt, now - (get_member(member, 'queued_at') or now))
    if not is_small(member) then break end
  end
end
return claims
