-- include: include/jobs

local member, progress = ARGV[2], tonumber(ARGV[6])
local id = job_of(member)
if not holds(member, ARGV[3]) then return -1 end
redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[4]), member)
if part_of(member) then
  part_set(member, 'progress', ARGV[6])
  progress = parts_progress(id)
end
local told = string.format('%.3f', math.max(progress, tonumber(get(id, 'progress'))))
if ARGV[5] ~= '' and (get(id, 'stage') ~= ARGV[5] or get(id, 'progress') ~= told) then
  set(id, 'stage', ARGV[5], 'progress', told)
  tell(id)
end
return tonumber(get(id, 'cancel') or '0')
