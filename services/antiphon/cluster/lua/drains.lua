-- Orders to drain. That nothing is placed at a member that drains is claims.lua's business.

-- Of a member of several cells one tells.
local function told_here(cell, kind, id)
  return redis.call('SISMEMBER', cell .. ':joined:' .. kind, id) == 1
end

-- drain: kind, id, for how long (ms) -> the order (JSON), or nothing where no such member lives. From now on nothing is
-- placed there. Said again, only the deadline is new.
local function drain(keys, args)
  local cell, kind, id, now = keys[1], args[1], args[2], now_ms()
  if not alive(cell, kind, id, now) then return nil end
  local orders = cell .. ':drains:' .. kind
  local known = redis.call('HGET', orders, id)
  local order = known and cjson.decode(known) or { since_ms = now, sessions = sessions_of(cell, kind, id, now) }
  order.until_ms = now + tonumber(args[3])
  local text = cjson.encode(order)
  redis.call('HSET', orders, id, text)
  announce(cell, kind, id)
  if not known and told_here(cell, kind, id) then tell_member(cell, kind, 'draining', id, 'ordered') end
  return text
end

-- undrain: kind, id -> 1, or 0 where no such member lives.
local function undrain(keys, args)
  local cell, kind, id = keys[1], args[1], args[2]
  if not alive(cell, kind, id, now_ms()) then return 0 end
  local ordered = redis.call('HDEL', cell .. ':drains:' .. kind, id) == 1
  if ordered and told_here(cell, kind, id) then tell_member(cell, kind, 'undrained', id) end
  announce(cell, kind, id)
  return 1
end

redis.register_function('antiphon_drain_@VERSION@', drain)
redis.register_function('antiphon_undrain_@VERSION@', undrain)
