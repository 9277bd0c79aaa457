-- include: include/jobs

local id, token, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('HGET', parts(id), 'split') == token then return 1 end
if not holds(id, token) then return 0 end
if get(id, 'cancel') == '1' then return 2 end
redis.call('ZREM', P .. 'leases', id)
redis.call('HINCRBY', P .. 'job:' .. id, 'token', 1)
set(id, 'attempts', '0')
redis.call('HSET', parts(id), 'split', token, 'count', count, 'left', count)
for _, member in ipairs(every_part(id)) do
  part_set(member, 'token', '0')
  part_set(member, 'attempts', '0')
  part_set(member, 'progress', '0')
  requeue(member)
end
return 1
