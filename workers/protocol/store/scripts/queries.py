"""Questions: these change nothing."""

from workers.protocol.store.scripts.common import COMMON, QUEUES

SCANNED_AT_ONCE = 10_000
"""Most jobs that one page of a filtered listing looks through."""

# id
READ = COMMON + "return view(ARGV[2])"

# owner, number before which to begin or '', status or '', digest of a tag or '', most jobs
PAGE = (
    COMMON
    + f"""
local key, last, status, tag, most = P .. 'jobs:' .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local found, scanned = {{}}, 0

local function fits(id)
  if status ~= '' and get(id, 'status') ~= status then return false end
  return tag == '' or string.find(get(id, 'tags') or '', tag, 1, true) ~= nil
end

while scanned < {SCANNED_AT_ONCE} and #found < most do
  local page = redis.call('ZREVRANGEBYSCORE', key, last == '' and '+inf' or '(' .. last, '-inf', 'WITHSCORES',
    'LIMIT', 0, 100)
  if #page == 0 then return {{'', found}} end
  for index = 1, #page, 2 do
    last, scanned = page[index + 1], scanned + 1
    if fits(page[index]) then found[#found + 1] = view(page[index]) end
    if #found == most then break end
  end
end
return {{redis.call('ZCOUNT', key, '-inf', '(' .. last) > 0 and last or '', found}}
"""
)

# queues…
# Of each queue: jobs that wait, and seconds for which the oldest has; then how many are worked on.
LOAD = (
    COMMON
    + f"""
local found = {{}}
for _, queue in ipairs({{{QUEUES}}}) do
  local since = now
  for _, owner in ipairs(redis.call('LRANGE', ring(queue), 0, -1)) do
    local first = redis.call('ZRANGE', waiting(queue, owner), 0, 0)[1]
    if first then since = math.min(since, tonumber(get_of(first, 'queued_at') or now)) end
  end
  found[#found + 1] = {{queue, queued(queue), tostring(now - since)}}
end
return {{found, redis.call('ZCARD', P .. 'leases')}}
"""
)

# jobs
PACE = COMMON + "return tostring(pace(tonumber(ARGV[2])))"

# queues…
QUEUED = COMMON + "return queued(unpack(ARGV, 2))"

ALL = {"read": READ, "page": PAGE, "load": LOAD, "pace": PACE, "queued": QUEUED}
