-- Slots of sessions at edges and workers, a project's list of its sessions, and for how long records stay.

-- Sessions that the memory has lost and an edge told of anew are kept with the default project's, but are not its own.
local function project_of(cell, id)
  return redis.call('HGET', cell .. ':session:' .. id, 'project') or 'default'
end

-- A session's owner is an edge at an epoch. Servers whose clocks differ may give an epoch twice where a failover lost the
-- first: then the edge tells the owners apart. Where either is not known ('') the epoch alone decides.
local function is_others(key, known, epoch, edge)
  if known ~= epoch then return known > epoch end
  local owner = redis.call('HGET', key, 'edge') or ''
  return edge ~= '' and owner ~= '' and owner ~= edge
end

-- What edges tell is remembered too, so that no epoch is given that a memory before this one gave.
local function note_epoch(cell, epoch)
  if epoch > number_of(redis.call('GET', cell .. ':epoch')) then redis.call('SET', cell .. ':epoch', whole(epoch)) end
end

-- Whether a session that moves may still be where it leaves: for as long as its claim gave it, and not for longer where the
-- clock was set back since, as by a failover.
local function still_leaves(key, now)
  local till, most = unpack(redis.call('HMGET', key, 'leaving_until', 'leaving_ms'))
  local latest = whole(now + number_of(most))
  if most and number_of(till) > tonumber(latest) then
    redis.call('HSET', key, 'leaving_until', latest)
    till = latest
  end
  return number_of(till) > now
end

local function take_slots(cell, id, edge, worker, expiry)
  redis.call('ZADD', cell .. ':live_of:' .. project_of(cell, id), whole(expiry), id)
  redis.call('ZADD', cell .. ':live', whole(expiry), id)
  if edge then redis.call('ZADD', cell .. ':slots:edge:' .. edge, whole(expiry), id) end
  if worker and worker ~= '' then redis.call('ZADD', cell .. ':slots:worker:' .. worker, whole(expiry), id) end
end

-- Notes a new session among its project's, and lets go of the oldest whose records are gone.
local function note_created(cell, id, now)
  local key = cell .. ':created_of:' .. project_of(cell, id)
  for _, old in ipairs(redis.call('ZRANGE', key, 0, 1)) do
    if redis.call('EXISTS', cell .. ':session:' .. old) == 0 then redis.call('ZREM', key, old) end
  end
  redis.call('ZADD', key, 'NX', whole(now), id)
end

-- What an edge still knew of a session whose record was lost.
local function change_project(cell, id, before)
  local created = redis.call('ZSCORE', cell .. ':created_of:' .. before, id)
  local live = redis.call('ZSCORE', cell .. ':live_of:' .. before, id)
  redis.call('ZREM', cell .. ':created_of:' .. before, id)
  redis.call('ZREM', cell .. ':live_of:' .. before, id)
  if created then note_created(cell, id, tonumber(created)) end
  if live then redis.call('ZADD', cell .. ':live_of:' .. project_of(cell, id), live, id) end
end

local function free_slots(cell, id, edge, worker)
  redis.call('ZREM', cell .. ':live', id)
  redis.call('ZREM', cell .. ':live_of:' .. project_of(cell, id), id)
  if edge then redis.call('ZREM', cell .. ':slots:edge:' .. edge, id) end
  if worker then redis.call('ZREM', cell .. ':slots:worker:' .. worker, id) end
end

local function keep_record(cell, id, now, keep)
  redis.call('PEXPIRE', cell .. ':session:' .. id, whole(keep))
  redis.call('ZADD', cell .. ':expiry', whole(now + keep), id)
end

-- A session at an edge of another cell has its slot there, and is counted here by its worker and project alone.
local function is_here(cell, edge)
  return redis.call('HEXISTS', cell .. ':members:edge', edge) == 1
end

local function prune(cell, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', cell .. ':expiry', '-inf', whole(now), 'LIMIT', 0, 8)) do
    redis.call('ZREM', cell .. ':expiry', id)
    redis.call('ZREM', cell .. ':created', id)
  end
  redis.call('ZREMRANGEBYSCORE', cell .. ':live', '-inf', whole(now))
end
