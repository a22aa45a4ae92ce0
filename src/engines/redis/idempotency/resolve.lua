-- Without an answer, nothing came of it.
local answer = ARGV[1]
if phase ~= 'p' then
  return 'no'
end
if answer then
  redis.call('SET', KEYS[1], 'd' .. owner .. request .. answer, 'KEEPTTL')
else
  redis.call('DEL', KEYS[1])
end
return 'yes'
