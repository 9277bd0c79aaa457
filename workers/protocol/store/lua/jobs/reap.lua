-- include: include/jobs

local reaped = {}
local lapsed = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, {{MAX_REAPED}})
for _, member in ipairs(lapsed) do
  local id = job_of(member)
  if get(id, 'status') == 'running' then
    put_back(member, tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]))
    reaped[#reaped + 1] = {id, get(id, 'status')}
  else
    redis.call('ZREM', P .. 'leases', member)
  end
end
return reaped
