-- include: prelude
-- Deliveries of webhooks.
local TEST_TTL_SECONDS = 600  -- time to live of a test delivery

local function delivery_key(id) return PREFIX .. 'delivery:' .. id end
local function attempts_key(id) return PREFIX .. 'attempts:' .. id end
