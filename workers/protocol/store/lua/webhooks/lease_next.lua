-- Leases the delivery that has been due for longest. Returns its id, owner, number of the attempt and whether it is a
-- test (1 or 0), or false if none is due.
-- ARGV: prefix, seconds of the lease
-- include: webhooks
while true do
  local id = redis.call('ZRANGEBYSCORE', PREFIX .. 'outbox', '-inf', now, 'LIMIT', 0, 1)[1]
  if not id then return false end
  local owner = redis.call('HGET', delivery_key(id), 'owner')
  if owner then
    redis.call('ZADD', PREFIX .. 'outbox', now + tonumber(ARGV[2]), id)
    local attempt = redis.call('HINCRBY', delivery_key(id), 'attempts', 1)
    return {id, owner, attempt, redis.call('HEXISTS', delivery_key(id), 'test')}
  end
  redis.call('ZREM', PREFIX .. 'outbox', id)
end
