local request = ARGV[1]
if not record then
  return { 'nothing' }
end
if record.request ~= request then
  return { 'mismatch' }
end
if record.phase ~= 'running' then
  return told(record.phase)
end
if record.ends > now then
  return { 'running', digits(record.ends - now) }
end
return { 'nothing' }
