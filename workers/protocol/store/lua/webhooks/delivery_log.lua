-- Returns the state of a delivery, when it is due (seconds since 1970, or ''), and the results of its attempts; false
-- if there is no such delivery.
-- ARGV: prefix, id
-- include: webhooks
local id = ARGV[2]
local state = redis.call('HGET', delivery_key(id), 'state')
if not state then return false end
local owner = redis.call('HGET', delivery_key(id), 'owner')
local due = redis.call('ZSCORE', OUTBOX, id) or redis.call('ZSCORE', due_key(owner), id) or ''
return {state, due, redis.call('LRANGE', attempts_key(id), 0, -1)}
