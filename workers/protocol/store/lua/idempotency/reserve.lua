-- Reserves an idempotency key. Returns -1 if it is reserved now; the milliseconds until the reservation of another
-- request expires; or, if the key has jobs, the fingerprint of their request and their ids.
-- KEYS: the key. ARGV: holder, milliseconds of the reservation
local holder, fingerprint, jobs = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint', 'jobs'))
if fingerprint then return {fingerprint, jobs} end
if holder and holder ~= ARGV[1] then return redis.call('PTTL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return -1
