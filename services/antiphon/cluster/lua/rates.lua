-- Rates that are shared by all signaling nodes.

-- admit: then subject, interval_us, burst by turns -> 0, or how long to wait (us) and which of them is over (from 1).
-- Each subject may come once an interval for ever, and `burst` times at once after a pause (GCRA, the virtual scheduling of
-- ITU-T I.371). All of them count the request, or none.
local function admit(keys, args)
  local time = redis.call('TIME')
  local now, next_free = tonumber(time[1]) * 1000000 + tonumber(time[2]), {}
  for i = 1, #args, 3 do
    local interval, burst = tonumber(args[i + 1]), tonumber(args[i + 2])
    local at = math.max(now, number_of(redis.call('GET', keys[1] .. ':rate:' .. args[i]))) + interval
    local wait = at - now - burst * interval
    if wait > 0 then return { math.ceil(wait), (i + 2) / 3 } end
    next_free[i] = at
  end
  for i, at in pairs(next_free) do
    redis.call('SET', keys[1] .. ':rate:' .. args[i], whole(at), 'PX', math.ceil((at - now) / 1000))
  end
  return { 0, 0 }
end

redis.register_function('antiphon_admit_@VERSION@', admit)
