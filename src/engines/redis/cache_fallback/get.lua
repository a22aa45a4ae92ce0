local found = { told }
local _, answers = known()
for _, answer in ipairs(answers or {}) do
  if is_good(answer) then
    found[#found + 1] = string.format('%.0f', now - answer.asked_at)
    found[#found + 1] = redis.call('HGET', KEYS[1], answer.variant) or ''
  end
end
return found
