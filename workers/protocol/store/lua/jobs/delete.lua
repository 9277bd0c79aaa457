-- Deletes a job. Returns whether it existed (1 or 0).
-- ARGV: prefix, id
-- include: jobs
-- include: idempotency
local id = ARGV[2]
mark_job_deleted(get_job(id, 'pledge'), id)
if not erase_job(id) then return 0 end
redis.call('XADD', events_key(id), '*', 'status', 'deleted', 'stage', '', 'progress', '0')
redis.call('EXPIRE', events_key(id), {{DELETED_EVENTS_SECONDS}})
redis.call('SET', PREFIX .. 'erased', 1)
redis.call('SET', PREFIX .. 'erasing', 1, 'EX', {{DELETED_EVENTS_SECONDS}} + 1)
return 1
