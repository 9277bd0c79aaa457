-- Opens a live stream, unless its owner has as many as allowed. Returns 1 or 0.
-- KEYS: streams of the owner, options of the stream, messages of its worker, streams that wait for a worker.
-- ARGV: id, maximum streams of the owner, milliseconds to live, options
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
redis.call('XADD', KEYS[3], '1-0', 'opened', '')
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('RPUSH', KEYS[4], ARGV[1])
return 1
