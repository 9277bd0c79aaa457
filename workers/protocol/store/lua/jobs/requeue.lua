-- Returns a claimed job or part to its queue without counting the attempt. Returns 1, or 0 if the claim is lost.
-- ARGV: prefix, job or part, token, seconds to keep the job if it was cancelled
-- include: jobs
local member, token, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4])
if not is_claimed(member, token) then return 0 end
set_member(member, 'attempts', tonumber(get_member(member, 'attempts')) - 1)
requeue_or_finish(member, math.huge, '', ttl)
return 1
