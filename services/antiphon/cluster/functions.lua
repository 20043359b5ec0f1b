#!lua name=antiphon_@VERSION@
-- What must happen at once in the cluster's memory. Every key hangs from KEYS[1], the cell's prefix, whose hash tag keeps
-- a cell in one slot. Time is the server's: no other clock decides who owns what.
--
--   <cell>:born                 when this memory began; a new value tells members that it was lost
--   <cell>:members:<kind>       id -> record (JSON); kind is edge or worker
--   <cell>:leases:<kind>        id by expiry (ms)
--   <cell>:instances:<kind>     id -> which start of that member is the current one
--   <cell>:reported:<kind>      id -> sessions that it says it has
--   <cell>:slots:<kind>:<id>    its sessions by expiry (ms)
--   <cell>:session:<id>         the session's record
--   <cell>:turns:<id>           latency traces of its turns (JSON), the oldest first
--   <cell>:live                 sessions by expiry of their slot (ms)
--   <cell>:created, :expiry     sessions by creation, and by when their record goes (ms)
--   <cell>:room:<name>          a room's edge, worker and agent, which its first member settles
--   <cell>:members_of:<name>    its sessions by expiry (ms): with the last of them the room is over
--   <cell>:rooms                rooms by expiry (ms)
--   <cell>:request:<key>        answer to a claim, for a while, so that a repeated claim is one claim
--   <cell>:changes              channel: a member came, changed or left

local REQUEST_MS = 60000
local FORGET_MEMBER_MS = 60000

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(number)
  return string.format('%.0f', number)
end

local function number_of(reply)
  return tonumber(reply or 0) or 0
end

local function alive(cell, kind, id, now)
  return number_of(redis.call('ZSCORE', cell .. ':leases:' .. kind, id)) > now
end

local function announce(cell, kind, id)
  redis.call('PUBLISH', cell .. ':changes', kind .. ' ' .. id)
end

local function take_slots(cell, id, edge, worker, expiry)
  redis.call('ZADD', cell .. ':live', whole(expiry), id)
  if edge then redis.call('ZADD', cell .. ':slots:edge:' .. edge, whole(expiry), id) end
  if worker and worker ~= '' then redis.call('ZADD', cell .. ':slots:worker:' .. worker, whole(expiry), id) end
end

local function free_slots(cell, id, edge, worker)
  redis.call('ZREM', cell .. ':live', id)
  if edge then redis.call('ZREM', cell .. ':slots:edge:' .. edge, id) end
  if worker then redis.call('ZREM', cell .. ':slots:worker:' .. worker, id) end
end

local function stay_in_room(cell, id, room, expiry)
  if not room or room == '' then return end
  redis.call('ZADD', cell .. ':members_of:' .. room, whole(expiry), id)
  redis.call('ZADD', cell .. ':rooms', 'GT', whole(expiry), room)
end

local function leave_room(cell, id, room)
  if not room or room == '' then return end
  redis.call('ZREM', cell .. ':members_of:' .. room, id)
end

-- Edge, worker and agent of a room that has members, or nothing: it is over, or its edge or worker is.
local function room_of(cell, room, now)
  local key, members = cell .. ':room:' .. room, cell .. ':members_of:' .. room
  redis.call('ZREMRANGEBYSCORE', members, '-inf', whole(now))
  local edge = redis.call('HGET', key, 'edge')
  local worker = redis.call('HGET', key, 'worker') or ''
  local lives = edge and redis.call('ZCARD', members) > 0 and alive(cell, 'edge', edge, now)
    and (worker == '' or alive(cell, 'worker', worker, now))
  if not lives then
    redis.call('DEL', key)
    redis.call('ZREM', cell .. ':rooms', room)
    return nil
  end
  return { name = room, edge = edge, worker = worker, agent = redis.call('HGET', key, 'agent') or '',
    region = redis.call('HGET', key, 'region') or '', sessions = redis.call('ZRANGE', members, 0, -1) }
end

local function keep_record(cell, id, now, keep)
  redis.call('PEXPIRE', cell .. ':session:' .. id, whole(keep))
  redis.call('ZADD', cell .. ':expiry', whole(now + keep), id)
end

local function prune(cell, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':expiry', '-inf', whole(now), 'LIMIT', 0, 8)) do
    redis.call('ZREM', cell .. ':expiry', id)
    redis.call('ZREM', cell .. ':created', id)
  end
  redis.call('ZREMRANGEBYSCORE', cell .. ':live', '-inf', whole(now))
end

local function finish(cell, id, now, keep, outcome)
  local key = cell .. ':session:' .. id
  free_slots(cell, id, redis.call('HGET', key, 'edge'), redis.call('HGET', key, 'worker'))
  leave_room(cell, id, redis.call('HGET', key, 'room'))
  redis.call('HSET', key, 'state', 'ended', 'ended_ms', whole(now), 'outcome', outcome)
  redis.call('ZADD', cell .. ':created', 'NX', whole(now), id)
  keep_record(cell, id, now, keep)
end

-- renew: kind, id, record, sessions, lease_ms, instance (0 at a member's start), keep_ms
-- -> the instance to go on with, or 0: another start of this member has the lease.
local function renew(keys, args)
  local cell, kind, id, record = keys[1], args[1], args[2], args[3]
  local lease, instance, now = tonumber(args[5]), tonumber(args[6]), now_ms()
  local known = number_of(redis.call('HGET', cell .. ':instances:' .. kind, id))
  local held = alive(cell, kind, id, now)
  if instance == 0 then
    instance = math.max(known + 1, now)
    if kind == 'edge' then -- the sessions of an earlier start died with it
      for _, session in ipairs(redis.call('ZRANGE', cell .. ':slots:edge:' .. id, 0, -1)) do
        finish(cell, session, now, tonumber(args[7]), '{"reason":"edge_restarted"}')
      end
    end
  elseif instance < known and held then
    return 0
  end
  redis.call('SET', cell .. ':born', whole(now), 'NX')
  local before = redis.call('HGET', cell .. ':members:' .. kind, id)
  redis.call('HSET', cell .. ':members:' .. kind, id, record)
  redis.call('HSET', cell .. ':instances:' .. kind, id, whole(instance))
  redis.call('HSET', cell .. ':reported:' .. kind, id, args[4])
  redis.call('ZADD', cell .. ':leases:' .. kind, whole(now + lease), id)
  if before ~= record or not held then announce(cell, kind, id) end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':leases:' .. kind, '-inf', whole(now - FORGET_MEMBER_MS),
      'LIMIT', 0, 8)) do
    redis.call('ZREM', cell .. ':leases:' .. kind, gone)
    redis.call('HDEL', cell .. ':members:' .. kind, gone)
    redis.call('HDEL', cell .. ':reported:' .. kind, gone)
    redis.call('DEL', cell .. ':slots:' .. kind .. ':' .. gone)
  end
  return instance
end

-- leave: kind, id, instance
local function leave(keys, args)
  local cell, kind, id = keys[1], args[1], args[2]
  if number_of(redis.call('HGET', cell .. ':instances:' .. kind, id)) ~= tonumber(args[3]) then return 0 end
  redis.call('ZREM', cell .. ':leases:' .. kind, id)
  redis.call('HDEL', cell .. ':members:' .. kind, id)
  redis.call('HDEL', cell .. ':instances:' .. kind, id)
  redis.call('HDEL', cell .. ':reported:' .. kind, id)
  announce(cell, kind, id)
  return 1
end

-- hold: kind, id, region, slot_ms, keep_ms, then session and epoch by turns -> sessions that the member must let go.
-- An edge's word restores records that the memory has lost; a worker's only counts its load.
local function hold(keys, args)
  local cell, kind, member, region = keys[1], args[1], args[2], args[3]
  local slot, keep, now = tonumber(args[4]), tonumber(args[5]), now_ms()
  local stale = {}
  for i = 6, #args, 2 do
    local id, epoch = args[i], tonumber(args[i + 1])
    local key = cell .. ':session:' .. id
    local known = number_of(redis.call('HGET', key, 'epoch'))
    if known > epoch or (known == epoch and redis.call('HGET', key, 'state') == 'ended') then
      stale[#stale + 1] = id
    elseif kind == 'worker' then
      take_slots(cell, id, nil, member, now + slot)
      if known == epoch then redis.call('HSET', key, 'worker', member) end
    else
      if known == 0 then
        redis.call('HSET', key, 'id', id, 'region', region, 'created_ms', whole(now), 'restored', '1')
        redis.call('ZADD', cell .. ':created', whole(now), id)
      end
      redis.call('HSET', key, 'state', 'live', 'epoch', whole(epoch), 'edge', member)
      take_slots(cell, id, member, redis.call('HGET', key, 'worker'), now + slot)
      stay_in_room(cell, id, redis.call('HGET', key, 'room'), now + slot)
      keep_record(cell, id, now, keep)
    end
  end
  return stale
end

-- The first of the candidates that is live and has room; why each one before it was passed over.
local function first_with_room(cell, kind, candidates, agent, now, refused)
  for _, id in ipairs(candidates) do
    local record = redis.call('HGET', cell .. ':members:' .. kind, id)
    local slots = cell .. ':slots:' .. kind .. ':' .. id
    redis.call('ZREMRANGEBYSCORE', slots, '-inf', whole(now))
    local member = record and alive(cell, kind, id, now) and cjson.decode(record)
    local why
    if not member then
      why = 'gone'
    elseif member.draining then
      why = 'draining'
    elseif redis.call('ZCARD', slots) >= member.capacity then
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

-- Whether a room is where the claim would have it, or was settled otherwise by another first member meanwhile.
local function room_agrees(settled, edges, workers, agent)
  if not settled then return true end
  return #edges == 1 and edges[1] == settled.edge and settled.agent == agent
    and (settled.worker == '' or #workers == 0 or (#workers == 1 and workers[1] == settled.worker))
end

-- claim: request, session, previous epoch (0: a new session), agent ('': none, and no worker), slot_ms, keep_ms,
-- edges (JSON), workers (JSON), then fields of the record by turns
-- -> JSON: outcome (claimed, no_edge, no_worker, taken, room_settled), epoch, edge, worker, refused.
local function claim(keys, args)
  local cell, request, id = keys[1], keys[1] .. ':request:' .. args[1], args[2]
  local previous, agent, slot, keep = tonumber(args[3]), args[4], tonumber(args[5]), tonumber(args[6])
  local answered = redis.call('GET', request)
  if answered then return answered end
  local now, refused = now_ms(), {}
  prune(cell, now)
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known ~= 0 and known ~= previous then return cjson.encode({ outcome = 'taken', epoch = known }) end
  if known ~= 0 then free_slots(cell, id, redis.call('HGET', key, 'edge'), redis.call('HGET', key, 'worker')) end
  local edges, workers, room = cjson.decode(args[7]), cjson.decode(args[8]), field(args, 9, 'room')
  local settled = room ~= '' and room_of(cell, room, now)
  if settled and not room_agrees(settled, edges, workers, agent) then
    return cjson.encode({ outcome = 'room_settled', refused = refused })
  end
  local edge, edge_record = first_with_room(cell, 'edge', edges, agent, now, refused)
  local worker, worker_record = '', nil
  if agent ~= '' then worker, worker_record = first_with_room(cell, 'worker', workers, agent, now, refused) end
  if not edge then return cjson.encode({ outcome = 'no_edge', refused = refused }) end
  if not worker then return cjson.encode({ outcome = 'no_worker', refused = refused }) end
  local epoch = math.max(known + 1, previous + 1, now)
  redis.call('HSET', key, 'id', id, 'epoch', whole(epoch), 'state', 'claimed', 'edge', edge, 'worker', worker,
    'agent', agent, 'region', cjson.decode(edge_record).region)
  redis.call('HSETNX', key, 'created_ms', whole(now))
  for i = 9, #args, 2 do redis.call('HSET', key, args[i], args[i + 1]) end
  redis.call('ZADD', cell .. ':created', 'NX', whole(now), id)
  take_slots(cell, id, edge, worker, now + slot)
  if room ~= '' and not settled then
    redis.call('HSET', cell .. ':room:' .. room, 'edge', edge, 'worker', worker, 'agent', agent, 'region',
      cjson.decode(edge_record).region)
  end
  stay_in_room(cell, id, room, now + slot)
  keep_record(cell, id, now, keep)
  local answer = cjson.encode({ outcome = 'claimed', epoch = epoch, edge = edge_record, worker = worker_record,
    refused = refused })
  redis.call('SET', request, answer, 'PX', REQUEST_MS)
  return answer
end

-- update: session, epoch, then fields by turns -> 1 done, 0 unknown, -1 stale. One that has ended stays ended.
local function update(keys, args)
  local key, epoch = keys[1] .. ':session:' .. args[1], tonumber(args[2])
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known == 0 then return 0 end
  if known ~= epoch then return -1 end
  local ended = redis.call('HGET', key, 'state') == 'ended'
  for i = 3, #args, 2 do
    if not (ended and args[i] == 'state') then redis.call('HSET', key, args[i], args[i + 1]) end
  end
  return 1
end

-- release: session, epoch, ttl_ms, outcome (JSON), amend (0: an ended session keeps its outcome) -> 1 done, -1 stale.
-- What the memory has lost is written anew.
local function release(keys, args)
  local cell, id, epoch, now = keys[1], args[1], tonumber(args[2]), now_ms()
  local key = cell .. ':session:' .. id
  local known = number_of(redis.call('HGET', key, 'epoch'))
  if known > epoch then return -1 end
  if known == epoch and args[5] == '0' and redis.call('HGET', key, 'state') == 'ended' then return 1 end
  if known == 0 then redis.call('HSET', key, 'id', id, 'created_ms', whole(now), 'restored', '1') end
  redis.call('HSET', key, 'epoch', whole(epoch))
  finish(cell, id, now, tonumber(args[3]), args[4])
  return 1
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
  redis.call('ZREMRANGEBYSCORE', cell .. ':rooms', '-inf', whole(now))
  table.sort(names)
  for _, name in ipairs(names) do
    local found = room_of(cell, name, now)
    if found then list[#list + 1] = cjson.encode(found) end
  end
  return list
end

-- members -> JSON: born, and for each kind a list of {record, sessions}.
local function members(keys)
  local cell, now = keys[1], now_ms()
  local answer = { born = redis.call('GET', cell .. ':born') or '0' }
  for _, kind in ipairs({ 'edge', 'worker' }) do
    local list = {}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':leases:' .. kind, '(' .. whole(now), '+inf')) do
      local record = redis.call('HGET', cell .. ':members:' .. kind, id)
      local slots = redis.call('ZCOUNT', cell .. ':slots:' .. kind .. ':' .. id, '(' .. whole(now), '+inf')
      local reported = number_of(redis.call('HGET', cell .. ':reported:' .. kind, id))
      if record then list[#list + 1] = { record = record, sessions = math.max(slots, reported) } end
    end
    answer[kind] = list
  end
  return cjson.encode(answer)
end

local function read(cell, id, now)
  local flat = redis.call('HGETALL', cell .. ':session:' .. id)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.state ~= 'ended' and number_of(redis.call('ZSCORE', cell .. ':live', id)) <= now then
    record.state = 'lost'
  end
  return record
end

-- session: id -> JSON, or nothing.
local function session(keys, args)
  local record = read(keys[1], args[1], now_ms())
  return record and cjson.encode(record)
end

-- Ids of live sessions, newest first.
local function newest_live(cell, now)
  local ids, created = redis.call('ZRANGEBYSCORE', cell .. ':live', '(' .. whole(now), '+inf'), {}
  for _, id in ipairs(ids) do created[id] = number_of(redis.call('ZSCORE', cell .. ':created', id)) end
  table.sort(ids, function(a, b) return created[a] > created[b] end)
  return ids
end

-- sessions: live (1: only those), limit -> list of JSON, newest first.
local function sessions(keys, args)
  local cell, now, limit, list = keys[1], now_ms(), tonumber(args[2]), {}
  local ids = args[1] == '1' and newest_live(cell, now) or redis.call('ZREVRANGE', cell .. ':created', 0, 2 * limit)
  for _, id in ipairs(ids) do
    local record = #list < limit and read(cell, id, now)
    if record then list[#list + 1] = cjson.encode(record) end
  end
  return list
end

-- note_turns: session, most, keep_ms, then traces (JSON) -> how many are kept. The oldest go.
local function note_turns(keys, args)
  local key = keys[1] .. ':turns:' .. args[1]
  for at = 4, #args do redis.call('RPUSH', key, args[at]) end
  redis.call('LTRIM', key, -tonumber(args[2]), -1)
  redis.call('PEXPIRE', key, args[3])
  return redis.call('LLEN', key)
end

-- turns: session -> traces (JSON), the oldest first.
local function turns(keys, args)
  return redis.call('LRANGE', keys[1] .. ':turns:' .. args[1], 0, -1)
end

redis.register_function('antiphon_note_turns_@VERSION@', note_turns)
redis.register_function({ function_name = 'antiphon_turns_@VERSION@', callback = turns, flags = { 'no-writes' } })
redis.register_function('antiphon_renew_@VERSION@', renew)
redis.register_function('antiphon_leave_@VERSION@', leave)
redis.register_function('antiphon_hold_@VERSION@', hold)
redis.register_function('antiphon_claim_@VERSION@', claim)
redis.register_function('antiphon_update_@VERSION@', update)
redis.register_function('antiphon_release_@VERSION@', release)
redis.register_function('antiphon_room_@VERSION@', room)
redis.register_function('antiphon_rooms_@VERSION@', rooms)
redis.register_function({ function_name = 'antiphon_members_@VERSION@', callback = members, flags = { 'no-writes' } })
redis.register_function({ function_name = 'antiphon_session_@VERSION@', callback = session, flags = { 'no-writes' } })
redis.register_function({ function_name = 'antiphon_sessions_@VERSION@', callback = sessions, flags = { 'no-writes' } })
