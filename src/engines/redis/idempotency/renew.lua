local owner, lease = ARGV[1], ARGV[2]
if not record or record.owner ~= owner or record.phase ~= 'running' then
  return { 'no' }
end
lease_ends(now + lease)
return { 'yes' }
