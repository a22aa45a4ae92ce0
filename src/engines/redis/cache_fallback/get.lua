local found = { told }
local _, answers = known()
for _, answer in ipairs(answers or {}) do
  if answer.ends > now then
    found[#found + 1] = string.format('%.0f', math.max(now - answer.asked_at, 0))
    found[#found + 1] = redis.call('HGET', KEYS[1], answer.variant) or ''
  end
end
return found
