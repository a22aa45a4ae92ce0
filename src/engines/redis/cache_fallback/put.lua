local variant, is_alone, bytes = ARGV[1], ARGV[2], ARGV[3]
local sent, age, kept, tolerance = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local most, remembered = tonumber(ARGV[8]), tonumber(ARGV[9])
-- It was on its way for too long, or nobody knows for how long, or the clock has leapt.
if math.abs(now - sent) > tolerance then
  return { told, 'late' }
end
local asked_at = math.min(sent, now) - age
-- What was asked for before everything was forgotten.
if since and asked_at <= since then
  return { told, 'outdated' }
end
local forgotten, answers = known()
if forgotten and asked_at <= forgotten then
  return { told, 'outdated' }
end
local left, gone = {}, {}
for _, answer in ipairs(answers or {}) do
  if not is_good(answer) then
    gone[#gone + 1] = answer
  elseif answer.variant == variant or is_alone == '1' or answer.is_alone == '1' then
    if answer.asked_at > asked_at then
      return { told, 'outdated' }
    end
    gone[#gone + 1] = answer
  else
    left[#left + 1] = answer
  end
end
left[#left + 1] = { variant = variant, asked_at = asked_at, ends = math.min(sent, now) + kept, is_alone = is_alone }
table.sort(left, function(one, other) return one.asked_at > other.asked_at end)
while #left > most do
  local oldest = table.remove(left)
  if oldest.variant == variant then
    return { told, 'outdated' }
  end
  gone[#gone + 1] = oldest
end
begin(remembered)
if not forgotten and redis.call('EXISTS', KEYS[1]) == 1 then
  -- It is from before everything was forgotten. Not if there is nothing: what comes after this is not denied where there is no
  -- room.
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], '', written(forgotten or 0, left), variant, bytes)
for _, answer in ipairs(gone) do
  if answer.variant ~= variant then
    redis.call('HDEL', KEYS[1], answer.variant)
  end
end
expire(left, forgotten and math.max(forgotten + remembered - now, 0) or 0)
return { told, 'kept' }
