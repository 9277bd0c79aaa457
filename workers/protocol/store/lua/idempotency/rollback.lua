-- Frees a key, even if it has jobs, which the caller has deleted. Returns 0 if the key belongs to another request.
-- KEYS: the key. ARGV: holder
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
