-- Returns how many deliveries are due.
-- ARGV: prefix
-- include: webhooks
local count = redis.call('ZCOUNT', OUTBOX, '-inf', now)
for _, owner in ipairs(redis.call('LRANGE', OWNERS, 0, -1)) do
  count = count + redis.call('ZCARD', due_key(owner))
end
return count
