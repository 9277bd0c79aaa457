-- Begins every script of the job store. ARGV[1] is the prefix of all keys. `now` is the time of Redis, in seconds, so
-- that the clocks of several hosts need not agree.
local PREFIX = ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
