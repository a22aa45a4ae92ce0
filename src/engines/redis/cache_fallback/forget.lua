local age, remembered = tonumber(ARGV[1]), tonumber(ARGV[2])
local forgotten, answers = known()
local by = math.max(now - age, forgotten or 0)
local left = {}
-- What needs no memory comes first: then the rest is not denied where there is no room.
if not answers then
  redis.call('DEL', KEYS[1])
end
for _, answer in ipairs(answers or {}) do
  if answer.asked_at > by and is_good(answer) then
    left[#left + 1] = answer
  else
    redis.call('HDEL', KEYS[1], answer.variant)
  end
end
if answers and #left == #answers then
  redis.call('HDEL', KEYS[1], '')
end
begin(remembered)
redis.call('HSET', KEYS[1], '', written(by, left))
expire(left, remembered)
return { told }
