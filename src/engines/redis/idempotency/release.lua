local owner = ARGV[1]
if not record or not record.owner then
  return { 'yes' }
end
if record.owner ~= owner or record.phase ~= 'running' then
  return { 'no' }
end
if record.attempt > 1 then
  -- Nothing came of this run; but what came of the one before it, nobody knows to this day.
  redis.call('HDEL', KEYS[1], 'owner')
  redis.call('HSET', KEYS[1], 'attempt', digits(record.attempt - 1))
  lease_ends(now)
else
  redis.call('DEL', KEYS[1])
end
return { 'yes' }
