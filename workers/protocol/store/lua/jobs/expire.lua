-- include: include/jobs

local due = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', now, 'LIMIT', 0, {{MAX_EXPIRED}})
for _, id in ipairs(due) do
  local owner = forget(id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('DEL', P .. 'events:' .. id)
  if owner then redis.call('SET', P .. 'expired:' .. id, owner, 'EX', ARGV[2]) end
end
return due
