-- Does once whatever the scripts of a store do, on a key of its own, and says what is denied.
local key = KEYS[1]
-- What would be left behind comes last but for what takes it away, which has been allowed by then. What needs no memory is
-- written first: then the rest is not denied where there is no room.
for _, command in ipairs({
  { 'TIME' },
  { 'DEL', key },
  { 'GET', key },
  { 'GETEX', key },
  { 'SET', key, 'none', 'PXAT', '9000000000000' },
  { 'DEL', key },
}) do
  local said = redis.pcall(unpack(command))
  if type(said) == 'table' and said.err then
    return redis.error_reply('DENIED ' .. command[1] .. ': ' .. said.err)
  end
end
return redis.status_reply('OK')
