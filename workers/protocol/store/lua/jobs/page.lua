-- Returns a page of an owner's jobs, newest first: the number before which the next page begins or '', and the records.
-- ARGV: prefix, owner, number before which the page begins or '', status or '', digest of a tag or '', maximum records
-- include: jobs
local MAX_SCANNED = 10000  -- jobs that one page of a filtered list looks at
local key, last, status, tag, limit = PREFIX .. 'jobs:' .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local records, scanned = {}, 0

local function matches(id)
  if status ~= '' and get_job(id, 'status') ~= status then return false end
  return tag == '' or string.find(get_job(id, 'tags') or '', tag, 1, true) ~= nil
end

while scanned < MAX_SCANNED and #records < limit do
  local ids = redis.call('ZREVRANGEBYSCORE', key, last == '' and '+inf' or '(' .. last, '-inf', 'WITHSCORES',
    'LIMIT', 0, 100)
  if #ids == 0 then return {'', records} end
  for index = 1, #ids, 2 do
    last, scanned = ids[index + 1], scanned + 1
    if matches(ids[index]) then records[#records + 1] = record_reply(ids[index]) end
    if #records == limit then break end
  end
end
return {redis.call('ZCOUNT', key, '-inf', '(' .. last) > 0 and last or '', records}
