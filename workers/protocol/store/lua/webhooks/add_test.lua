-- Adds a test delivery, which is due now.
-- ARGV: prefix, id, owner
-- include: webhooks
local id, owner = ARGV[2], ARGV[3]
redis.call('HSET', delivery_key(id), 'owner', owner, 'state', 'pending', 'attempts', '0', 'test', '1')
redis.call('EXPIRE', delivery_key(id), TEST_TTL_SECONDS)
redis.call('ZADD', OUTBOX, now, id)
