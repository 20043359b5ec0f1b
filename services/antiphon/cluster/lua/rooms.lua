-- Rooms: where one is, which its first member settles, and who is in it.

local function stay_in_room(cell, id, room, expiry)
  if not room or room == '' then return end
  redis.call('ZADD', cell .. ':members_of:' .. room, whole(expiry), id)
  redis.call('ZADD', cell .. ':rooms', 'GT', whole(expiry), room)
end

-- A room's event is its project's, which its name begins with.
local function tell_room(cell, what, room, more)
  local data = more or {}
  data.room = room
  for _, name in ipairs({ 'agent', 'region', 'edge' }) do
    local value = redis.call('HGET', cell .. ':room:' .. room, name)
    if value and value ~= '' then data[name] = value end
  end
  tell(cell, 'room.' .. what, string.match(room, '^(.*)/') or 'default', data)
end

-- A session whose edge has answered is a member, told once for each time that it comes.
local function tell_joined(cell, id, room)
  if not room or room == '' or redis.call('SADD', cell .. ':told_of:' .. room, id) == 0 then return end
  if redis.call('SADD', cell .. ':opened', room) == 1 then tell_room(cell, 'opened', room) end
  tell_room(cell, 'member_joined', room, { session = id })
end

local function tell_closed(cell, room, reason)
  redis.call('DEL', cell .. ':told_of:' .. room, cell .. ':checkpoint_of:' .. room)
  if redis.call('SREM', cell .. ':opened', room) == 1 then tell_room(cell, 'closed', room, { reason = reason }) end
end

local function leave_room(cell, id, room, reason)
  if not room or room == '' then return end
  redis.call('ZREM', cell .. ':members_of:' .. room, id)
  if redis.call('SREM', cell .. ':told_of:' .. room, id) == 1 then
    tell_room(cell, 'member_left', room, { session = id, reason = reason })
  end
  if redis.call('ZCARD', cell .. ':members_of:' .. room) == 0 then tell_closed(cell, room, 'empty') end
end

-- Edge, worker and agent of a room that has members, or nothing: it is over, or its edge is. Where its worker is lost, its
-- edge names another one soon, or ends its members.
local function room_of(cell, room, now)
  local key, members = cell .. ':room:' .. room, cell .. ':members_of:' .. room
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', whole(now))) do leave_room(cell, id, room, 'lease') end
  local edge = redis.call('HGET', key, 'edge')
  local lives = edge and redis.call('ZCARD', members) > 0 and alive(cell, 'edge', edge, now)
  if not lives then
    tell_closed(cell, room, 'lease')
    redis.call('DEL', key)
    redis.call('ZREM', cell .. ':rooms', room)
    return nil
  end
  return { name = room, edge = edge, worker = redis.call('HGET', key, 'worker') or '', agent = redis.call('HGET', key, 'agent') or '',
    region = redis.call('HGET', key, 'region') or '', sessions = redis.call('ZRANGE', members, 0, -1) }
end

-- A room's edge has given a member to another worker, and will give it the others: who joins goes there.
local function serve_room(cell, room, edge, worker)
  if not room or room == '' then return end
  local key = cell .. ':room:' .. room
  if redis.call('HGET', key, 'edge') == edge then redis.call('HSET', key, 'worker', worker) end
end

-- A member's move came to nothing: a room that went along is where the member is, unless another has followed.
local function bring_room_back(cell, id, room, came, edge)
  if not room or room == '' or came == edge then return end
  local key = cell .. ':room:' .. room
  if redis.call('HGET', key, 'edge') ~= came then return end
  for _, other in ipairs(redis.call('ZRANGE', cell .. ':members_of:' .. room, 0, -1)) do
    if other ~= id and redis.call('HGET', cell .. ':session:' .. other, 'edge') == came then return end
  end
  redis.call('HSET', key, 'edge', edge)
  local record = redis.call('HGET', cell .. ':members:edge', edge)
  if record then redis.call('HSET', key, 'region', cjson.decode(record).region) end
end

-- Rooms whose members all fell silent. Nothing runs at that moment: the next edge to renew, or to look, ends them.
local function end_lapsed_rooms(cell, now)
  for _, room in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':rooms', '-inf', whole(now), 'LIMIT', 0, 64)) do
    room_of(cell, room, now)
  end
end

-- room: name -> JSON (name, edge, worker, agent, region, sessions), or nothing.
local function room(keys, args)
  local found = room_of(keys[1], args[1], now_ms())
  return found and cjson.encode(found)
end

-- rooms -> list of JSON, by name.
local function rooms(keys)
  local cell, now, list = keys[1], now_ms(), {}
  local names = redis.call('ZRANGEBYSCORE', cell .. ':rooms', '(' .. whole(now), '+inf')
  end_lapsed_rooms(cell, now)
  table.sort(names)
  for _, name in ipairs(names) do
    local found = room_of(cell, name, now)
    if found then list[#list + 1] = cjson.encode(found) end
  end
  return list
end

redis.register_function('antiphon_room_@VERSION@', room)
redis.register_function('antiphon_rooms_@VERSION@', rooms)
