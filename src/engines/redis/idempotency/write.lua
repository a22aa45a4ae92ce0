-- A run is remembered for as long as its lease as well.
local function write(phase, owner, request, attempt, fence, ends, forgotten)
  local record = struct.pack(RUN, phase, owner, request, attempt, fence, ends, forgotten)
  local at = string.format('%.0f', math.ceil(math.max(forgotten, ends) / 1000))
  redis.call('SET', KEYS[1], record, 'PXAT', at)
end
