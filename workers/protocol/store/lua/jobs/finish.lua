-- include: include/jobs

local id, status, claim = job_of(ARGV[2]), ARGV[4], ARGV[2] .. ' ' .. ARGV[3]
if get(id, 'ended_by') == claim and get(id, 'status') == status then return 1 end
if not holds(ARGV[2], ARGV[3]) then return 0 end
set(id, 'ended_by', claim)
if ARGV[5] ~= '' then set(id, 'stage', ARGV[5]) end
finish(id, status, tonumber(ARGV[7]), ARGV[6])
measure(id)
return 1
