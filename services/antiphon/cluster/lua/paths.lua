-- Round trips: what edges measure to workers, and what live calls had, by the caller's network. One text with
-- library.lua, whose helpers it uses.
--
--   <cell>:links:<edge>         round trips to workers in ms (JSON), for as long as a lease
--   <cell>:rtt:<network>        region -> mean (ms), weight, when (ms): a mean in which older calls count less and less

local MOST_WEIGHT = 32 -- so many calls at most speak against a new one

-- note_links: edge, lease_ms, links (JSON)
local function note_links(keys, args)
  redis.call('SET', keys[1] .. ':links:' .. args[1], args[3], 'PX', args[2])
  return 1
end

local function faded(entry, now, half_life)
  local mean, weight, at = string.match(entry or '', '^(%S+) (%S+) (%S+)$')
  if not mean then return 0, 0 end
  return tonumber(mean), tonumber(weight) * 2 ^ (-math.max(0, now - tonumber(at)) / half_life)
end

-- learn: half_life_ms, keep_ms, then session and round trip (ms) by turns -> how many have taught something.
-- A session's record says which networks its caller is of, and which region it is in.
local function learn(keys, args)
  local cell, half_life, now, taught = keys[1], tonumber(args[1]), now_ms(), 0
  for i = 3, #args, 2 do
    local key = cell .. ':session:' .. args[i]
    local networks, region = redis.call('HGET', key, 'networks'), redis.call('HGET', key, 'region')
    if networks and networks ~= '' and region then
      taught = taught + 1
      for network in string.gmatch(networks, '%S+') do
        local path = cell .. ':rtt:' .. network
        local mean, weight = faded(redis.call('HGET', path, region), now, half_life)
        local all = weight + 1
        redis.call('HSET', path, region, string.format('%.2f %.3f %s', (mean * weight + tonumber(args[i + 1])) / all,
          math.min(all, MOST_WEIGHT), whole(now)))
        redis.call('PEXPIRE', path, args[2])
      end
    end
  end
  return taught
end

-- learned: half_life_ms, then networks -> JSON: network -> region -> {mean in ms, weight as it is by now}.
local function learned(keys, args)
  local now, half_life, answer = now_ms(), tonumber(args[1]), {}
  for i = 2, #args do
    local flat, found = redis.call('HGETALL', keys[1] .. ':rtt:' .. args[i]), nil
    for at = 1, #flat, 2 do
      found = found or {}
      found[flat[at]] = { faded(flat[at + 1], now, half_life) }
    end
    answer[args[i]] = found
  end
  return cjson.encode(answer)
end

redis.register_function('antiphon_note_links_@VERSION@', note_links)
redis.register_function('antiphon_learn_@VERSION@', learn)
redis.register_function({ function_name = 'antiphon_learned_@VERSION@', callback = learned, flags = { 'no-writes' } })
