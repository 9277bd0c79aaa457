
local holder, fingerprint, jobs = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint', 'jobs'))
if fingerprint then return {fingerprint, jobs} end
if holder and holder ~= ARGV[1] then return redis.call('PTTL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return -1
