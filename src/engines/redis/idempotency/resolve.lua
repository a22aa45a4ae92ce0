-- Without an answer, nothing came of it.
local answer = ARGV[1]
if not record or record.phase ~= 'parked' then
  return { 'no' }
end
if answer then
  redis.call('HDEL', KEYS[1], 'answer')
  redis.call('HSET', KEYS[1], 'phase', 'done', 'answer', answer)
else
  redis.call('DEL', KEYS[1])
end
return { 'yes' }
