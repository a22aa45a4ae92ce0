-- What every operation begins with: the time, in microseconds, and what is known of the request. `READ` is how it is read.
--
-- What a script has written stays, also if a later write is denied: the user may have lost the right to it. So a record is one
-- value, and changes by one write from one state that it may be in to the next.
--
-- At `maxmemory` a server denies a script its first write if that might need memory, and no other one. What has happened must
-- be recorded all the same: where a request may be somebody's already, it is read by `GETEX`, which is a write that needs no
-- memory and changes nothing. Since version 7 a script could say `#!lua flags=allow-oom` instead, which those before cannot read.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The phase, the attempt, the fence, when the lease ends (0 once the request is over), when the record is forgotten, the
-- request and its owner; what came of it is all that follows. Phases are `r`unning, `n`obody's, which runs as well, `d`one and
-- `p`arked.
local LAYOUT, LENGTH = '>c1I4dddc32c16', 77

local known = redis.pcall(READ, KEYS[1])
local phase, attempt, fence, ends, forgotten, request, owner
if type(known) == 'table' and not string.find(known.err, 'WRONGTYPE', 1, true) then
  return known
end
if known then
  if type(known) == 'string' and #known >= LENGTH then
    phase, attempt, fence, ends, forgotten, request, owner = struct.unpack(LAYOUT, known)
  end
  -- Lua can count on from a number below this one.
  if not (phase and string.find('rndp', phase, 1, true) and fence >= 0 and fence < 9007199254740991) then
    return redis.error_reply('CORRUPT what is at ' .. KEYS[1] .. ' is no record')
  end
  if math.max(forgotten, ends) <= now then
    phase = nil
  end
end

local function digits(number)
  return string.format('%.0f', number)
end

-- Says this once it is written. A record is remembered for as long as its lease as well.
local function write(said, phase, attempt, fence, ends, forgotten, request, owner, outcome)
  local record = struct.pack(LAYOUT, phase, attempt, fence, ends, forgotten, request, owner) .. outcome
  local written = redis.pcall('SET', KEYS[1], record, 'PXAT', digits(math.ceil(math.max(forgotten, ends) / 1000)))
  if written.err then
    -- Before version 7 the text begins with where in the script that was.
    return string.find(written.err, 'OOM', 1, true) and { 'full' } or written
  end
  return said
end

-- What came of a request that is over.
local function outcome()
  return { phase == 'd' and 'done' or 'parked', string.sub(known, LENGTH + 1) }
end

