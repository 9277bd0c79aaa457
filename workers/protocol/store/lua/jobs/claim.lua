-- Claims the next jobs of a queue and returns the claims. Several are claimed only if all of them are small, so that no
-- job waits for a long one that was claimed with it.
-- ARGV: prefix, seconds of a lease, queue, maximum number of claims, whether to claim small jobs only (1 or 0)
-- include: jobs
local lease_seconds, queue, max_claims, small_only = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local claims = {}

local function next_is_small()
  local owner = redis.call('LINDEX', owner_queue(queue), 0)
  local member = owner and redis.call('ZRANGE', waiting_key(queue, owner), 0, 0)[1]
  return member and not part_of(member) and get_job(member, 'small') == '1'
end

while (#claims == 0 and not small_only) or (#claims < max_claims and next_is_small()) do
  local owner = redis.call('LPOP', owner_queue(queue))
  if not owner then break end
  local member = redis.call('ZPOPMIN', waiting_key(queue, owner))[1]
  if redis.call('ZCARD', waiting_key(queue, owner)) > 0 then redis.call('RPUSH', owner_queue(queue), owner) end
  local part = member and part_of(member)
  if part then change_queued_parts(member, owner, -1) end
  local is_waiting = part and get_part(member, 'state') == 'waiting' or member and get_job(member, 'status') == 'queued'
  if is_waiting then
    local token, attempt = tonumber(get_member(member, 'token')) + 1, tonumber(get_member(member, 'attempts')) + 1
    set_member(member, 'token', token)
    set_member(member, 'attempts', attempt)
    redis.call('ZADD', PREFIX .. 'leases', now + lease_seconds, member)
    if part then
      set_part(member, 'state', 'running')
    else
      set_job(member, 'status', 'running')
      redis.call('HSETNX', job_key(member), 'started_at', now)
      publish_event(member)
    end
    claims[#claims + 1] = claim_reply(member, token, attempt, now - (get_member(member, 'queued_at') or now))
    if part or get_job(member, 'small') ~= '1' then break end
  end
end
return claims
