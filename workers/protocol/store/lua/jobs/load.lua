-- Returns for each queue its name, its length and the age of its oldest job (seconds); then the number of running jobs.
-- ARGV: prefix
-- include: jobs
local loads = {}
for _, queue in ipairs(QUEUES) do
  local oldest = now
  for _, owner in ipairs(redis.call('LRANGE', owner_queue(queue), 0, -1)) do
    local first = redis.call('ZRANGE', waiting_key(queue, owner), 0, 0)[1]
    if first then oldest = math.min(oldest, tonumber(get_member(first, 'queued_at') or now)) end
  end
  loads[#loads + 1] = {queue, queue_length({queue}), tostring(now - oldest)}
end
return {loads, redis.call('ZCARD', PREFIX .. 'leases')}
