-- include: include/webhooks

redis.call('HSET', P .. 'delivery:' .. id, 'owner', ARGV[3], 'state', 'pending', 'attempts', '0', 'test', '1')
redis.call('EXPIRE', P .. 'delivery:' .. id, {{TEST_TTL_SECONDS}})
redis.call('ZADD', P .. 'outbox', now, id)
