-- include: include/jobs

local id = ARGV[2]
local status = get(id, 'status')
if status == 'queued' then
  dequeue(id)
  finish(id, 'cancelled', tonumber(ARGV[3]), '')
elseif status == 'running' and parts_left(id) > 0 then
  finish(id, 'cancelled', tonumber(ARGV[3]), '')
  return 'queued'
elseif status == 'running' then
  set(id, 'cancel', '1')
end
return status
