-- Takes jobs and parts with an expired lease from their workers: each is queued again, or its job ends. Returns pairs
-- of job id and status.
-- ARGV: prefix, maximum attempts, failure of a job without attempts left, seconds to keep an ended job
-- include: jobs
local MAX_LEASES = 100  -- per call
local max_attempts, failure, ttl = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local reaped = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', PREFIX .. 'leases', '-inf', now, 'LIMIT', 0, MAX_LEASES)) do
  local id = job_of(member)
  if get_job(id, 'status') == 'running' then
    requeue_or_finish(member, max_attempts, failure, ttl)
    reaped[#reaped + 1] = {id, get_job(id, 'status')}
  else
    end_lease(member)
  end
end
return reaped
