
local function job_of(member) return string.match(member, '^[^#]+') end
local function part_of(member) return string.match(member, '#(.+)$') end
local function parts(id) return P .. 'parts:' .. id end
local function part_member(id, number) return id .. '#' .. string.format('%04d', number) end
local function part_get(member, field)
  return redis.call('HGET', parts(job_of(member)), field .. ':' .. part_of(member))
end
local function part_set(member, field, value)
  redis.call('HSET', parts(job_of(member)), field .. ':' .. part_of(member), value)
end

-- An owner's parts that wait are no jobs that wait.
local function parts_waiting(owner) return tonumber(redis.call('GET', P .. 'parts_waiting:' .. owner) or '0') end
local function count_part(member, owner, change)
  if not part_of(member) then return end
  if redis.call('INCRBY', P .. 'parts_waiting:' .. owner, change) <= 0 then
    redis.call('DEL', P .. 'parts_waiting:' .. owner)
  end
end

-- A field that jobs and parts have: of whichever the member is.
local function get_of(member, field)
  if part_of(member) then return part_get(member, field) end
  return redis.call('HGET', P .. 'job:' .. member, field)
end
local function set_of(member, field, value)
  if part_of(member) then return part_set(member, field, value) end
  redis.call('HSET', P .. 'job:' .. member, field, value)
end

local function every_part(id)
  local found = {}
  for number = 0, tonumber(redis.call('HGET', parts(id), 'count') or '0') - 1 do
    found[#found + 1] = part_member(id, number)
  end
  return found
end

local function parts_left(id) return tonumber(redis.call('HGET', parts(id), 'left') or '0') end

-- Of the whole job, from that of its parts.
local function parts_progress(id)
  local sum, members = 0, every_part(id)
  for _, member in ipairs(members) do sum = sum + tonumber(part_get(member, 'progress')) end
  return {{PARTS_PROGRESS_START}} + {{PARTS_PROGRESS_SHARE}} * sum / #members
end

-- What a claim is told: id, token, attempt, token of the fetch, seconds waited, part or '', token of the split, and of
-- a job whose parts are done their tokens.
local function claimed(member, token, attempt, waited)
  local id = job_of(member)
  local fetched = tonumber(redis.call('HGET', P .. 'job:' .. id, 'fetched') or '0')
  local split = tonumber(redis.call('HGET', parts(id), 'split') or '0')
  local found = {id, token, attempt, fetched, tostring(waited), part_of(member) or '', split}
  if not part_of(member) then
    for _, part in ipairs(every_part(id)) do found[#found + 1] = tonumber(part_get(part, 'token')) end
  end
  return found
end
