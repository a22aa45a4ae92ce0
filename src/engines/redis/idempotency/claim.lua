-- Most requests are new: a first run is written at once, unless there is a record.
local its_owner, its_request, lease, retention, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local record = struct.pack(RUN, 'r', its_owner, its_request, 1, now, now + lease, now + retention)
local written = redis.pcall('SET', KEYS[1], record, 'NX', 'PX', kept)
if written and written.ok then
  return struct.pack('>c1I8I4', 'a', now, 1)
end
