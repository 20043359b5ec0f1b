-- A place for a session: a slot at one edge and one worker, taken at once or not at all.

local REQUEST_MS = 60000

-- The first of the candidates that is live and has room; why each one before it was passed over. A session that has a
-- place at one of them needs no other, and may stay at its worker (`stays`) though that drains. `places` is how many it takes
-- there, if more than one: those of all its room.
local function first_with_room(cell, kind, candidates, agent, now, refused, session, stays, places)
  for _, id in ipairs(candidates) do
    local record = redis.call('HGET', cell .. ':members:' .. kind, id)
    local slots = cell .. ':slots:' .. kind .. ':' .. id
    redis.call('ZREMRANGEBYSCORE', slots, '-inf', whole(now))
    local member = record and alive(cell, kind, id, now) and cjson.decode(record)
    local taken = redis.call('ZCARD', slots) + number_of(redis.call('HGET', cell .. ':elsewhere:' .. kind, id))
    if redis.call('ZSCORE', slots, session) then taken = taken - 1 end
    local why
    if not member then
      why = 'gone'
    elseif id ~= stays and (member.draining or redis.call('HEXISTS', cell .. ':drains:' .. kind, id) == 1) then
      why = 'draining'
    elseif taken + (places or 1) > member.capacity then
      why = 'full: ' .. kind .. '.capacity is ' .. whole(member.capacity)
    elseif kind == 'worker' then
      why = 'lacks the agent'
      for _, name in ipairs(member.agents) do
        if name == agent then why = nil end
      end
    end
    if not why then return id, record end
    refused[id] = why
  end
  return nil
end

local function field(args, from, name)
  for i = from, #args, 2 do
    if args[i] == name then return args[i + 1] end
  end
  return ''
end

local function over_quota(cell, project, quota, now)
  if quota == '' then return false end
  local live = cell .. ':live_of:' .. (project ~= '' and project or 'default')
  redis.call('ZREMRANGEBYSCORE', live, '-inf', whole(now))
  return redis.call('ZCARD', live) >= tonumber(quota)
end

-- Whether a room is where the claim would have it, or was settled otherwise by another first member meanwhile. A claim that
-- takes the room along (`leaves`: the edge that it leaves) goes anywhere else, if the room is still there.
local function room_agrees(settled, edges, workers, agent, leaves)
  if not settled then return true end
  local edge_agrees = settled.edge == leaves
  if leaves == '' then edge_agrees = #edges == 1 and edges[1] == settled.edge end
  return edge_agrees and settled.agent == agent
    and (settled.worker == '' or #workers == 0 or (#workers == 1 and workers[1] == settled.worker))
end

-- claim: request, session, previous epoch (0: a new session), agent ('': none, and no worker), slot_ms, keep_ms,
-- edges (JSON), workers (JSON), for how long (ms) a session that moves may be at both edges, the newest epoch that the
-- asking node knows of, an edge of another cell that has a slot for the session already (JSON, '': one of these edges),
-- the edge that its room leaves with it ('': it goes where the room is), then fields of the record by turns
-- -> JSON: outcome (claimed, no_edge, no_worker, taken, ended, room_settled, over_quota), epoch, edge, worker, refused.
local function claim(keys, args)
  local cell, request, id = keys[1], keys[1] .. ':request:' .. args[1], args[2]
  local previous, agent, slot, keep = tonumber(args[3]), args[4], tonumber(args[5]), tonumber(args[6])
  local answered = redis.call('GET', request)
  if answered then return answered end
  local now, refused = now_ms(), {}
  prune(cell, now)
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known ~= 0 and known ~= previous then return cjson.encode({ outcome = 'taken', epoch = whole(known) }) end
  if known ~= 0 and redis.call('HGET', key, 'state') == 'ended' then return cjson.encode({ outcome = 'ended' }) end
  local left_edge = known ~= 0 and redis.call('HGET', key, 'edge') or ''
  local left_worker = known ~= 0 and redis.call('HGET', key, 'worker') or ''
  if known == 0 and over_quota(cell, field(args, 13, 'project'), field(args, 13, 'quota'), now) then
    return cjson.encode({ outcome = 'over_quota' })
  end
  local edges, workers, room = cjson.decode(args[7]), cjson.decode(args[8]), field(args, 13, 'room')
  local settled = room ~= '' and room_of(cell, room, now)
  local leaves = settled and args[12] or ''
  if settled and not room_agrees(settled, edges, workers, agent, leaves) then
    return cjson.encode({ outcome = 'room_settled', refused = refused })
  end
  local edge, edge_record, outside = nil, args[11], args[11] ~= ''
  if outside then
    edge = cjson.decode(edge_record).id
  else
    local places = leaves ~= '' and math.max(1, #settled.sessions) or 1
    edge, edge_record = first_with_room(cell, 'edge', edges, agent, now, refused, id, '', places)
  end
  local worker, worker_record = '', nil
  if agent ~= '' then
    worker, worker_record = first_with_room(cell, 'worker', workers, agent, now, refused, id, left_worker)
  end
  if not edge then return cjson.encode({ outcome = 'no_edge', refused = refused }) end
  if not worker then return cjson.encode({ outcome = 'no_worker', refused = refused }) end
  local newest = math.max(tonumber(args[10]), number_of(redis.call('GET', cell .. ':epoch')))
  local epoch = math.max(known + 1, previous + 1, number_of(redis.call('HGET', key, 'reverted')) + 1, newest + 1, now)
  note_epoch(cell, epoch)
  local asked = false
  if known ~= 0 then
    if left_worker ~= worker then redis.call('ZREM', cell .. ':slots:worker:' .. left_worker, id) end
    redis.call('HSET', key, 'leaving_edge', left_edge, 'leaving_worker', left_worker, 'leaving_epoch', whole(known),
      'leaving_until', whole(now + tonumber(args[9])), 'leaving_ms', args[9])
    asked = redis.call('HGET', key, 'move_to') == edge and number_of(redis.call('HGET', key, 'move_until')) > now
    redis.call('HDEL', key, 'outcome', 'takeovers', 'move_to', 'move_until')
    redis.call('HSET', key, 'moved_ms', whole(now))
  end
  redis.call('HSET', key, 'id', id, 'epoch', whole(epoch), 'state', 'claimed', 'edge', edge, 'worker', worker,
    'agent', agent, 'region', cjson.decode(edge_record).region)
  redis.call('HSETNX', key, 'created_ms', whole(now))
  for i = 13, #args, 2 do redis.call('HSET', key, args[i], args[i + 1]) end
  redis.call('ZADD', cell .. ':created', 'NX', whole(now), id)
  note_created(cell, id, now)
  take_slots(cell, id, not outside and edge or nil, worker, now + slot)
  if room ~= '' and (not settled or leaves ~= '') then
    redis.call('HSET', cell .. ':room:' .. room, 'edge', edge, 'worker', worker, 'agent', agent, 'region',
      cjson.decode(edge_record).region)
  end
  stay_in_room(cell, id, room, now + slot)
  keep_record(cell, id, now, keep)
  tell_session(cell, known == 0 and 'created' or 'moved', id, { from_edge = known ~= 0 and left_edge or nil,
    reason = asked and 'rebalance' or nil })
  local answer = cjson.encode({ outcome = 'claimed', epoch = whole(epoch), edge = edge_record, worker = worker_record,
    refused = refused })
  redis.call('SET', request, answer, 'PX', REQUEST_MS)
  return answer
end

-- adopt: session, epoch, edge, worker, region, slot_ms, keep_ms, created_ms, then fields of the record by turns -> 1 done,
-- -1 stale. A claim that was made without this memory: its edge may have told of it by now, or of its end.
local function adopt(keys, args)
  local cell, id, epoch, edge, worker = keys[1], args[1], tonumber(args[2]), args[3], args[4]
  local key, now, before = cell .. ':session:' .. id, now_ms(), project_of(cell, id)
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known ~= 0 and (known ~= epoch or is_others(key, known, epoch, edge)) then return -1 end
  if known == 0 then redis.call('HSET', key, 'id', id, 'epoch', args[2], 'state', 'claimed') end
  if number_of(redis.call('HGET', key, 'takeovers')) > 0 then worker = redis.call('HGET', key, 'worker') end
  redis.call('HSET', key, 'edge', edge, 'worker', worker, 'region', args[5], 'created_ms', args[8])
  for i = 9, #args, 2 do redis.call('HSET', key, args[i], args[i + 1]) end
  redis.call('HDEL', key, 'restored')
  note_epoch(cell, epoch)
  if known ~= 0 and project_of(cell, id) ~= before then change_project(cell, id, before) end
  redis.call('ZADD', cell .. ':created', 'NX', args[8], id)
  if known == 0 then
    note_created(cell, id, tonumber(args[8]))
    take_slots(cell, id, edge, worker, now + tonumber(args[6]))
  end
  if redis.call('HGET', key, 'state') ~= 'ended' then tell_session(cell, 'created', id) end
  keep_record(cell, id, now, tonumber(args[7]))
  return 1
end

redis.register_function('antiphon_adopt_@VERSION@', adopt)
redis.register_function('antiphon_claim_@VERSION@', claim)
