#!lua name=antiphon_@VERSION@
-- What must happen at once in the cluster's memory. Every key hangs from KEYS[1], the cell's prefix, whose hash tag keeps
-- a cell in one slot. Time is the server's: no other clock decides who owns what. This file has what the others use.
--
--   <cell>:born                 when this memory began; a new value tells members that it was lost
--   <cell>:members:<kind>       id -> record (JSON); kind is edge or worker
--   <cell>:leases:<kind>        id by expiry (ms)
--   <cell>:instances:<kind>     id -> which start of that member is the current one
--   <cell>:reported:<kind>      id -> sessions that it says it has
--   <cell>:elsewhere:<kind>     id -> those of them that other cells have slots for
--   <cell>:drains:<kind>        id -> its order to drain (JSON): since_ms, until_ms, sessions it had then
--   <cell>:slots:<kind>:<id>    its sessions by expiry (ms)
--   <cell>:session:<id>         the session's record. While it moves: leaving_edge, leaving_epoch, leaving_until, and
--                               leaving_ms, which its claim gave it for that; after a move that came to nothing: reverted,
--                               the epoch that nobody may have any more; where its edge has changed its worker: takeovers, how many times in this epoch
--                               While it is asked to move: move_to, move_until; asked_ms says when it was, moved_ms when it came
--   <cell>:asked:<worker>       its sessions that are asked to move, until it hears of them
--   <cell>:turns:<id>           latency traces of its turns (JSON), the oldest first
--   <cell>:checkpoint:<id>      what its agent wants to know again at another worker
--   <cell>:checkpoint_of:<name> the same of a room's agent
--   <cell>:epoch                the newest epoch of all: given here, or told by an edge
--   <cell>:live                 sessions by expiry of their slot (ms)
--   <cell>:created, :expiry     sessions by creation, and by when their record goes (ms)
--   <cell>:live_of:<project>    a project's sessions by expiry of their slot (ms), to hold it to its quota
--   <cell>:created_of:<project> the same by creation
--   <cell>:room:<name>          a room's edge, worker and agent, which its first member settles; the worker is its edge's to
--                               change, where it is lost; a member that leaves the edge may take the room along
--   <cell>:place_of:<name>      which region a room is in: the common cell knows, also of rooms of other cells
--   <cell>:leader:<task>        who does what one node at a time does
--   <cell>:members_of:<name>    its sessions by expiry (ms): with the last of them the room is over
--   <cell>:rooms                rooms by expiry (ms)
--   <cell>:opened               rooms whose opening was told and whose closing was not yet
--   <cell>:told_of:<name>       a room's sessions of which the same is true
--   <cell>:request:<key>        answer to a claim, for a while, so that a repeated claim is one claim
--   <cell>:rate:<subject>       when a subject that asks often has used up nothing any more (us)
--   <cell>:events               stream of what happened, the newest of it: type, project ('': of the cluster), data (JSON)
--   <cell>:joined:<kind>        members whose joining was told and whose leaving was not yet
--   <cell>:reply:<key>          see replies.lua
--   <cell>:changes              channel: a member came, changed or left

local MOST_EVENTS = 10000 -- about: whole nodes of the stream go

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

local function tell(cell, type, project, data)
  redis.call('XADD', cell .. ':events', 'MAXLEN', '~', whole(MOST_EVENTS), '*', 'type', type, 'project', project,
    'data', cjson.encode(data))
end

-- A session's event is its project's. One whose record was lost has none that is known, and is told to nobody.
local function tell_session(cell, what, id, more)
  local key = cell .. ':session:' .. id
  local project = redis.call('HGET', key, 'project')
  if not project or project == '' then return end
  local data = more or {}
  data.session = id
  for _, name in ipairs({ 'agent', 'room', 'region', 'edge' }) do
    local value = redis.call('HGET', key, name)
    if value and value ~= '' then data[name] = value end
  end
  tell(cell, 'session.' .. what, project, data)
end

local function tell_member(cell, kind, what, id, reason)
  tell(cell, kind .. '.' .. what, '', { id = id, reason = reason })
end
