local its_request, its_owner, retention, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if phase and phase ~= 'n' then
  if owner ~= its_owner or phase == 'd' then
    return { 'no' }
  end
  if phase == 'p' then
    return { 'yes' }
  end
end
if not phase then
  attempt, fence = 1, 0
end
return write({ 'yes' }, 'p', attempt, fence, 0, now + retention, its_request, its_owner, why)
