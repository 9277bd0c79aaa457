-- include: include/jobs
-- include: include/idempotency

local id = ARGV[2]
leave_pledge(get(id, 'pledge'), id)
if not forget(id) then return 0 end
redis.call('XADD', P .. 'events:' .. id, '*', 'status', 'deleted', 'stage', '', 'progress', '0')
redis.call('EXPIRE', P .. 'events:' .. id, {{DELETED_EVENTS_SECONDS}})
redis.call('SET', P .. 'erased', 1)
redis.call('SET', P .. 'erasing', 1, 'EX', {{ERASING_SECONDS}})
return 1
