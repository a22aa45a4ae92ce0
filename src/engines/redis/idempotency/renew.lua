local its_owner, lease = ARGV[1], ARGV[2]
if phase ~= 'r' or owner ~= its_owner then
  return 'no'
end
write('r', owner, request, attempt, fence, now + lease, forgotten)
return 'yes'
