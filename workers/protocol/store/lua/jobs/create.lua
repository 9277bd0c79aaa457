-- Creates queued jobs, all or none. Returns false, or the reason why none was created: a limit (see `exceeded_limit`),
-- or 'reservation' if another request has reserved the idempotency key.
-- ARGV: prefix, owner, limits (waiting jobs of all owners, of this owner, stored bytes of this owner, its seconds of
-- analysis an hour or 0); digests of tags, queue, whether a webhook is sent, whether the media are kept (1 or 0);
-- idempotency key: digest, holder, fingerprint, seconds to live; for each job: id, bytes of its media, whether it is
-- small (1 or 0)
-- include: jobs
-- include: idempotency
local owner = ARGV[2]
local max_queued, max_own_queued, max_own_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local max_own_compute = tonumber(ARGV[6])
local tags, queue, webhook, keeps = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local digest, holder, fingerprint, ttl = ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local all_ids, new_ids, sizes, small, bytes = {}, {}, {}, {}, 0
for index = 15, #ARGV, 3 do
  local id = ARGV[index]
  all_ids[#all_ids + 1] = id
  if redis.call('EXISTS', job_key(id)) == 0 then
    new_ids[#new_ids + 1], sizes[id], small[id] = id, tonumber(ARGV[index + 1]), ARGV[index + 2]
    bytes = bytes + sizes[id]
  end
end
local reason = exceeded_limit(owner, #new_ids, bytes, max_queued, max_own_queued, max_own_bytes, max_own_compute)
if reason and #new_ids > 0 then return reason end
if not complete_reservation(digest, holder, fingerprint, ttl, all_ids) then return 'reservation' end
for _, id in ipairs(new_ids) do
  local number = redis.call('INCR', PREFIX .. 'seq:' .. owner)
  set_job(id, 'owner', owner, 'number', number, 'queue', queue, 'status', 'queued', 'progress', '0', 'attempts', '0',
    'token', '0', 'tags', tags, 'webhook', webhook, 'keeps', keeps, 'pledge', digest, 'created_at', now,
    'small', small[id])
  charge_quota(id, owner, sizes[id])
  redis.call('ZADD', PREFIX .. 'jobs:' .. owner, number, id)
  enqueue(id)
  publish_event(id)
end
return false
