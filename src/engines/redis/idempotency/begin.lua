local request, owner, lease, retention = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local fence, attempt = now, 1
if record then
  -- First of all: what there is to say of a request is none of another one's business.
  if record.request ~= request then
    return { 'mismatch' }
  end
  if record.phase ~= 'running' then
    return told(record.phase)
  end
  if record.owner == owner then
    lease_ends(now + lease)
    return { 'acquired', digits(record.fence), digits(record.attempt) }
  end
  if record.ends > now then
    return { 'running', digits(record.ends - now) }
  end
  fence, attempt = math.max(now, record.fence + 1), math.min(record.attempt + 1, 4294967295)
end
local ends, forgotten = now + lease, now + retention
-- The first write of all, so that it is denied where there is no room.
local written = redis.pcall('HSET', KEYS[1], 'phase', 'running', 'request', request, 'owner', owner,
  'fence', digits(fence), 'attempt', digits(attempt), 'until', digits(ends), 'forgotten', digits(forgotten))
if type(written) == 'table' and written.err then
  -- Before version 7 the text begins with where in the script that was.
  return string.find(written.err, 'OOM', 1, true) and { 'full' } or written
end
remember(math.max(forgotten, ends))
return { 'acquired', digits(fence), digits(attempt) }
