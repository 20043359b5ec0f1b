-- A project's sessions, the newest first, a page at a time.

local MOST_LOOKED_AT = 2000 -- for one page: Redis does nothing else meanwhile

-- Ids of a project's live sessions, the newest first; created at one moment, by id.
local function newest_live(cell, project, now)
  local ids, created = redis.call('ZRANGEBYSCORE', cell .. ':live_of:' .. project, '(' .. whole(now), '+inf'), {}
  for _, id in ipairs(ids) do created[id] = number_of(redis.call('ZSCORE', cell .. ':created', id)) end
  table.sort(ids, function(a, b) return created[a] > created[b] or (created[a] == created[b] and a > b) end)
  return ids, created
end

-- The live ones that come after one of a page before, which may have ended since.
local function live_after(cell, project, after_ms, after, now)
  local ids, created = newest_live(cell, project, now)
  if after == '' then return ids end
  local rest = {}
  for _, id in ipairs(ids) do
    if created[id] < after_ms or (created[id] == after_ms and id < after) then rest[#rest + 1] = id end
  end
  return rest
end

-- All of them that do, as many as may be looked at and one more. The last one need not be here: its record may have expired,
-- or be another cell's.
local function all_after(cell, project, after_ms, after)
  local key, from = cell .. ':created_of:' .. project, 0
  if after ~= '' then
    local rank = redis.call('ZREVRANK', key, after)
    from = rank and rank + 1 or redis.call('ZCOUNT', key, '(' .. whole(after_ms), '+inf')
    for _, id in ipairs(rank and {} or redis.call('ZRANGEBYSCORE', key, whole(after_ms), whole(after_ms))) do
      if id >= after then from = from + 1 end
    end
  end
  return redis.call('ZREVRANGE', key, from, from + MOST_LOOKED_AT)
end

local function state_of(cell, id, noted, now)
  return noted ~= 'ended' and number_of(redis.call('ZSCORE', cell .. ':live', id)) <= now and 'lost' or noted
end

local function has(cell, id, names, wanted, now)
  if #names == 0 then return true end
  local found = redis.call('HMGET', cell .. ':session:' .. id, unpack(names))
  for i, name in ipairs(names) do
    local value = found[i] or ''
    if name == 'state' then value = state_of(cell, id, value, now) end
    if value ~= wanted[i] then return false end
  end
  return true
end

-- sessions: live (1: only those), limit, project, when the session to go on after was created (ms) and its id ('': begin),
-- then fields and what they must be, by turns -> the same two of the next page, with a space between ('': there is none),
-- then records (JSON). A page may be short of its limit and have a next one: it has looked at as many as it may.
local function sessions(keys, args)
  local cell, now, limit, project = keys[1], now_ms(), tonumber(args[2]), args[3]
  local after_ms, after, names, wanted = number_of(args[4]), args[5], {}, {}
  for i = 6, #args, 2 do
    names[#names + 1], wanted[#wanted + 1] = args[i], args[i + 1]
  end
  local ids = args[1] == '1' and live_after(cell, project, after_ms, after, now)
    or all_after(cell, project, after_ms, after)
  local answer, last = { '' }, ''
  for at, id in ipairs(ids) do
    if #answer > limit or at > MOST_LOOKED_AT then
      answer[1] = last
      break
    end
    local record = has(cell, id, names, wanted, now) and read(cell, id, now)
    if record then answer[#answer + 1] = cjson.encode(record) end
    last = id
  end
  if answer[1] ~= '' then
    local key = args[1] == '1' and cell .. ':created' or cell .. ':created_of:' .. project
    answer[1] = whole(number_of(redis.call('ZSCORE', key, answer[1]))) .. ' ' .. answer[1]
  end
  return answer
end

redis.register_function({ function_name = 'antiphon_sessions_@VERSION@', callback = sessions, flags = { 'no-writes' } })
