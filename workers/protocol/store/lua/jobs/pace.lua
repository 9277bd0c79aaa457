-- include: include/jobs
return tostring(pace(tonumber(ARGV[2])))