local its_request, its_owner, lease, retention = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local its_fence, its_attempt = now, 1
if phase then
  -- First of all: what there is to say of a request is none of another one's business.
  if request ~= its_request then
    return { 'mismatch' }
  end
  if phase == 'd' or phase == 'p' then
    return outcome()
  end
  if phase == 'r' and owner == its_owner then
    -- It is somebody's already, which needs no room.
    redis.call('GETEX', KEYS[1])
    local said = { 'acquired', digits(fence), digits(attempt) }
    return write(said, 'r', attempt, fence, now + lease, forgotten, request, owner, '')
  end
  if ends > now then
    return { 'running', digits(ends - now) }
  end
  its_fence, its_attempt = math.max(now, fence + 1), math.min(attempt + 1, 4294967295)
end
local said = { 'acquired', digits(its_fence), digits(its_attempt) }
return write(said, 'r', its_attempt, its_fence, now + lease, now + retention, its_request, its_owner, '')
