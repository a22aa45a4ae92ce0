local known = redis.pcall('GET', KEYS[1])
