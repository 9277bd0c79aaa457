-- Records the result of an attempt. Returns 1, or 0 if another worker has leased the delivery or it was deleted.
-- ARGV: prefix, id, number of the attempt, new state of the delivery, seconds until the next attempt, result
-- include: webhooks
local id, number, state, retry_seconds, result = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local key = delivery_key(id)
if redis.call('HGET', key, 'attempts') ~= number or redis.call('HGET', key, 'state') ~= 'pending' then return 0 end
if redis.call('LINDEX', attempts_key(id), -1) == result then return 1 end
local owner = redis.call('HGET', key, 'owner')
redis.call('ZREM', sending_key(owner), id)
redis.call('ZREM', due_key(owner), id)
redis.call('HSET', key, 'state', state)
redis.call('RPUSH', attempts_key(id), result)
if redis.call('HEXISTS', key, 'test') == 1 then redis.call('EXPIRE', attempts_key(id), TEST_TTL_SECONDS) end
if state == 'pending' then
  redis.call('ZADD', OUTBOX, now + retry_seconds, id)
else
  redis.call('ZREM', OUTBOX, id)
end
return 1
