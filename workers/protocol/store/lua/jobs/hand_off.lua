-- include: include/jobs

local id, token, queue = ARGV[2], ARGV[3], ARGV[4]
if get(id, 'token') == token and get(id, 'status') == 'queued' and get(id, 'queue') == queue then return 1 end
if not holds(id, token) then return 0 end
if get(id, 'cancel') == '1' then return 2 end
set(id, 'queue', queue, 'attempts', '0', 'fetched', token)
requeue(id)
return 1
