-- Returns the seconds until that many more jobs have ended, as text; '0' if the pace is unknown.
-- ARGV: prefix, number of jobs
-- include: jobs
return tostring(estimate_seconds(tonumber(ARGV[2])))
