-- Ends a job; a part that fails ends its job. Returns 1, or 0 if the claim is lost.
-- ARGV: prefix, job or part, token, status, stage or '', failure or '', seconds to keep the ended job
-- include: jobs
local member, token, status, stage, failure, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local id, claim = job_of(member), member .. ' ' .. token
if get_job(id, 'ended_by') == claim and get_job(id, 'status') == status then return 1 end
if not is_claimed(member, token) then return 0 end
set_job(id, 'ended_by', claim)
if stage ~= '' then set_job(id, 'stage', stage) end
finish_job(id, status, ttl, failure)
update_pace(id)
return 1
