-- What workers leave of a session: latency traces of its turns, its agent's checkpoint, word of its recording.

-- note_turns: session, most, keep_ms, then traces (JSON) -> how many are kept. The oldest go.
local function note_turns(keys, args)
  local key = keys[1] .. ':turns:' .. args[1]
  for at = 4, #args do redis.call('RPUSH', key, args[at]) end
  redis.call('LTRIM', key, -tonumber(args[2]), -1)
  redis.call('PEXPIRE', key, args[3])
  return redis.call('LLEN', key)
end

-- Where a session's checkpoint is kept, or that of the agent of its room; nothing where it is in none.
local function checkpoint_key(cell, id, of_room)
  if of_room ~= '1' then return cell .. ':checkpoint:' .. id end
  local room = redis.call('HGET', cell .. ':session:' .. id, 'room') or ''
  return room ~= '' and cell .. ':checkpoint_of:' .. room or nil
end

-- note_checkpoint: session, epoch, keep_ms, text, edge that it has the session from ('': any), after so many takeovers, whether
-- it is of the agent of the session's room (1) -> 1 done, -1 stale or over.
local function note_checkpoint(keys, args)
  local cell, id = keys[1], args[1]
  local key = cell .. ':session:' .. id
  local known, number = number_of(redis.call('HGET', key, 'epoch')), tonumber(args[6])
  if is_others(key, known, tonumber(args[2]), args[5]) then return -1 end
  if redis.call('HGET', key, 'state') == 'ended' then return -1 end
  if known == tonumber(args[2]) then
    local newest = number_of(redis.call('HGET', key, 'takeovers'))
    if newest > number then return -1 end
    if newest < number then redis.call('HSET', key, 'takeovers', whole(number)) end
  end
  local kept = checkpoint_key(cell, id, args[7])
  if not kept then return -1 end
  redis.call('SET', kept, args[4], 'PX', args[3])
  return 1
end

-- checkpoint: session, whether it is that of its room's agent (1) -> text, or nothing.
local function checkpoint(keys, args)
  local kept = checkpoint_key(keys[1], args[1], args[2])
  return kept and redis.call('GET', kept)
end

-- turns: session -> traces (JSON), the oldest first.
local function turns(keys, args)
  return redis.call('LRANGE', keys[1] .. ':turns:' .. args[1], 0, -1)
end

-- note_recording: session, part, what (started, ended, failed), facts (JSON) -> 1 noted and told, 0 the session is not known
-- any more, or this was noted already.
local function note_recording(keys, args)
  local cell, id, part, what = keys[1], args[1], args[2], args[3]
  local key = cell .. ':session:' .. id
  local project = redis.call('HGET', key, 'project')
  if not project or project == '' then return 0 end
  local facts = cjson.decode(args[4])
  local known = redis.call('HGET', key, 'recorded')
  local parts = known and cjson.decode(known) or {}
  if parts[part] and parts[part].told == what then return 0 end
  facts.told = what
  parts[part] = facts
  redis.call('HSET', key, 'recorded', cjson.encode(parts))
  tell(cell, 'recording.' .. what, project, { session = id, part = part, worker = facts.worker,
    reason = facts.reason, complete = what ~= 'started' and facts.state == 'complete' or nil })
  return 1
end

redis.register_function('antiphon_note_recording_@VERSION@', note_recording)
redis.register_function('antiphon_note_turns_@VERSION@', note_turns)
redis.register_function({ function_name = 'antiphon_turns_@VERSION@', callback = turns, flags = { 'no-writes' } })
redis.register_function('antiphon_note_checkpoint_@VERSION@', note_checkpoint)
redis.register_function({ function_name = 'antiphon_checkpoint_@VERSION@', callback = checkpoint, flags = { 'no-writes' } })
