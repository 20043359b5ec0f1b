-- Events for those who share them: each goes to one consumer of a group, and to another where that one fell silent.

-- take: group, consumer, most, idle_ms (who held an event for so long without a word has died), project, members (1: edges'
-- and workers' too), begins ('$' with what comes, '0' with all there is)
-- -> JSON: dropped (how many that were held are no longer kept), gap (whether others may have gone before anybody took
-- them), read (how many were looked at), found: list of {id, type, data (JSON)}.
-- What is not theirs is done at once.
local function take(keys, args)
  local stream, group, consumer, most = keys[1] .. ':events', args[1], args[2], tonumber(args[3])
  local made = redis.pcall('XGROUP', 'CREATE', stream, group, args[7], 'MKSTREAM')
  local gap = false
  if made.err then
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      if info[2] == group and oldest then gap = info[8] ~= '0-0' and is_after(oldest[1], info[8]) end
    end
  end
  local claimed = redis.call('XAUTOCLAIM', stream, group, consumer, args[4], '0-0', 'COUNT', whole(most))
  local entries, dropped = claimed[2], claimed[3] and #claimed[3] or 0
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', whole(most), 'STREAMS', stream, '>')
  for _, entry in ipairs(read and read[1] and read[1][2] or {}) do entries[#entries + 1] = entry end
  local found = nil
  for _, entry in ipairs(entries) do
    local fields = entry[2] -- type, project, data, each after its name
    local owner = fields[4]
    if owner == args[5] or (owner == '' and args[6] == '1') then
      found = found or {}
      found[#found + 1] = { id = entry[1], type = fields[2], data = fields[6] }
    else
      redis.call('XACK', stream, group, entry[1])
    end
  end
  return cjson.encode({ dropped = dropped, gap = gap, read = #entries, found = found })
end

-- keep: group, consumer, then ids: it is still at work on them. Not for those that somebody else holds by now.
local function keep(keys, args)
  local stream, kept = keys[1] .. ':events', 0
  for i = 3, #args do
    local held = redis.call('XPENDING', stream, args[1], args[i], args[i], 1, args[2])
    if #held == 1 then
      redis.call('XCLAIM', stream, args[1], args[2], 0, args[i], 'JUSTID')
      kept = kept + 1
    end
  end
  return kept
end

-- done: group, then ids -> how many were held.
local function done(keys, args)
  return redis.call('XACK', keys[1] .. ':events', args[1], unpack(args, 2))
end

redis.register_function('antiphon_take_@VERSION@', take)
redis.register_function('antiphon_keep_@VERSION@', keep)
redis.register_function('antiphon_done_@VERSION@', done)
