-- Returns which limit the owner would exceed with more jobs; nil if none.
-- ARGV: prefix, owner, limits (waiting jobs of all owners, of this owner, stored bytes of this owner, its seconds of
-- analysis an hour or 0), new jobs, bytes
-- include: jobs
local numbers = {}
for index = 3, 8 do numbers[#numbers + 1] = tonumber(ARGV[index]) end
local max_queued, max_own_queued, max_own_bytes, max_own_compute, jobs, bytes = unpack(numbers)
return exceeded_limit(ARGV[2], jobs, bytes, max_queued, max_own_queued, max_own_bytes, max_own_compute)
