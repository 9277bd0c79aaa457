-- Renews the lease of a claim and stores stage and progress. Returns 1 if the caller asked to cancel the job, 0 if not,
-- -1 if the claim is lost.
-- ARGV: prefix, job or part, token, seconds of a lease, stage or '', progress
-- include: jobs
local member, token, lease_seconds, stage, progress = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local id = job_of(member)
if not is_claimed(member, token) then return -1 end
redis.call('ZADD', PREFIX .. 'leases', now + lease_seconds, member)
charge_work(member)
if part_of(member) then
  set_part(member, 'progress', ARGV[6])
  progress = progress_of_parts(id)
end
local shown = string.format('%.3f', math.max(progress, tonumber(get_job(id, 'progress'))))  -- progress never falls
if stage ~= '' and (get_job(id, 'stage') ~= stage or get_job(id, 'progress') ~= shown) then
  set_job(id, 'stage', stage, 'progress', shown)
  publish_event(id)
end
return tonumber(get_job(id, 'cancel') or '0')
