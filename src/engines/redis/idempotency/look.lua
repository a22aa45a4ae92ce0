local its_request = ARGV[1]
if not phase then
  return 'n'
end
if request ~= its_request then
  return 'm'
end
if phase == 'd' or phase == 'p' then
  return known
end
if ends > now then
  return struct.pack('>c1I8', 'r', ends - now)
end
return 'n'
