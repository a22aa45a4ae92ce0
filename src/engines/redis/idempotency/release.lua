local its_owner = ARGV[1]
if not phase or phase == 'n' then
  return { 'yes' }
end
if phase ~= 'r' or owner ~= its_owner then
  return { 'no' }
end
if attempt > 1 then
  -- Nothing came of this run; but what came of the one before it, nobody knows to this day.
  return write({ 'yes' }, 'n', attempt - 1, fence, now, forgotten, request, owner, '')
end
redis.call('DEL', KEYS[1])
return { 'yes' }
