-- include: include/jobs

local member = ARGV[2]
if not holds(member, ARGV[3]) then return false end
put_back(member, tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]))
return get(job_of(member), 'status')
