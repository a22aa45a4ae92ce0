local its_owner, parked, kept = ARGV[1], ARGV[2], ARGV[3]
if phase and phase ~= 'n' then
  if owner ~= its_owner or phase == 'd' then
    return 'no'
  end
  if phase == 'p' then
    return 'yes'
  end
end
redis.call('SET', KEYS[1], parked, 'PX', kept)
return 'yes'
