local request, owner, retention, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if record and record.owner then
  if record.owner ~= owner or record.phase == 'done' then
    return { 'no' }
  end
  if record.phase == 'parked' then
    return { 'yes' }
  end
end
settle('parked', request, owner, retention, why)
return { 'yes' }
