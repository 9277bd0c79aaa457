-- include: include/jobs

local numbers = {}
for index = 3, 7 do numbers[#numbers + 1] = tonumber(ARGV[index]) end
local most, most_own_jobs, most_own_bytes, jobs, bytes = unpack(numbers)
return bound(ARGV[2], jobs, bytes, most, most_own_jobs, most_own_bytes)
