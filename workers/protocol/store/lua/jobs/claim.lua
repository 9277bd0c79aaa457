-- include: include/jobs

local queue, most, small, found = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1', {}

local function next_is_small()
  local owner = redis.call('LINDEX', ring(queue), 0)
  local member = owner and redis.call('ZRANGE', waiting(queue, owner), 0, 0)[1]
  return member and not part_of(member) and get(member, 'small') == '1'
end

while (#found == 0 and not small) or (#found < most and next_is_small()) do
  local owner = redis.call('LPOP', ring(queue))
  if not owner then break end
  local member = redis.call('ZPOPMIN', waiting(queue, owner))[1]
  if redis.call('ZCARD', waiting(queue, owner)) > 0 then redis.call('RPUSH', ring(queue), owner) end
  local part = member and part_of(member)
  if part then count_part(member, owner, -1) end
  local waits = part and part_get(member, 'state') == 'waiting' or member and get(member, 'status') == 'queued'
  if waits then
    local token, attempt = tonumber(get_of(member, 'token')) + 1, tonumber(get_of(member, 'attempts')) + 1
    set_of(member, 'token', token)
    set_of(member, 'attempts', attempt)
    redis.call('ZADD', P .. 'leases', now + tonumber(ARGV[2]), member)
    if part then
      part_set(member, 'state', 'running')
    else
      set(member, 'status', 'running')
      redis.call('HSETNX', P .. 'job:' .. member, 'started_at', now)
      tell(member)
    end
    found[#found + 1] = claimed(member, token, attempt, now - (get_of(member, 'queued_at') or now))
    if part or get(member, 'small') ~= '1' then break end
  end
end
return found
