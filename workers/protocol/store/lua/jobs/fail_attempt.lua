-- Returns a claimed job or part to its queue for another attempt; after the last attempt, ends the job with the
-- failure. Returns the status of the job then, or false if the claim is lost.
-- ARGV: prefix, job or part, token, maximum attempts, failure, seconds to keep an ended job
-- include: jobs
local member, token, max_attempts, failure, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
if not is_claimed(member, token) then return false end
requeue_or_finish(member, max_attempts, failure, ttl)
return get_job(job_of(member), 'status')
