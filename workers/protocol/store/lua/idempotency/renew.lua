-- Renews a reservation. Returns 0 if the key is not reserved by this holder.
-- KEYS: the key. ARGV: holder, milliseconds of the reservation
local holder, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint'))
if holder ~= ARGV[1] or fingerprint then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
