-- What a cell does for others: slots at its edges for sessions whose records are elsewhere, what a project has here, which
-- region a room is in, and who leads.

-- reserve: session, slot_ms, edges (JSON), the epoch that it has -> JSON: edge (the record of the one that has a slot for it
-- now; none where all are full), refused, newest epoch that this cell knows of.
local function reserve(keys, args)
  local cell, now, refused = keys[1], now_ms(), {}
  local edge, record = first_with_room(cell, 'edge', cjson.decode(args[3]), '', now, refused, args[1], '')
  if edge then redis.call('ZADD', cell .. ':slots:edge:' .. edge, whole(now + tonumber(args[2])), args[1]) end
  note_epoch(cell, tonumber(args[4]))
  return cjson.encode({ edge = edge and record or nil, refused = refused, epoch = redis.call('GET', cell .. ':epoch') or '0' })
end

-- hold_guests: edge, slot_ms, newest epoch of them, then sessions -> how many. Who owns them their own cells say.
local function hold_guests(keys, args)
  local cell, now = keys[1], now_ms()
  for i = 4, #args do
    redis.call('ZADD', cell .. ':slots:edge:' .. args[1], whole(now + tonumber(args[2])), args[i])
  end
  note_epoch(cell, tonumber(args[3]))
  return #args - 3
end

-- free_guest: session, edge -> 1, or 0 where it had no slot there.
local function free_guest(keys, args)
  return redis.call('ZREM', keys[1] .. ':slots:edge:' .. args[2], args[1])
end

-- live_of: project -> how many live sessions it has here.
local function live_of(keys, args)
  return redis.call('ZCOUNT', keys[1] .. ':live_of:' .. args[1], '(' .. whole(now_ms()), '+inf')
end

-- place_room: room, region, region that it is over in ('': none is known), settle_ms (so long after anybody's word the room
-- may be about to begin), keep_ms, asker ('': nobody) -> the region that it is in: the first word counts, until that room
-- is over. Who said it may say another while nobody has joined in.
local function place_room(keys, args)
  local key, now = keys[1] .. ':place_of:' .. args[1], now_ms()
  local known = redis.call('HGET', key, 'region')
  local at = number_of(redis.call('HGET', key, 'at'))
  local own = args[6] ~= '' and redis.call('HGET', key, 'asker') == args[6]
  if known and known ~= args[2] and not own and (known ~= args[3] or now < at + tonumber(args[4])) then return known end
  local joins = known == args[2] and not own
  redis.call('HSET', key, 'region', args[2], 'at', whole(now), 'asker', joins and '' or args[6])
  redis.call('PEXPIRE', key, args[5])
  return args[2]
end

-- give_up_room: room, asker -> 1: nothing came of its word, in which nobody has joined.
local function give_up_room(keys, args)
  local key = keys[1] .. ':place_of:' .. args[1]
  return redis.call('HGET', key, 'asker') == args[2] and redis.call('DEL', key) or 0
end

-- place_of_room: room -> the region, or nothing.
local function place_of_room(keys, args)
  return redis.call('HGET', keys[1] .. ':place_of:' .. args[1], 'region')
end

-- lead: task, node, for how long (ms) -> 1 it leads, 0 another does.
local function lead(keys, args)
  local key = keys[1] .. ':leader:' .. args[1]
  local leader = redis.call('GET', key)
  if leader and leader ~= args[2] then return 0 end
  redis.call('SET', key, args[2], 'PX', args[3])
  return 1
end

redis.register_function('antiphon_reserve_@VERSION@', reserve)
redis.register_function('antiphon_hold_guests_@VERSION@', hold_guests)
redis.register_function('antiphon_free_guest_@VERSION@', free_guest)
redis.register_function({ function_name = 'antiphon_live_of_@VERSION@', callback = live_of, flags = { 'no-writes' } })
redis.register_function('antiphon_place_room_@VERSION@', place_room)
redis.register_function('antiphon_give_up_room_@VERSION@', give_up_room)
redis.register_function({ function_name = 'antiphon_place_of_room_@VERSION@', callback = place_of_room, flags = { 'no-writes' } })
redis.register_function('antiphon_lead_@VERSION@', lead)
