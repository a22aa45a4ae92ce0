if not phase then
  -- It was denied. Before version 7 the text begins with where in the script that was.
  return string.find(written.err, 'OOM', 1, true) and redis.error_reply('OOM no room') or written
end
-- First of all: what there is to say of a request is none of another one's business.
if request ~= its_request then
  return 'm'
end
if phase == 'd' or phase == 'p' then
  return known
end
if phase ~= 'r' or owner ~= its_owner then
  if ends > now then
    return struct.pack('>c1I8', 'r', ends - now)
  end
  attempt, fence, forgotten = math.min(attempt + 1, 4294967295), math.max(now, fence + 1), now + retention
end
-- It is known already, and so needs no room.
redis.call('GETEX', KEYS[1])
write('r', its_owner, its_request, attempt, fence, now + lease, forgotten)
return struct.pack('>c1I8I4', 'a', fence, attempt)
