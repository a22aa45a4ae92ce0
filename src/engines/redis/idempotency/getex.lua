-- At `maxmemory` a server denies a script its first write if that might need memory, and no other one. What has happened must
-- be recorded all the same: a request that may be somebody's is read by `GETEX`, which is a write that needs no memory and
-- changes nothing. Since version 7 a script could say `#!lua flags=allow-oom` instead, which those before cannot read.
local known = redis.pcall('GETEX', KEYS[1])
