-- Without an answer, nothing came of it.
local answer = ARGV[1]
if phase ~= 'p' then
  return { 'no' }
end
if answer then
  return write({ 'yes' }, 'd', attempt, fence, ends, forgotten, request, owner, answer)
end
redis.call('DEL', KEYS[1])
return { 'yes' }
