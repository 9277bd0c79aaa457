-- include: include/jobs
return queued(unpack(ARGV, 2))