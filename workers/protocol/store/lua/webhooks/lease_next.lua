-- Leases the delivery that has been due for longest, of the owner with the fewest that are being made. Returns its id,
-- owner, number of the attempt and whether it is a test (1 or 0), or false if no delivery is due.
-- ARGV: prefix, seconds of the lease, maximum deliveries of one owner that are made at once
-- include: webhooks
local lease_seconds, max_sending = tonumber(ARGV[2]), tonumber(ARGV[3])
move_due_deliveries()

local function next_owner()
  local next, fewest = nil, max_sending
  for _, owner in ipairs(redis.call('LRANGE', OWNERS, 0, -1)) do
    redis.call('ZREMRANGEBYSCORE', sending_key(owner), '-inf', now)
    local sending = redis.call('ZCARD', sending_key(owner))
    if sending < fewest then next, fewest = owner, sending end
  end
  return next
end

while true do
  local owner = next_owner()
  if not owner then return false end
  local id = redis.call('ZPOPMIN', due_key(owner))[1]
  redis.call('LREM', OWNERS, 0, owner)
  if redis.call('ZCARD', due_key(owner)) > 0 then redis.call('RPUSH', OWNERS, owner) end
  if id and redis.call('HGET', delivery_key(id), 'state') == 'pending' then
    redis.call('ZADD', OUTBOX, now + lease_seconds, id)
    redis.call('ZADD', sending_key(owner), now + lease_seconds, id)
    redis.call('PEXPIRE', sending_key(owner), math.ceil(lease_seconds * 1000))
    local attempt = redis.call('HINCRBY', delivery_key(id), 'attempts', 1)
    return {id, owner, attempt, redis.call('HEXISTS', delivery_key(id), 'test')}
  end
end
