local request, owner, retention, answer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local is_owners = record and record.owner
if is_owners then
  if record.owner ~= owner or record.phase == 'parked' then
    return { 'lost' }
  end
  if record.phase == 'done' then
    return { 'stored' }
  end
end
settle('done', request, owner, retention, answer)
return { is_owners and 'stored' or 'recreated' }
