-- Edges and workers: they come, renew their leases, and leave or lapse.

local FORGET_MEMBER_MS = 60000

local function drains(record)
  return record and cjson.decode(record).draining == true
end

-- Tells of members whose lease lapsed. Nothing runs at that moment: the next one of their kind to renew does it.
local function tell_lapsed(cell, kind, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':leases:' .. kind, '-inf', whole(now), 'LIMIT', 0, 64)) do
    if redis.call('SREM', cell .. ':joined:' .. kind, id) == 1 then tell_member(cell, kind, 'left', id, 'lease') end
  end
end

-- renew: kind, id, record, sessions, lease_ms, instance (0 at a member's start), how many of the sessions other cells have
-- slots for, whether this cell tells of its coming and going (1), which a member of several has told in one of them
-- -> the instance to go on with, or 0: another start of this member has the lease; its order to drain, '' for none; now;
-- of a worker its sessions that are asked to move, told once.
local function renew(keys, args)
  local cell, kind, id, record = keys[1], args[1], args[2], args[3]
  local lease, instance, now = tonumber(args[5]), tonumber(args[6]), now_ms()
  local known = number_of(redis.call('HGET', cell .. ':instances:' .. kind, id))
  local held = alive(cell, kind, id, now)
  if instance == 0 then
    instance = math.max(known + 1, now)
    redis.call('HDEL', cell .. ':drains:' .. kind, id)
    if kind == 'edge' then -- the sessions of an earlier start died with it
      for _, session in ipairs(redis.call('ZRANGE', cell .. ':slots:edge:' .. id, 0, -1)) do lose(cell, session, id) end
    end
  elseif instance < known and held then
    return { 0, '', now, {} }
  end
  redis.call('SET', cell .. ':born', whole(now), 'NX')
  local before = redis.call('HGET', cell .. ':members:' .. kind, id)
  if not before then -- this memory knows nothing of it: what it was ordered, it says itself
    local order = cjson.decode(record).drain
    if type(order) == 'table' then redis.call('HSET', cell .. ':drains:' .. kind, id, cjson.encode(order)) end
  end
  redis.call('HSET', cell .. ':members:' .. kind, id, record)
  redis.call('HSET', cell .. ':instances:' .. kind, id, whole(instance))
  redis.call('HSET', cell .. ':reported:' .. kind, id, args[4])
  if kind == 'worker' then redis.call('HSET', cell .. ':elsewhere:' .. kind, id, args[7]) end
  redis.call('ZADD', cell .. ':leases:' .. kind, whole(now + lease), id)
  if before ~= record or not held then announce(cell, kind, id) end
  tell_lapsed(cell, kind, now)
  if kind == 'edge' then end_lapsed_rooms(cell, now) end
  if args[8] ~= '1' then
    redis.call('SREM', cell .. ':joined:' .. kind, id)
  elseif redis.call('SADD', cell .. ':joined:' .. kind, id) == 1 then
    tell_member(cell, kind, 'joined', id)
  elseif args[6] == '0' then
    tell_member(cell, kind, 'joined', id, 'restarted')
  end
  if args[8] == '1' and before ~= record and drains(record) and not drains(before)
    and redis.call('HEXISTS', cell .. ':drains:' .. kind, id) == 0 then
    tell_member(cell, kind, 'draining', id, 'itself')
  end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':leases:' .. kind, '-inf', whole(now - FORGET_MEMBER_MS),
      'LIMIT', 0, 8)) do
    redis.call('ZREM', cell .. ':leases:' .. kind, gone)
    redis.call('HDEL', cell .. ':members:' .. kind, gone)
    redis.call('HDEL', cell .. ':reported:' .. kind, gone)
    redis.call('HDEL', cell .. ':elsewhere:' .. kind, gone)
    redis.call('HDEL', cell .. ':drains:' .. kind, gone)
    redis.call('DEL', cell .. ':slots:' .. kind .. ':' .. gone)
  end
  local asked = kind == 'worker' and redis.call('SMEMBERS', cell .. ':asked:' .. id) or {}
  if #asked > 0 then redis.call('DEL', cell .. ':asked:' .. id) end
  return { instance, redis.call('HGET', cell .. ':drains:' .. kind, id) or '', now, asked }
end

-- Sessions that a member has: what it says, or what was claimed at it, whichever is more.
local function sessions_of(cell, kind, id, now)
  local slots = redis.call('ZCOUNT', cell .. ':slots:' .. kind .. ':' .. id, '(' .. whole(now), '+inf')
  return math.max(slots, number_of(redis.call('HGET', cell .. ':reported:' .. kind, id)))
end

-- leave: kind, id, instance
local function leave(keys, args)
  local cell, kind, id = keys[1], args[1], args[2]
  if number_of(redis.call('HGET', cell .. ':instances:' .. kind, id)) ~= tonumber(args[3]) then return 0 end
  redis.call('ZREM', cell .. ':leases:' .. kind, id)
  redis.call('HDEL', cell .. ':members:' .. kind, id)
  redis.call('HDEL', cell .. ':instances:' .. kind, id)
  redis.call('HDEL', cell .. ':reported:' .. kind, id)
  redis.call('HDEL', cell .. ':elsewhere:' .. kind, id)
  redis.call('HDEL', cell .. ':drains:' .. kind, id)
  announce(cell, kind, id)
  if redis.call('SREM', cell .. ':joined:' .. kind, id) == 1 then tell_member(cell, kind, 'left', id, 'itself') end
  return 1
end

-- members -> JSON: born, the newest epoch, and for each kind a list of {record, sessions, drain, links}.
local function members(keys)
  local cell, now = keys[1], now_ms()
  local answer = { born = redis.call('GET', cell .. ':born') or '0', epoch = redis.call('GET', cell .. ':epoch') or '0' }
  for _, kind in ipairs({ 'edge', 'worker' }) do
    local list = {}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':leases:' .. kind, '(' .. whole(now), '+inf')) do
      local record = redis.call('HGET', cell .. ':members:' .. kind, id)
      local order = redis.call('HGET', cell .. ':drains:' .. kind, id) or ''
      local links = kind == 'edge' and redis.call('GET', cell .. ':links:' .. id) or nil
      if record then
        list[#list + 1] = { record = record, sessions = sessions_of(cell, kind, id, now), drain = order, links = links }
      end
    end
    answer[kind] = list
  end
  return cjson.encode(answer)
end

redis.register_function('antiphon_renew_@VERSION@', renew)
redis.register_function('antiphon_leave_@VERSION@', leave)
redis.register_function({ function_name = 'antiphon_members_@VERSION@', callback = members, flags = { 'no-writes' } })
