local its_request = ARGV[1]
if not phase then
  return { 'nothing' }
end
if request ~= its_request then
  return { 'mismatch' }
end
if phase == 'd' or phase == 'p' then
  return outcome()
end
if ends > now then
  return { 'running', digits(ends - now) }
end
return { 'nothing' }
