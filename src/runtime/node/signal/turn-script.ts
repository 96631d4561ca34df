/**
 * A turn (channel.ts) as one Lua script. The record is one hash, so that it is lost whole or not at
 * all: `epoch`; `born`, when it was made; `seen`, when a turn was last taken, both in milliseconds of
 * the server's clock; `nodes`, JSON of id -> [until when it is live, what it has heard]; and the
 * entries, each in a field `l` + its epoch.
 *
 * A node that has ended without leaving is gone: it may be dead, or cut off and going by its memory,
 * so it stays in the record for as long as it could.
 *
 * A record is made anew when there is none, when a value in it is of another kind (L15), when a node
 * has heard of a later epoch than it knows (an older copy has taken over), and when the clock has
 * stepped or everybody was silent for longer than a node is live. It starts at the time in
 * milliseconds, above every epoch before it: so every node finds that it has missed something. Of the
 * nodes that it knew it waits for each as if it had just been heard. Where it may not have known all,
 * it says that it is young until every node that is alive must have taken a turn, and then for as
 * long as one that has not could go by its memory that there may be such.
 *
 * KEYS: the record. ARGV: node, heard, registryMs, staleMs, entriesMax, entry or '', then '1' or ''
 * for asks, leaves and first, then the nodes to wake. What is published is empty; a user who may not
 * publish takes turns all the same. Replies epoch, youngMs, nodes, gone, goneMs, heards, and the
 * entries or nil.
 */
export const turnScript = `
local key, node = KEYS[1], ARGV[1]
local heard, life, stale = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.pcall('HMGET', key, 'epoch', 'born', 'seen', 'nodes')
if record.err then record = {} end
local epoch, born, seen = tonumber(record[1]), tonumber(record[2]), tonumber(record[3])
local read, nodes = pcall(cjson.decode, record[4] or '')
local sound = epoch and born and seen and read and type(nodes) == 'table'
if sound then
  for _, value in pairs(nodes) do
    if type(value) ~= 'table' or not tonumber(value[1]) or not tonumber(value[2]) then sound = false end
  end
end
if sound and now < seen and seen - now <= 100 then now = seen end
local stepped = sound and (now < seen or (now - seen > life and next(nodes)))
if not sound or heard > epoch or stepped then
  redis.call('DEL', key)
  local lost = not stepped or heard > epoch
  epoch = math.max(now, heard + 1, (epoch or 0) + 1)
  if not sound then nodes = {} end
  for id, value in pairs(nodes) do nodes[id] = { now + life, value[2] } end
  if lost then born = now end
  if ARGV[9] == '1' then born = 0 end
  born = math.min(born, now)
end
for id, value in pairs(nodes) do
  if value[1] + stale - life < now then nodes[id] = nil end
end
local entries = false
if heard == epoch then
  entries = {}
elseif heard > 0 and epoch - heard <= kept then
  local names = {}
  for at = heard + 1, epoch do names[#names + 1] = 'l' .. at end
  entries = redis.call('HMGET', key, unpack(names))
  for at = 1, #names do
    if not entries[at] then entries = false break end
  end
end
if ARGV[6] ~= '' then
  epoch = epoch + 1
  redis.call('HSET', key, 'l' .. epoch, ARGV[6])
  redis.call('HDEL', key, 'l' .. (epoch - kept))
  if entries and #entries == 0 then heard = epoch end
  redis.pcall('PUBLISH', key .. ':all', '')
end
if ARGV[8] == '1' then nodes[node] = nil else nodes[node] = { now + life, heard } end
redis.call('HSET', key, 'epoch', epoch, 'born', born, 'seen', now, 'nodes', cjson.encode(nodes))
redis.call('PEXPIRE', key, 86400000)
for at = 10, #ARGV do redis.pcall('PUBLISH', key .. ':' .. ARGV[at], '') end
local count, gone, heards = 0, 0, {}
local untilMs = 0
if born > 0 then untilMs = born + stale end
for id, value in pairs(nodes) do
  count = count + 1
  if value[1] < now then
    gone = gone + 1
    untilMs = math.max(untilMs, value[1] + stale - life)
  elseif ARGV[7] == '1' and id ~= node then
    heards[#heards + 1] = value[2]
  end
end
local youngMs, goneMs = math.max(0, born + life - now), math.max(0, untilMs - now)
return { epoch, youngMs, count, gone, goneMs, heards, entries }
`
