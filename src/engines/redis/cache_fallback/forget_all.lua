-- First, since it needs no memory: without it nothing is known any more.
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], string.format('%.0f', math.max(now, (since or 0) + 1)))
return { told }
