-- include: include/jobs

local key, last, status, tag, most = P .. 'jobs:' .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local found, scanned = {}, 0

local function fits(id)
  if status ~= '' and get(id, 'status') ~= status then return false end
  return tag == '' or string.find(get(id, 'tags') or '', tag, 1, true) ~= nil
end

while scanned < {{MAX_SCANNED}} and #found < most do
  local page = redis.call('ZREVRANGEBYSCORE', key, last == '' and '+inf' or '(' .. last, '-inf', 'WITHSCORES',
    'LIMIT', 0, 100)
  if #page == 0 then return {'', found} end
  for index = 1, #page, 2 do
    last, scanned = page[index + 1], scanned + 1
    if fits(page[index]) then found[#found + 1] = view(page[index]) end
    if #found == most then break end
  end
end
return {redis.call('ZCOUNT', key, '-inf', '(' .. last) > 0 and last or '', found}
