local its_request, its_owner, retention, answer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local is_owners = phase and phase ~= 'n'
if is_owners then
  if owner ~= its_owner or phase == 'p' then
    return { 'lost' }
  end
  if phase == 'd' then
    return { 'stored' }
  end
end
if not phase then
  attempt, fence = 1, 0
end
local said = { is_owners and 'stored' or 'recreated' }
return write(said, 'd', attempt, fence, 0, now + retention, its_request, its_owner, answer)
