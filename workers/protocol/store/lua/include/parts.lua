-- Parts of long jobs.
--
-- A job that was split stays `running` while its parts wait, are claimed and are completed, each with a token, a lease
-- and attempts of its own. A member of a queue or of the leases is a job (`<id>`) or one of its parts
-- (`<id>#<number>`). The worker that completes the last part receives a claim of the job itself, to join the parts.
local PARTS_PROGRESS_START, PARTS_PROGRESS_END = 0.08, 0.95  -- progress of the job when its parts begin and end

local function job_key(id) return PREFIX .. 'job:' .. id end
local function parts_key(id) return PREFIX .. 'parts:' .. id end

local function job_of(member) return string.match(member, '^[^#]+') end
local function part_of(member) return string.match(member, '#(.+)$') end
local function part_member(id, number) return id .. '#' .. string.format('%04d', number) end

local function get_part(member, field)
  return redis.call('HGET', parts_key(job_of(member)), field .. ':' .. part_of(member))
end
local function set_part(member, field, value)
  redis.call('HSET', parts_key(job_of(member)), field .. ':' .. part_of(member), value)
end

-- Fields that jobs and parts have in common.
local function get_member(member, field)
  if part_of(member) then return get_part(member, field) end
  return redis.call('HGET', job_key(member), field)
end
local function set_member(member, field, value)
  if part_of(member) then return set_part(member, field, value) end
  redis.call('HSET', job_key(member), field, value)
end

-- Parts that wait are counted per owner, because they do not count as jobs that wait.
local function queued_parts_key(owner) return PREFIX .. 'parts_waiting:' .. owner end
local function count_queued_parts(owner) return tonumber(redis.call('GET', queued_parts_key(owner)) or '0') end
local function change_queued_parts(member, owner, change)
  if not part_of(member) then return end
  local key = queued_parts_key(owner)
  if redis.call('INCRBY', key, change) <= 0 then redis.call('DEL', key) end
end

local function part_members(id)
  local members = {}
  for number = 0, tonumber(redis.call('HGET', parts_key(id), 'count') or '0') - 1 do
    members[#members + 1] = part_member(id, number)
  end
  return members
end

local function count_unfinished_parts(id) return tonumber(redis.call('HGET', parts_key(id), 'left') or '0') end

-- Returns the progress of the whole job, computed from that of its parts.
local function progress_of_parts(id)
  local sum, members = 0, part_members(id)
  for _, member in ipairs(members) do sum = sum + tonumber(get_part(member, 'progress')) end
  return PARTS_PROGRESS_START + (PARTS_PROGRESS_END - PARTS_PROGRESS_START) * sum / #members
end

-- Returns a claim: id, token, attempt, token of the fetch, seconds waited, number of the part or '', token of the
-- split, and, if the parts of the job are to be joined, their tokens.
local function claim_reply(member, token, attempt, waited)
  local id = job_of(member)
  local fetch_token = tonumber(redis.call('HGET', job_key(id), 'fetched') or '0')
  local split_token = tonumber(redis.call('HGET', parts_key(id), 'split') or '0')
  local reply = {id, token, attempt, fetch_token, tostring(waited), part_of(member) or '', split_token}
  if not part_of(member) then
    for _, part in ipairs(part_members(id)) do reply[#reply + 1] = tonumber(get_part(part, 'token')) end
  end
  return reply
end
