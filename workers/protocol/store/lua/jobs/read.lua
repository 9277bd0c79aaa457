-- include: include/jobs
return view(ARGV[2])