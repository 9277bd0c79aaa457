-- Idempotency keys within the steps that create and delete jobs.
local function idempotency_key(digest) return PREFIX .. '{{IDEMPOTENCY_PREFIX}}' .. digest end

-- Stores the jobs under the reserved key. Returns false if another request has reserved it.
local function complete_reservation(digest, holder, fingerprint, seconds, ids)
  if digest == '' then return true end
  local key = idempotency_key(digest)
  if redis.call('HGET', key, 'holder') ~= holder then return false end
  redis.call('HSET', key, 'fingerprint', fingerprint, 'jobs', table.concat(ids, ' '))
  redis.call('PEXPIRE', key, math.ceil(tonumber(seconds) * 1000))
  return true
end

-- Replaces the id of a deleted job under its key by the word `deleted`.
local function mark_job_deleted(digest, id)
  local key, ids = idempotency_key(digest or ''), {}
  local jobs = redis.call('HGET', key, 'jobs')
  if not jobs then return end
  for each in string.gmatch(jobs, '%S+') do ids[#ids + 1] = each == id and 'deleted' or each end
  redis.call('HSET', key, 'jobs', table.concat(ids, ' '))
end
