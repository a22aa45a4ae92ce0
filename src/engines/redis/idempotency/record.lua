-- What every operation begins with: the time, in microseconds, and what is known of the request, `nil` if nothing is.
--
-- At `maxmemory` a server denies a script its first write if that might need memory, and no other one. What has happened
-- must be recorded all the same: wherever a request is somebody's already, the first write is one that frees memory. Since
-- version 7 a script could say `#!lua flags=allow-oom` instead, which the versions before cannot read.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function corrupt(why)
  return redis.error_reply('CORRUPT the record ' .. KEYS[1] .. ' ' .. why)
end

local function digits(number)
  return string.format('%.0f', number)
end

-- A number that Lua can count on from.
local function whole(text)
  local number = text and #text <= 16 and string.find(text, '^%d+$') and tonumber(text)
  return number and number < 9007199254740991 and number
end

local fields = redis.pcall('HMGET', KEYS[1], 'phase', 'request', 'owner', 'fence', 'attempt', 'until', 'forgotten')
if fields.err then
  return corrupt('cannot be read: ' .. fields.err)
end
local record
if fields[1] or redis.call('EXISTS', KEYS[1]) == 1 then
  record = {
    phase = fields[1],
    request = fields[2],
    owner = fields[3],
    fence = whole(fields[4]),
    attempt = whole(fields[5]),
    ends = whole(fields[6]),
    forgotten = whole(fields[7]),
  }
  local runs = record.phase == 'running' and record.ends
  local is_over = record.owner and (record.phase == 'done' or record.phase == 'parked')
  if not (runs or is_over) or not (record.request and record.fence and record.attempt and record.forgotten) then
    return corrupt('lacks what a record has')
  end
  if math.max(record.forgotten, runs or 0) <= now then
    redis.call('DEL', KEYS[1])
    record = nil
  end
end

-- For how long it is remembered: also for as long as its lease.
local function remember(ends)
  redis.call('PEXPIREAT', KEYS[1], digits(math.ceil(ends / 1000)))
end

local function lease_ends(ends)
  redis.call('HDEL', KEYS[1], 'until')
  redis.call('HSET', KEYS[1], 'until', digits(ends))
  remember(math.max(record.forgotten, ends))
end

local function told(how)
  local answer = redis.call('HGET', KEYS[1], 'answer')
  return answer and { how, answer } or corrupt('lacks what came of it')
end

-- What came of it, by its owner.
local function settle(phase, request, owner, retention, answer)
  local fence, attempt = 0, 1
  if record then
    fence, attempt = record.fence, record.attempt
  end
  local forgotten = now + retention
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'phase', phase, 'request', request, 'owner', owner, 'fence', digits(fence),
    'attempt', digits(attempt), 'forgotten', digits(forgotten), 'answer', answer)
  remember(forgotten)
end

