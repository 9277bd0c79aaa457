-- include: include/webhooks

local key = P .. 'delivery:' .. id
if redis.call('HGET', key, 'attempts') ~= ARGV[3] or redis.call('HGET', key, 'state') ~= 'pending' then return 0 end
if redis.call('LINDEX', P .. 'attempts:' .. id, -1) == ARGV[6] then return 1 end
redis.call('HSET', key, 'state', ARGV[4])
redis.call('RPUSH', P .. 'attempts:' .. id, ARGV[6])
if redis.call('HEXISTS', key, 'test') == 1 then redis.call('EXPIRE', P .. 'attempts:' .. id, {{TEST_TTL_SECONDS}}) end
if ARGV[4] == 'pending' then
  redis.call('ZADD', P .. 'outbox', now + tonumber(ARGV[5]), id)
else
  redis.call('ZREM', P .. 'outbox', id)
end
return 1
