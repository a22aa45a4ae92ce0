-- What is known of the request. When a record's time is over the server forgets it, at most two milliseconds late; until then
-- it is what it was.
if type(known) == 'table' then
  if not string.find(known.err, 'WRONGTYPE', 1, true) then
    return known
  end
  known = ''
end
local phase, owner, request, attempt, fence, ends, forgotten
if known then
  local first = string.sub(known, 1, 1)
  if (first == 'r' or first == 'n') and #known == RUN_LENGTH then
    phase, owner, request, attempt, fence, ends, forgotten = struct.unpack(RUN, known)
  elseif (first == 'd' or first == 'p') and #known >= OVER_LEAST then
    phase, owner, request = struct.unpack(OVER, known)
  end
  -- Lua can count on from a fence below this one.
  if not phase or fence and fence >= 9007199254740991 then
    return redis.error_reply('CORRUPT what is at ' .. KEYS[1] .. ' is no record')
  end
end
