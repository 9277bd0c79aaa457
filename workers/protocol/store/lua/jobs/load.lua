-- include: include/jobs

local found = {}
for _, queue in ipairs({{{QUEUES}}}) do
  local since = now
  for _, owner in ipairs(redis.call('LRANGE', ring(queue), 0, -1)) do
    local first = redis.call('ZRANGE', waiting(queue, owner), 0, 0)[1]
    if first then since = math.min(since, tonumber(get_of(first, 'queued_at') or now)) end
  end
  found[#found + 1] = {queue, queued(queue), tostring(now - since)}
end
return {found, redis.call('ZCARD', P .. 'leases')}
