-- Requests that are done once, however often they are sent. One text with library.lua.
--
--   <cell>:reply:<key>          request (digest), owner (who works at it), reply (once there is one)

-- begin: key, digest of the request, owner, hold_ms -> new (or this owner's already), in_flight, other (another request
-- had the key), answered; and the reply.
local function begin(keys, args)
  local key = keys[1] .. ':reply:' .. args[1]
  local request = redis.call('HGET', key, 'request')
  if not request then
    redis.call('HSET', key, 'request', args[2], 'owner', args[3])
    redis.call('PEXPIRE', key, args[4])
    return { 'new', '' }
  end
  if request ~= args[2] then return { 'other', '' } end
  local reply = redis.call('HGET', key, 'reply')
  if reply then return { 'answered', reply } end
  return { redis.call('HGET', key, 'owner') == args[3] and 'new' or 'in_flight', '' }
end

-- settle: key, owner, keep_ms, reply ('': there is none, the next request begins anew) -> 1, or 0 where it is another's.
local function settle(keys, args)
  local key = keys[1] .. ':reply:' .. args[1]
  if redis.call('HGET', key, 'owner') ~= args[2] then return 0 end
  if args[4] == '' then return redis.call('DEL', key) end
  redis.call('HSET', key, 'reply', args[4])
  redis.call('PEXPIRE', key, args[3])
  return 1
end

redis.register_function('antiphon_begin_@VERSION@', begin)
redis.register_function('antiphon_settle_@VERSION@', settle)
