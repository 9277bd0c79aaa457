-- Deletes ended jobs that are no longer kept. Returns their ids.
-- ARGV: prefix, seconds for which the owner of an expired job is remembered
-- include: jobs
local MAX_JOBS = 100  -- per call
local due = redis.call('ZRANGEBYSCORE', PREFIX .. 'expiry', '-inf', now, 'LIMIT', 0, MAX_JOBS)
for _, id in ipairs(due) do
  local owner = erase_job(id)
  redis.call('ZREM', PREFIX .. 'expiry', id)
  redis.call('DEL', events_key(id))
  if owner then redis.call('SET', PREFIX .. 'expired:' .. id, owner, 'EX', ARGV[2]) end
end
return due
