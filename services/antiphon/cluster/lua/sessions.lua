-- A session's record after its claim: its edge and worker hold it, signaling changes it, somebody ends it, all may read it.

-- Its edge has forgotten a session; its worker may hold it for a while, and its caller may come back by another edge.
local function lose(cell, id, edge)
  local key = cell .. ':session:' .. id
  redis.call('ZREM', cell .. ':live', id)
  redis.call('ZREM', cell .. ':live_of:' .. project_of(cell, id), id)
  redis.call('ZREM', cell .. ':slots:edge:' .. edge, id)
  leave_room(cell, id, redis.call('HGET', key, 'room'), 'edge_restarted')
  if redis.call('HGET', key, 'edge') == edge then redis.call('HSET', key, 'outcome', '{"reason":"edge_restarted"}') end
end

local function reason_of(outcome)
  local read, told = pcall(cjson.decode, outcome)
  return read and type(told) == 'table' and told.reason or nil
end

local function finish(cell, id, now, keep, outcome)
  local key = cell .. ':session:' .. id
  free_slots(cell, id, redis.call('HGET', key, 'edge'), redis.call('HGET', key, 'worker'))
  leave_room(cell, id, redis.call('HGET', key, 'room'), reason_of(outcome))
  redis.call('DEL', cell .. ':checkpoint:' .. id)
  if redis.call('HGET', key, 'state') ~= 'ended' then tell_session(cell, 'ended', id, { reason = reason_of(outcome) }) end
  redis.call('HSET', key, 'state', 'ended', 'ended_ms', whole(now), 'outcome', outcome)
  redis.call('ZADD', cell .. ':created', 'NX', whole(now), id)
  note_created(cell, id, now)
  keep_record(cell, id, now, keep)
end

-- Whether another worker has taken the session over; nobody knows of one where the memory was lost.
local function is_served_by_other(key, worker)
  local serves = redis.call('HGET', key, 'worker') or ''
  return serves ~= '' and serves ~= worker
end

-- take_over: session, epoch, edge, worker, number of the takeover in this epoch, slot_ms -> 1 done, 0 unknown, -1 stale.
-- The session's owner, an edge at an epoch, has given it to another worker; a member's room has that one from now on.
local function take_over(keys, args)
  local cell, id, epoch, worker, number = keys[1], args[1], tonumber(args[2]), args[4], tonumber(args[5])
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known == 0 then return 0 end
  if known ~= epoch or is_others(key, known, epoch, args[3]) then return -1 end
  if redis.call('HGET', key, 'state') == 'ended' or number_of(redis.call('HGET', key, 'takeovers')) > number then return -1 end
  local before = redis.call('HGET', key, 'worker') or ''
  redis.call('HSET', key, 'worker', worker, 'takeovers', whole(number))
  if before ~= worker then
    if before ~= '' then redis.call('ZREM', cell .. ':slots:worker:' .. before, id) end
    tell_session(cell, 'moved', id, { from_worker = before, worker = worker, reason = 'worker_lost' })
  end
  take_slots(cell, id, nil, worker, now_ms() + tonumber(args[6]))
  serve_room(cell, redis.call('HGET', key, 'room'), args[3], worker)
  return 1
end

-- hold: kind, id, region, slot_ms, keep_ms, then session and epoch by turns -> sessions that the member must let go.
-- An edge's word restores records that the memory has lost; a worker's only counts its load.
local function hold(keys, args)
  local cell, kind, member, region = keys[1], args[1], args[2], args[3]
  local slot, keep, now = tonumber(args[4]), tonumber(args[5]), now_ms()
  local stale, newest, here = {}, 0, kind == 'worker' or is_here(cell, member)
  for i = 6, #args, 2 do
    local id, epoch = args[i], tonumber(args[i + 1])
    local key = cell .. ':session:' .. id
    local known = number_of(redis.call('HGET', key, 'epoch'))
    newest = math.max(newest, epoch)
    if known > epoch and number_of(redis.call('HGET', key, 'leaving_epoch')) == epoch and still_leaves(key, now) then
      if here then redis.call('ZADD', cell .. ':slots:' .. kind .. ':' .. member, whole(now + slot), id) end
    elseif is_others(key, known, epoch, kind == 'edge' and member or '')
      or epoch == number_of(redis.call('HGET', key, 'reverted'))
      or (known == epoch and redis.call('HGET', key, 'state') == 'ended') then
      stale[#stale + 1] = id
    elseif kind == 'worker' and known == epoch and is_served_by_other(key, member) then
      stale[#stale + 1] = id
    elseif kind == 'worker' then
      take_slots(cell, id, nil, member, now + slot)
      if known == epoch then redis.call('HSET', key, 'worker', member) end
    else
      if known == 0 then
        redis.call('HSET', key, 'id', id, 'region', region, 'created_ms', whole(now), 'restored', '1')
        redis.call('ZADD', cell .. ':created', whole(now), id)
        note_created(cell, id, now)
      end
      local was = redis.call('HGET', key, 'state')
      redis.call('HSET', key, 'state', 'live', 'epoch', whole(epoch), 'edge', member)
      if was ~= 'live' then tell_session(cell, 'live', id) end
      take_slots(cell, id, here and member or nil, redis.call('HGET', key, 'worker'), now + slot)
      local room = redis.call('HGET', key, 'room')
      stay_in_room(cell, id, room, now + slot)
      tell_joined(cell, id, room)
      keep_record(cell, id, now, keep)
    end
  end
  note_epoch(cell, newest)
  return stale
end

-- update: session, epoch, edge ('': any), then fields by turns -> 1 done, 0 unknown, -1 stale. One that has ended stays ended.
local function update(keys, args)
  local key, epoch = keys[1] .. ':session:' .. args[1], tonumber(args[2])
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known == 0 then return 0 end
  if known ~= epoch or is_others(key, known, epoch, args[3]) then return -1 end
  local state, before = redis.call('HGET', key, 'state'), project_of(keys[1], args[1])
  local ended = state == 'ended'
  for i = 4, #args, 2 do
    if not (ended and args[i] == 'state') then redis.call('HSET', key, args[i], args[i + 1]) end
  end
  if project_of(keys[1], args[1]) ~= before then change_project(keys[1], args[1], before) end
  if not ended and state ~= 'live' and redis.call('HGET', key, 'state') == 'live' then
    tell_session(keys[1], 'live', args[1])
    tell_joined(keys[1], args[1], redis.call('HGET', key, 'room'))
  end
  return 1
end

-- release: session, epoch, ttl_ms, outcome (JSON), amend (0: an ended session keeps its outcome), lost (1: its caller may
-- come back), edge ('': any) -> 1 done, -1 stale.
-- What the memory has lost is written anew.
local function release(keys, args)
  local cell, id, epoch, now = keys[1], args[1], tonumber(args[2]), now_ms()
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if is_others(key, known, epoch, args[7]) then
    if number_of(redis.call('HGET', key, 'leaving_epoch')) == epoch then
      redis.call('ZREM', cell .. ':slots:edge:' .. redis.call('HGET', key, 'leaving_edge'), id)
    end
    return -1
  end
  if number_of(redis.call('HGET', key, 'reverted')) == epoch then return -1 end
  if known == epoch and args[5] == '0' and redis.call('HGET', key, 'state') == 'ended' then return 1 end
  if known == 0 then redis.call('HSET', key, 'id', id, 'created_ms', whole(now), 'restored', '1') end
  redis.call('HSET', key, 'epoch', whole(epoch))
  if args[6] == '1' then
    free_slots(cell, id, redis.call('HGET', key, 'edge'), redis.call('HGET', key, 'worker'))
    leave_room(cell, id, redis.call('HGET', key, 'room'), reason_of(args[4]))
    redis.call('HSET', key, 'state', 'live', 'outcome', args[4])
    redis.call('ZADD', cell .. ':created', 'NX', whole(now), id)
    note_created(cell, id, now)
    keep_record(cell, id, now, tonumber(args[3]))
    return 1
  end
  finish(cell, id, now, tonumber(args[3]), args[4])
  return 1
end

local function read(cell, id, now)
  local flat = redis.call('HGETALL', cell .. ':session:' .. id)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.state ~= 'ended' and number_of(redis.call('ZSCORE', cell .. ':live', id)) <= now then
    record.state = 'lost'
  end
  if number_of(record.move_until) <= now then record.move_to = nil end
  return record
end

-- session: id -> JSON, or nothing.
local function session(keys, args)
  local record = read(keys[1], args[1], now_ms())
  return record and cjson.encode(record)
end

redis.register_function('antiphon_hold_@VERSION@', hold)
redis.register_function('antiphon_take_over_@VERSION@', take_over)
redis.register_function('antiphon_update_@VERSION@', update)
redis.register_function('antiphon_release_@VERSION@', release)
redis.register_function({ function_name = 'antiphon_session_@VERSION@', callback = session, flags = { 'no-writes' } })
