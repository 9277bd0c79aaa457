-- Cancels a job: at once if it waits or was split, otherwise by a flag that its worker reads. Returns the status that
-- the job had ('queued' also if it was split), or false if there is no such job.
-- ARGV: prefix, id, seconds to keep an ended job
-- include: jobs
local id, ttl = ARGV[2], tonumber(ARGV[3])
local status = get_job(id, 'status')
if status == 'queued' then
  dequeue(id)
  finish_job(id, 'cancelled', ttl, '')
elseif status == 'running' and count_unfinished_parts(id) > 0 then
  finish_job(id, 'cancelled', ttl, '')
  return 'queued'
elseif status == 'running' then
  set_job(id, 'cancel', '1')
end
return status
