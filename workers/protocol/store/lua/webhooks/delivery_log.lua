-- include: include/webhooks

local state = redis.call('HGET', P .. 'delivery:' .. id, 'state')
if not state then return false end
local due = redis.call('ZSCORE', P .. 'outbox', id) or ''
return {state, due, redis.call('LRANGE', P .. 'attempts:' .. id, 0, -1)}
