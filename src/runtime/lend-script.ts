/**
 * The store operation as one Lua script: the sums of limits/window.ts on the clock of the Redis
 * server, so gateways whose clocks differ still count the same (L3). Units that come back are taken
 * first; then nothing is charged or lent before every counter has agreed, and a refusal charges
 * nothing (L4).
 *
 * One call carries as many trees as came together, and does them one after the other: a command
 * costs the client more than the counting in it. KEYS: the counters of the first tree, then those of
 * the next, all with the same hash tag. ARGV: the time in microseconds, from tests only, or '' for the
 * server's; then for each tree how many counters it has, and for each counter the length of a
 * sub-window in microseconds, the quota, the units needed, those to lend, how many pairs come back,
 * and each pair: the index of a sub-window, and units.
 *
 * A counter is one short string: the index of its oldest sub-window (double), how far behind it the
 * newest is (byte), the units held (32 bits), and for each sub-window that holds any, oldest first,
 * the distance from the one before (byte, of no meaning in the first) and its units (32 bits). 18
 * bytes for a quiet caller, 343 at most, so reading and writing it whole is cheaper than addressing
 * its parts. Lent units stand in the sub-window after the one of now. It expires when nothing is held
 * any more. A value of another shape or type counts as none (MGET answers nil for other types, SET
 * replaces them): a stray write cannot break the gateway (L15).
 *
 * The reply is flat integers, for each tree: 0 or which of its counters refuses; the microseconds to
 * wait (-1: for ever); then for each counter the units held, the microseconds until some come back,
 * and until all have, the units lent, in which sub-window, and the microseconds they are good for.
 * Last of all: how many values had another shape or type.
 */
export const lendScript = `
local spread, pack, read = unpack, struct.pack, struct.unpack
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local byte, char, slice = string.byte, string.char, string.sub
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local reply, said, foreign = {}, 0, 0

-- The entries still held, and the sub-windows of the first and the last of them.
local function decode(c, value, index)
  local size, place = #value, 14
  if size < 18 or size > 343 or size % 5 ~= 3 then return false end
  local oldest, span, used = read('>dBI4', value)
  if oldest ~= floor(oldest) or oldest < 0 or oldest > 9e15 then return false end
  local newest = oldest + span
  -- The clock stepped back: a little, count on in the newest sub-window; a lot, start over.
  if newest - 1 > index then
    if newest - 1 - index > 65 then return true end
    index = newest - 1
  end
  while place <= size and oldest + 65 <= index do
    used = used - read('>I4', value, place + 1)
    place = place + 5
    if place <= size then oldest = oldest + byte(value, place) end
  end
  if place > size then return used == 0 end
  if used < 1 or oldest > newest then return false end
  c.body, c.oldest, c.newest, c.used, c.index = slice(value, place), oldest, newest, used, index
  return true
end

local function takeBack(c, slot, units)
  local body, at, before, place = c.body, c.oldest, c.oldest, 1
  while place <= #body and at < slot do
    place, before = place + 5, at
    if place <= #body then at = at + byte(body, place) end
  end
  if place > #body or at ~= slot then return end
  local held = read('>I4', body, place + 1)
  local left = max(0, held - units)
  c.used, c.written = c.used - held + left, true
  if left > 0 then
    c.body = slice(body, 1, place) .. pack('>I4', left) .. slice(body, place + 5)
    return
  end
  -- An empty entry would be taken for the next units to come back.
  local after = place + 5
  if after > #body then
    c.newest = before
    c.body = slice(body, 1, place - 1)
  elseif place == 1 then
    c.oldest = at + byte(body, after)
    c.body = slice(body, after)
  else
    local distance = byte(body, place) + byte(body, after)
    c.body = slice(body, 1, place - 1) .. char(distance) .. slice(body, after + 1)
  end
end

-- 'at' is the sub-window of now or the one after it, and no entry is later than that.
local function add(c, at, units)
  c.used, c.written = c.used + units, true
  local body = c.body
  if body == '' then
    c.oldest, c.newest, c.body = at, at, pack('>BI4', 0, units)
  elseif c.newest == at then
    c.body = slice(body, 1, -5) .. pack('>I4', read('>I4', body, #body - 3) + units)
  elseif c.newest < at then
    c.body, c.newest = body .. pack('>BI4', at - c.newest, units), at
  elseif #body == 5 then
    c.body, c.oldest = pack('>BI4', 0, units) .. char(c.newest - at) .. slice(body, 2), at
  else
    local last = #body - 4
    local before = c.newest - byte(body, last)
    if before == at then
      local sum = read('>I4', body, last - 4) + units
      c.body = slice(body, 1, last - 5) .. pack('>I4', sum) .. slice(body, last)
    else
      local entry = pack('>BI4', at - before, units) .. char(c.newest - at)
      c.body = slice(body, 1, last - 1) .. entry .. slice(body, last + 1)
    end
  end
end

-- Microseconds until 'units' of those held have come back.
local function wait(c, units)
  local body, at, place, back = c.body, c.oldest, 1, 0
  while place <= #body do
    back = back + read('>I4', body, place + 1)
    if back >= units then break end
    place = place + 5
    if place <= #body then at = at + byte(body, place) end
  end
  return (at + 65) * c.sub - now
end

local function tree(before, n, argument)
  local values = redis.call('MGET', spread(KEYS, before + 1, before + n))
  local counters, refused, waits = {}, 0, 0
  for i = 1, n do
    local sub, quota = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
    local need, extra = tonumber(ARGV[argument + 2]), tonumber(ARGV[argument + 3])
    local backs = tonumber(ARGV[argument + 4])
    local index = floor(now / sub)
    local c = { sub = sub, quota = quota, need = need, extra = extra, missing = not values[i],
      body = '', oldest = index, newest = index, used = 0, index = index }
    counters[i] = c
    if values[i] and not decode(c, values[i], index) then foreign = foreign + 1 end
    argument = argument + 5
    for _ = 1, backs do
      takeBack(c, tonumber(ARGV[argument]), tonumber(ARGV[argument + 1]))
      argument = argument + 2
    end
    local over = c.used + need - quota
    if need > 0 and over > 0 then
      local us = need > quota and math.huge or wait(c, over)
      if refused == 0 or us > waits then refused, waits = i, us end
    end
  end
  reply[said + 1], reply[said + 2] = refused, waits == math.huge and -1 or waits
  for i = 1, n do
    local c, lent, key = counters[i], 0, KEYS[before + i]
    if refused == 0 then
      if c.need > 0 then add(c, c.index, c.need) end
      if c.extra > 0 then lent = max(0, min(c.extra, floor((c.quota - c.used) / 8))) end
      if lent > 0 then add(c, c.index + 1, lent) end
    end
    if c.written then
      if c.missing and redis.call('EXISTS', key) == 1 then foreign = foreign + 1 end
      if c.body == '' then
        redis.call('DEL', key)
      else
        local head = pack('>dBI4', c.oldest, c.newest - c.oldest, c.used)
        redis.call('SET', key, head .. c.body, 'PX', ceil(67 * c.sub / 1000))
      end
    end
    local held, at = c.used > 0, said + 6 * i - 3
    reply[at] = c.used
    reply[at + 1] = held and (c.oldest + 65) * c.sub - now or 0
    reply[at + 2] = held and (c.newest + 65) * c.sub - now or 0
    reply[at + 3], reply[at + 4] = lent, c.index + 1
    reply[at + 5] = (floor(now / c.sub) + 2) * c.sub - now
  end
  said = said + 2 + 6 * n
  return argument
end

local before, argument = 0, 2
while before < #KEYS do
  local n = tonumber(ARGV[argument])
  argument = tree(before, n, argument + 1)
  before = before + n
end
reply[said + 1] = foreign
return reply
`
