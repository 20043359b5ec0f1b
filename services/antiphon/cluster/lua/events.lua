-- Reading what happened. One text with library.lua, which writes it where it happens.

local function parts(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function is_after(one, other)
  local ms, sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  return ms > other_ms or (ms == other_ms and sequence > other_sequence)
end

-- events: after (an id; '': only tell where the stream ends), most looked at, project ('': any), members (1: theirs too)
-- -> JSON: last (the id to go on after), gap (what came after `after` may have been dropped since), found: list of
-- {id, type, data (JSON)}.
local function events(keys, args)
  local stream, after, project = keys[1] .. ':events', args[1], args[3]
  if after == '' then
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    return cjson.encode({ last = newest and newest[1] or '0-0', gap = false })
  end
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local gap = after ~= '0-0' and oldest ~= nil and is_after(oldest[1], after)
  local last, found = after, nil
  for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', args[2])) do
    local fields = entry[2] -- type, project, data, each after its name
    local owner = fields[4]
    local theirs = owner == '' and args[4] == '1' or owner ~= '' and (project == '' or owner == project)
    if theirs then
      found = found or {}
      found[#found + 1] = { id = entry[1], type = fields[2], data = fields[6] }
    end
    last = entry[1]
  end
  return cjson.encode({ last = last, gap = gap, found = found })
end

redis.register_function({ function_name = 'antiphon_events_@VERSION@', callback = events, flags = { 'no-writes' } })
