-- Marks a part as done. Returns the claim of its job if this was the last part, for the worker to join the parts;
-- otherwise 1; 0 if the claim of the part is lost.
-- ARGV: prefix, part, token, seconds of a lease
-- include: jobs
local member, token, lease_seconds = ARGV[2], ARGV[3], tonumber(ARGV[4])
local id = job_of(member)
if get_part(member, 'state') == 'done' and get_part(member, 'token') == token then
  if redis.call('HGET', parts_key(id), 'joined_by') ~= get_job(id, 'token') then return 1 end
  return claim_reply(id, tonumber(get_job(id, 'token')), tonumber(get_job(id, 'attempts')), 0)
end
if not is_claimed(member, token) then return 0 end
set_part(member, 'state', 'done')
set_part(member, 'progress', '1')
set_job(id, 'progress', string.format('%.3f', math.max(progress_of_parts(id), tonumber(get_job(id, 'progress')))))
publish_event(id)
end_lease(member)
if redis.call('HINCRBY', parts_key(id), 'left', -1) > 0 then return 1 end
local job_token = redis.call('HINCRBY', job_key(id), 'token', 1)
local attempt = redis.call('HINCRBY', job_key(id), 'attempts', 1)
redis.call('HSET', parts_key(id), 'joined_by', job_token)
start_lease(id, lease_seconds, now)
return claim_reply(id, job_token, attempt, 0)
