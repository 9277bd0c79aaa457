-- include: include/jobs
-- include: include/idempotency

local owner, ids, all, sizes, small, bytes = ARGV[2], {}, {}, {}, {}, 0
for index = 14, #ARGV, 3 do
  local id = ARGV[index]
  all[#all + 1] = id
  if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
    ids[#ids + 1], sizes[id], small[id] = id, tonumber(ARGV[index + 1]), ARGV[index + 2]
    bytes = bytes + sizes[id]
  end
end
local reason = bound(owner, #ids, bytes, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
if reason and #ids > 0 then return reason end
if not keep_pledge(ARGV[10], ARGV[11], ARGV[12], ARGV[13], all) then return 'pledge' end
for _, id in ipairs(ids) do
  local number = redis.call('INCR', P .. 'seq:' .. owner)
  set(id, 'owner', owner, 'number', number, 'queue', ARGV[7], 'status', 'queued', 'progress', '0', 'attempts', '0',
    'token', '0', 'tags', ARGV[6], 'webhook', ARGV[8], 'keeps', ARGV[9], 'pledge', ARGV[10], 'created_at', now,
    'small', small[id])
  store(id, owner, sizes[id])
  redis.call('ZADD', P .. 'jobs:' .. owner, number, id)
  enqueue(id)
  tell(id)
end
return false
