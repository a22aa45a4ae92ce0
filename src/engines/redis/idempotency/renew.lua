local its_owner, lease = ARGV[1], ARGV[2]
if phase ~= 'r' or owner ~= its_owner then
  return { 'no' }
end
return write({ 'yes' }, 'r', attempt, fence, now + lease, forgotten, request, owner, '')
