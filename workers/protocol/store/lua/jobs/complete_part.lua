-- include: include/jobs

local member, token = ARGV[2], ARGV[3]
local id = job_of(member)
if part_get(member, 'state') == 'done' and part_get(member, 'token') == token then
  if redis.call('HGET', parts(id), 'joined_by') ~= get(id, 'token') then return 1 end
  return claimed(id, tonumber(get(id, 'token')), tonumber(get(id, 'attempts')), 0)
end
if not holds(member, token) then return 0 end
part_set(member, 'state', 'done')
part_set(member, 'progress', '1')
set(id, 'progress', string.format('%.3f', math.max(parts_progress(id), tonumber(get(id, 'progress')))))
tell(id)
redis.call('ZREM', P .. 'leases', member)
if redis.call('HINCRBY', parts(id), 'left', -1) > 0 then return 1 end
local joining = redis.call('HINCRBY', P .. 'job:' .. id, 'token', 1)
local attempt = redis.call('HINCRBY', P .. 'job:' .. id, 'attempts', 1)
redis.call('HSET', parts(id), 'joined_by', joining)
redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[4]), id)
return claimed(id, joining, attempt, 0)
