-- The answers under a key are a hash: each under its variant, and under the empty name what there is to know of them all: since
-- when all are known, when something was forgotten, and of each its variant, when it was asked for, when it ends, and whether it
-- is alone. One key, so that a server that makes room forgets all of it.
local HEAD, HEAD_LENGTH, EACH, EACH_LENGTH = '>I8I8', 16, '>c8I8I8c1', 25

-- In microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local told = string.format('%.0f', now)

-- Since when everything is known. What was known before, also if nobody knows when that was, is not there any more.
local since = tonumber(redis.call('GET', KEYS[2]) or nil)

-- From when on it is, if nobody knows: early enough for all that may be on its way.
local function begin(remembered)
  if not since then
    since = now - remembered
    redis.call('SET', KEYS[2], string.format('%.0f', since))
  end
end

-- When something was last forgotten, and what is known.
local function known()
  local index = redis.call('HGET', KEYS[1], '')
  if not index or not since or #index < HEAD_LENGTH then
    return nil
  end
  local its_since, forgotten, at = struct.unpack(HEAD, index)
  if its_since ~= since then
    return nil
  end
  local answers = {}
  while at + EACH_LENGTH - 1 <= #index do
    local answer = {}
    answer.variant, answer.asked_at, answer.ends, answer.is_alone, at = struct.unpack(EACH, index, at)
    answers[#answers + 1] = answer
  end
  return forgotten, answers
end

-- Whether an answer is of use: not one that is over, nor one that was asked for later than now, as it seems when the clock was set
-- back. Nobody knows how old that is.
local function is_good(answer)
  return answer.ends > now and answer.asked_at <= now
end

local function written(forgotten, answers)
  local index = { struct.pack(HEAD, since, forgotten) }
  for _, answer in ipairs(answers) do
    index[#index + 1] = struct.pack(EACH, answer.variant, answer.asked_at, answer.ends, answer.is_alone)
  end
  return table.concat(index)
end

-- Until the last of it is over.
local function expire(answers, least)
  local ends = now + least
  for _, answer in ipairs(answers) do
    ends = math.max(ends, answer.ends)
  end
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((ends - now) / 1000)))
end
