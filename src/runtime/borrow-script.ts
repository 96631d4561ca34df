/**
 * The counter as one Lua script: the sums of limits/window.ts on the clock of the Redis server, so
 * gateways whose clocks differ still count the same (L3). Nothing is written before every counter
 * has agreed, and a refusal writes nothing (L4).
 *
 * One call carries as many trees as came together, and charges them one after the other: a command
 * costs the client more than the counting in it. KEYS: the counters of the first tree, then those of
 * the next, all with the same hash tag. ARGV: the time in microseconds, from tests only, or '' for the
 * server's; then for each tree how many counters it has, the units wanted, and for each counter the
 * length of a sub-window in microseconds and the quota.
 *
 * A counter is one short string: the index of its oldest sub-window (double), how far behind it the
 * newest is (byte), the units held (32 bits), and for each sub-window that holds any, oldest first,
 * the distance from the one before (byte) and its units (32 bits). 18 bytes for a quiet caller, 338
 * at most, so reading and writing it whole is cheaper than addressing its parts. It expires when
 * nothing is held any more. A value of another shape or type counts as none (MGET answers nil for
 * other types, SET replaces them): a stray write cannot break the gateway (L15).
 *
 * The reply is flat integers, for each tree: 0 or which of its counters refuses; the seconds to wait
 * (-1: for ever); then for each counter the units held, the seconds until some come back, and until
 * all have.
 */
export const borrowScript = `
local spread, pack, read = unpack, struct.pack, struct.unpack
local floor, ceil, byte, slice = math.floor, math.ceil, string.byte, string.sub
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local reply, said = {}, 0
local function charge(before, n, want, argument)
  local values = redis.call('MGET', spread(KEYS, before + 1, before + n))
  local counters = {}
  local refused, wait = 0, 0
  for i = 1, n do
    local sub, quota = tonumber(ARGV[argument + 2 * i]), tonumber(ARGV[argument + 2 * i + 1])
    local index = floor(now / sub)
    local value = values[i] or ''
    -- From the place of its oldest entry on: the sub-windows of the oldest and the newest, and the sum.
    local size, place, oldest, newest, used = #value, 14, index, index, 0
    if size >= 18 and size % 5 == 3 then
      local span
      oldest, span, used = read('>dBI4', value)
      newest = oldest + span
      -- The clock stepped back: a little, count in the newest sub-window; a lot, start over.
      if newest > index and newest - index <= 65 then index = newest end
      if not (newest <= index) then place = size + 1 end
      while place <= size and oldest + 65 <= index do
        used = used - read('>I4', value, place + 1)
        place = place + 5
        if place <= size then oldest = oldest + byte(value, place) end
      end
    end
    if place > size then
      index = floor(now / sub)
      value, oldest, newest, used = '', index, index, 0
    end
    counters[i] = { value, place, oldest, newest, used, index, sub }
    local over = used + want - quota
    if over > 0 then
      local us = math.huge
      if want <= quota then
        local at, back = oldest, 0
        while place <= size do
          back = back + read('>I4', value, place + 1)
          if back >= over then break end
          place = place + 5
          if place <= size then at = at + byte(value, place) end
        end
        us = (at + 65) * sub - now
      end
      if refused == 0 or us > wait then refused, wait = i, us end
    end
  end
  if wait == math.huge then wait = -1000000 end
  reply[said + 1], reply[said + 2] = refused, ceil(wait / 1000000)
  for i = 1, n do
    local value, place, oldest, newest, used, index, sub = spread(counters[i])
    if refused == 0 then
      local total = used + want
      local head = pack('>dBI4', oldest, index - oldest, total)
      if value == '' then
        value = head .. pack('>BI4', 0, want)
      elseif newest == index then
        value = head .. slice(value, place, -5) .. pack('>I4', read('>I4', value, #value - 3) + want)
      else
        value = head .. slice(value, place) .. pack('>BI4', index - newest, want)
      end
      redis.call('SET', KEYS[before + i], value, 'PX', ceil(66 * sub / 1000))
      used, newest = total, index
    end
    local held = used > 0
    reply[said + 3 * i] = used
    reply[said + 3 * i + 1] = held and ceil(((oldest + 65) * sub - now) / 1000000) or 0
    reply[said + 3 * i + 2] = held and ceil(((newest + 65) * sub - now) / 1000000) or 0
  end
  said = said + 2 + 3 * n
end
local before, argument = 0, 2
while before < #KEYS do
  local n, want = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
  charge(before, n, want, argument)
  before, argument = before + n, argument + 2 + 2 * n
end
return reply
`
