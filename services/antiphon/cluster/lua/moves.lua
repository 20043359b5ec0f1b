-- A move is a claim with a previous epoch; here is what undoes one that came to nothing.

-- revert: session, epoch, edge that did not take it -> 1 a move came to nothing: it is where it was; 0 there is nowhere to go back to; -1 stale.
local function revert(keys, args)
  local cell, id, epoch = keys[1], args[1], tonumber(args[2])
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known ~= epoch or is_others(key, known, epoch, args[3]) then return -1 end
  local before = redis.call('HGET', key, 'leaving_epoch')
  if not before then return 0 end
  local edge, worker = redis.call('HGET', key, 'leaving_edge'), redis.call('HGET', key, 'leaving_worker')
  local came, served = redis.call('HGET', key, 'edge'), redis.call('HGET', key, 'worker')
  if came ~= edge then redis.call('ZREM', cell .. ':slots:edge:' .. came, id) end
  if served ~= worker then redis.call('ZREM', cell .. ':slots:worker:' .. served, id) end
  redis.call('HSET', key, 'edge', edge, 'worker', worker, 'epoch', before, 'state', 'live', 'reverted', whole(epoch))
  redis.call('HDEL', key, 'leaving_edge', 'leaving_worker', 'leaving_epoch', 'leaving_until', 'leaving_ms')
  bring_room_back(cell, id, redis.call('HGET', key, 'room'), came, edge)
  tell_session(cell, 'moved', id, { from_edge = came, reason = 'reverted' })
  return 1
end

-- order_move: session, epoch, edge that it is to come to, for how long (ms) -> 1 its worker hears of it; 0 it is not live at
-- that epoch, or moves already. Nothing is taken there before its caller comes.
local function order_move(keys, args)
  local cell, id, now = keys[1], args[1], now_ms()
  local key = cell .. ':session:' .. id
  if number_of(redis.call('HGET', key, 'epoch')) ~= tonumber(args[2]) or redis.call('HGET', key, 'state') ~= 'live'
    or still_leaves(key, now) then return 0 end
  local worker = redis.call('HGET', key, 'worker') or ''
  if worker == '' then return 0 end
  redis.call('HSET', key, 'move_to', args[3], 'move_until', whole(now + tonumber(args[4])), 'asked_ms', whole(now))
  redis.call('SADD', cell .. ':asked:' .. worker, id)
  redis.call('PEXPIRE', cell .. ':asked:' .. worker, args[4])
  return 1
end

local LIVE_FIELDS = { 'epoch', 'edge', 'worker', 'agent', 'project', 'evidence', 'networks', 'movable', 'room', 'state',
  'created_ms', 'moved_ms', 'asked_ms', 'move_to', 'move_until', 'leaving_edge', 'leaving_until' }

-- live_calls: cursor (0: begin), about how many are looked at -> the next cursor (0: these were the last), now, then fields
-- of live sessions (JSON), with the edges that one is asked to come to and that it leaves, as long as that may go on. Who comes or goes meanwhile may be missing, or told twice.
local function live_calls(keys, args)
  local cell, now = keys[1], now_ms()
  local found = redis.call('ZSCAN', cell .. ':live', args[1], 'COUNT', args[2])
  local answer = { found[1], now }
  for at = 1, #found[2], 2 do
    local id = found[2][at]
    local values, call = redis.call('HMGET', cell .. ':session:' .. id, unpack(LIVE_FIELDS)), { id = id }
    for i, name in ipairs(LIVE_FIELDS) do call[name] = values[i] or '' end
    if number_of(call.move_until) <= now then call.move_to = '' end
    if number_of(call.leaving_until) <= now then call.leaving_edge = '' end
    if call.state == 'live' and number_of(found[2][at + 1]) > now then
      answer[#answer + 1] = cjson.encode(call)
    end
  end
  return answer
end

redis.register_function('antiphon_revert_@VERSION@', revert)
redis.register_function('antiphon_order_move_@VERSION@', order_move)
redis.register_function({ function_name = 'antiphon_live_calls_@VERSION@', callback = live_calls, flags = { 'no-writes' } })
