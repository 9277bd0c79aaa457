-- include: include/webhooks

while true do
  local due = redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', now, 'LIMIT', 0, 1)
  id = due[1]
  if not id then return false end
  local owner = redis.call('HGET', P .. 'delivery:' .. id, 'owner')
  if owner then
    redis.call('ZADD', P .. 'outbox', now + tonumber(ARGV[3]), id)
    local attempt = redis.call('HINCRBY', P .. 'delivery:' .. id, 'attempts', 1)
    return {id, owner, attempt, redis.call('HEXISTS', P .. 'delivery:' .. id, 'test')}
  end
  redis.call('ZREM', P .. 'outbox', id)
end
