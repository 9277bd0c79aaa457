-- Splits a claimed job into parts, which wait in its queue. Returns 1; 2 if the caller asked to cancel it; 0 if the
-- claim is lost.
-- ARGV: prefix, id, token, number of parts
-- include: jobs
local id, token, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('HGET', parts_key(id), 'split') == token then return 1 end
if not is_claimed(id, token) then return 0 end
if get_job(id, 'cancel') == '1' then return 2 end
end_lease(id)
redis.call('HINCRBY', job_key(id), 'token', 1)
set_job(id, 'attempts', '0')
redis.call('HSET', parts_key(id), 'split', token, 'count', count, 'left', count)
for _, member in ipairs(part_members(id)) do
  set_part(member, 'token', '0')
  set_part(member, 'attempts', '0')
  set_part(member, 'progress', '0')
  requeue(member)
end
return 1
