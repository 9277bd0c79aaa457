-- Returns a record (see `record_reply`), or false.
-- ARGV: prefix, id
-- include: jobs
return record_reply(ARGV[2])
