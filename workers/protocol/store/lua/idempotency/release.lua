-- Frees a reserved key, unless it has jobs. Returns 0 if nothing was done.
-- KEYS: the key. ARGV: holder
local holder, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint'))
if holder ~= ARGV[1] or fingerprint then return 0 end
return redis.call('DEL', KEYS[1])
