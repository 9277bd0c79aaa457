
local holder, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint'))
if holder ~= ARGV[1] then return 0 end
if ARGV[2] == 'undo' then return redis.call('DEL', KEYS[1]) end
if fingerprint then return 0 end
if ARGV[2] == 'give up' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
