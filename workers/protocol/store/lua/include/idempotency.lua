
-- False where another request holds the key.
local function keep_pledge(digest, holder, fingerprint, seconds, ids)
  if digest == '' then return true end
  local key = P .. '{{IDEMPOTENCY_PREFIX}}' .. digest
  if redis.call('HGET', key, 'holder') ~= holder then return false end
  redis.call('HSET', key, 'fingerprint', fingerprint, 'jobs', table.concat(ids, ' '))
  redis.call('PEXPIRE', key, math.ceil(tonumber(seconds) * 1000))
  return true
end

local function leave_pledge(digest, id)
  local key, left = P .. '{{IDEMPOTENCY_PREFIX}}' .. (digest or ''), {}
  local jobs = redis.call('HGET', key, 'jobs')
  if not jobs then return end
  for each in string.gmatch(jobs, '%S+') do left[#left + 1] = each == id and 'deleted' or each end
  redis.call('HSET', key, 'jobs', table.concat(left, ' '))
end
