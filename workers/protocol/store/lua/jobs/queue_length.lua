-- Returns how many jobs and parts wait in these queues.
-- ARGV: prefix, queues…
-- include: jobs
return queue_length({unpack(ARGV, 2)})
