-- Stores that the caller changed a job. Returns 1, 0 if another change came first, or false if there is no such job.
-- ARGV: prefix, id, edition that the change is based on or '', its new edition, edition of its result or '', digests of
-- its tags
-- include: jobs
local id, base, edition, result_edition, tags = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call('EXISTS', job_key(id)) == 0 then return false end
local current = get_job(id, 'edition') or ''
if current == edition then return 1 end -- the first run of this call, whose reply was lost
if current ~= base then return 0 end
set_job(id, 'edition', edition, 'result_edition', result_edition, 'tags', tags)
return 1
