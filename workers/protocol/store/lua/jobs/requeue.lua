-- include: include/jobs

local member = ARGV[2]
if not holds(member, ARGV[3]) then return 0 end
set_of(member, 'attempts', tonumber(get_of(member, 'attempts')) - 1)
put_back(member, math.huge, '', tonumber(ARGV[4]))
return 1
