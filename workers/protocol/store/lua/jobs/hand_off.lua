-- Moves a claimed job to another queue, where its attempts are counted from 0 again. Returns 1; 2 if the caller asked
-- to cancel it; 0 if the claim is lost.
-- ARGV: prefix, id, token, queue
-- include: jobs
local id, token, queue = ARGV[2], ARGV[3], ARGV[4]
local was_moved = get_job(id, 'token') == token and get_job(id, 'status') == 'queued' and get_job(id, 'queue') == queue
if was_moved then return 1 end
if not is_claimed(id, token) then return 0 end
if get_job(id, 'cancel') == '1' then return 2 end
end_lease(id)
set_job(id, 'queue', queue, 'attempts', '0', 'fetched', token)
requeue(id)
return 1
