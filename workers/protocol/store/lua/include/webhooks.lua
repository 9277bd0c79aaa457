-- include: prelude
-- Deliveries of webhooks. `outbox` holds those that wait for their time or are leased, by the time at which they are
-- due. Those that are due wait in a queue of their owner, and the owners take turns.
local TEST_TTL_SECONDS = 600       -- time to live of a test delivery
local MAX_MOVED_DELIVERIES = 1000  -- per call

local OUTBOX, OWNERS = PREFIX .. 'outbox', PREFIX .. 'outbox_owners'
local function delivery_key(id) return PREFIX .. 'delivery:' .. id end
local function attempts_key(id) return PREFIX .. 'attempts:' .. id end
local function due_key(owner) return PREFIX .. 'outbox:' .. owner end
local function sending_key(owner) return PREFIX .. 'sending:' .. owner end

-- Moves deliveries that are due to the queues of their owners. Those of deleted jobs and of expired tests are dropped.
local function move_due_deliveries()
  local due = redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', now, 'WITHSCORES', 'LIMIT', 0, MAX_MOVED_DELIVERIES)
  for index = 1, #due, 2 do
    local id, owner = due[index], redis.call('HGET', delivery_key(due[index]), 'owner')
    redis.call('ZREM', OUTBOX, id)
    if owner then
      redis.call('ZREM', sending_key(owner), id)
      redis.call('ZADD', due_key(owner), due[index + 1], id)
      if not redis.call('LPOS', OWNERS, owner) then redis.call('RPUSH', OWNERS, owner) end
    end
  end
end
