local its_owner, done, kept = ARGV[1], ARGV[2], ARGV[3]
if phase and phase ~= 'n' then
  if owner ~= its_owner or phase == 'p' then
    return 'lost'
  end
  if phase == 'd' then
    return 'stored'
  end
end
redis.call('SET', KEYS[1], done, 'PX', kept)
return phase == 'r' and 'stored' or 'recreated'
