local its_owner = ARGV[1]
if not phase or phase == 'n' then
  return 'yes'
end
if phase ~= 'r' or owner ~= its_owner then
  return 'no'
end
if attempt > 1 then
  -- Nothing came of this run; but what came of the one before it, nobody knows to this day.
  write('n', owner, request, attempt - 1, fence, 0, forgotten)
else
  redis.call('DEL', KEYS[1])
end
return 'yes'
