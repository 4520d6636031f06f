/**
 * What is kept in Redis of one organisation. Every key begins with the organisation's tag, `<prefix>:{o:<org>}:`, so
 * that all of them lie in one slot of a cluster; a script touches keys of one tag and no other.
 *
 * | key after the tag | holds |
 * |---|---|
 * | `m` | the marker: Redis' run, the epoch, since when this Redis has kept count, when spend opens |
 * | `x` | the ids of reservations by the time at which they expire |
 * | `r:<id>` | a reservation, JSON: owner, [[account, leases]], [[budget, micro-USD]], sequence; or `x` when it was settled before it came |
 * | `a:<scope>:<subject>` | an account: level and rate of requests, of tokens (levels in 60,000ths), leases, drained at |
 * | `s:<period>:<zone>:<scope>:<subject>` | a budget: spent, reserved, the epoch it is complete in, spent since and not known to history |
 *
 * Numbers are packed as doubles: all are integers below 2^53, and a text would cost more than the rest of a script.
 * An epoch is a count without a gap: Redis that restarted, lost its memory or handed over has another run, or no
 * marker, and so a new epoch, in which every budget goes on from history.
 */
const PRELUDE = `
local tag = string.sub(KEYS[1], 1, -2)
local MAX = 9007199254740991

local function clock(text)
  if text ~= '' then return tonumber(text) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function mark(value, now, run, nonce, known, grace)
  if value then
    local marked, epoch, since, opens = struct.unpack('<dddd', value)
    if marked == run then return epoch, since, opens end
  end
  local opens = now
  if known ~= 0 then opens = now + grace end
  redis.call('SET', KEYS[1], struct.pack('<dddd', run, nonce, now, opens))
  return nonce, now, opens
end

-- A step back of more than ten seconds is a corrected clock, a smaller one a caller that read the time earlier.
local function account(value, now)
  if not value then return 0, 0, 0, 0, 0, now, false end
  local requests, requestRate, tokens, tokenRate, leases, at = struct.unpack('<dddddd', value)
  local elapsed = now - at
  if elapsed > 0 then
    requests = math.max(0, requests - elapsed * requestRate)
    tokens = math.max(0, tokens - elapsed * tokenRate)
    at = now
  elseif elapsed < -10000 then
    return requests, requestRate, tokens, tokenRate, leases, now, true
  end
  return requests, requestRate, tokens, tokenRate, leases, at, false
end

-- An account is kept until it would be as good as new, at most 35 days, and while leases are out.
local function keep(key, lease, requests, requestRate, tokens, tokenRate, leases, at)
  local ms = 0
  if requestRate > 0 then ms = requests / requestRate end
  if tokenRate > 0 then ms = math.max(ms, tokens / tokenRate) end
  if leases > 0 then ms = math.max(ms, 2 * lease) end
  redis.call('SET', key, struct.pack('<dddddd', requests, requestRate, tokens, tokenRate, leases, at),
    'PX', math.ceil(math.min(ms, 3024000000)) + 60000)
end

local function budget(value)
  if not value then return 0, 0, 0, 0 end
  return struct.unpack('<dddd', value)
end

-- What was spent goes to the total where that is complete, else beside it until history is known.
local function book(spent, complete, epoch, late, amount)
  if complete == epoch then return math.min(MAX, spent + amount), late end
  return spent, math.min(MAX, late + amount)
end
`;

/** Ends what has expired, a few at a time: leases are free, spend is booked in full. */
const SWEEP = `
local function sweep(now, lease, epoch)
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 16)
  for _, id in ipairs(due) do
    local text = redis.call('GET', tag .. 'r:' .. id)
    if text and text ~= 'x' then
      local reservation = cjson.decode(text)
      for _, part in ipairs(reservation[2]) do
        local key = tag .. part[1]
        local value = redis.call('GET', key)
        if value then
          local requests, requestRate, tokens, tokenRate, leases, at = account(value, now)
          keep(key, lease, requests, requestRate, tokens, tokenRate, math.max(0, leases - part[2]), at)
        end
      end
      for _, part in ipairs(reservation[3]) do
        local key = tag .. part[1]
        local value = redis.call('GET', key)
        if value then
          local spent, reserved, complete, late = budget(value)
          spent, late = book(spent, complete, epoch, late, part[2])
          redis.call('SET', key, struct.pack('<dddd', spent, math.max(0, reserved - part[2]), complete, late), 'KEEPTTL')
        end
      end
      redis.call('DEL', tag .. 'r:' .. id)
    end
    redis.call('ZREM', KEYS[2], id)
  end
end
`;

/**
 * All of a request's limits, or none. KEYS: marker, expiry, reservation, accounts, budgets. ARGV: now (empty: Redis'
 * own clock), run, nonce, epoch the caller knows (0: none), grace (how long spend stays closed after a loss), lease, id, reservation, number of accounts and of
 * budgets; of each account the limits of requests, tokens and leases (-1: none) and amounts; of each budget cap,
 * amount, start of the period, time to keep it, what history says (-1: not asked).
 *
 * Gives [GRANTED or REFUSED, epoch, level of requests, of tokens and leases of each account, spent and reserved of each
 * budget], [SEED, epoch, indexes of budgets whose history must be known], [LOST, epoch] when the caller knows another
 * epoch, [CLOSED, epoch,
 * milliseconds] while others may still be telling what they hold, or [VOID, epoch] for an id that was settled before.
 */
export const GRANTED = 1;
export const REFUSED = 0;
export const SEED = 2;
export const LOST = 3;
export const CLOSED = 4;
export const VOID = 5;
export const TAKE = `${PRELUDE}${SWEEP}
local now = clock(ARGV[1])
local known, lease = tonumber(ARGV[4]), tonumber(ARGV[6])
local accounts, budgets = tonumber(ARGV[9]), tonumber(ARGV[10])
local epoch, since, opens =
  mark(redis.call('GET', KEYS[1]), now, tonumber(ARGV[2]), tonumber(ARGV[3]), known, tonumber(ARGV[5]))
if known ~= 0 and known ~= epoch then return {3, epoch} end
sweep(now, lease, epoch)
local values = redis.call('MGET', unpack(KEYS, 3))
if values[1] == 'x' then return {5, epoch} end
local isNew = not values[1]

local fits = true
local at = 11
local parts = {}
for i = 1, accounts do
  local requests, requestRate, tokens, tokenRate, leases, drained, isOther = account(values[1 + i], now)
  local maxRequests, maxTokens, tokenAmount = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local maxLeases, leaseAmount = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  at = at + 5
  local add, addTokens = 0, 0
  if maxRequests >= 0 then
    add, isOther, requestRate = 60000, isOther or requestRate ~= maxRequests, maxRequests
    if requests + 60000 > maxRequests * 60000 then fits = false end
  end
  if maxTokens >= 0 then
    addTokens, isOther, tokenRate = tokenAmount * 60000, isOther or tokenRate ~= maxTokens, maxTokens
    if tokenAmount > maxTokens or tokens + addTokens > maxTokens * 60000 then fits = false end
  end
  if maxLeases >= 0 and leases + leaseAmount > maxLeases then fits = false end
  parts[i] = {requests, requestRate, tokens, tokenRate, leases, drained, add, addTokens, leaseAmount, isOther}
end

local unknown = {2, epoch}
for i = 1, budgets do
  local spent, reserved, complete, late = budget(values[1 + accounts + i])
  local cap, amount, start = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local ttl, seed = ARGV[at + 3], tonumber(ARGV[at + 4])
  at = at + 5
  local isOther = false
  if complete ~= epoch then
    if seed >= 0 then spent = math.max(spent, seed) end
    if seed >= 0 or since + 60000 <= start then
      spent, late, complete, isOther = math.min(MAX, spent + late), 0, epoch, true
    elseif isNew then
      unknown[#unknown + 1] = i - 1
    end
  end
  if amount > cap - spent - reserved then fits = false end
  parts[accounts + i] = {spent, reserved, complete, late, amount, ttl, isOther}
end
if #unknown > 2 then return unknown end
if isNew and budgets > 0 and now < opens then return {4, epoch, opens - now} end

local isGranted = isNew and fits
local reply = {1, epoch}
if isNew and not fits then reply[1] = 0 end
for i = 1, accounts do
  local part = parts[i]
  local requests, tokens, leases = part[1], part[3], part[5]
  if isGranted then
    requests, tokens, leases = requests + part[7], tokens + part[8], leases + part[9]
  end
  if isGranted or (isNew and part[10]) then
    keep(KEYS[3 + i], lease, requests, part[2], tokens, part[4], leases, part[6])
  end
  reply[#reply + 1] = requests
  reply[#reply + 1] = tokens
  reply[#reply + 1] = leases
end
for i = accounts + 1, accounts + budgets do
  local part = parts[i]
  local reserved = part[2]
  if isGranted then reserved = reserved + part[5] end
  if isGranted or part[7] then
    redis.call('SET', KEYS[3 + i], struct.pack('<dddd', part[1], reserved, part[3], part[4]), 'PX', part[6])
  end
  reply[#reply + 1] = part[1]
  reply[#reply + 1] = reserved
end
if isGranted then
  redis.call('SET', KEYS[3], ARGV[8], 'PX', 2 * lease + 60000)
  redis.call('ZADD', KEYS[2], now + lease, ARGV[7])
end
return reply
`;

/**
 * Settles a reservation by the difference to what it took. KEYS as of TAKE. ARGV: now, run, id, tokens and micro-USD
 * that were used, lease, number of accounts and of budgets; of each account its limit of tokens (-1: none), tokens and
 * leases that were taken; of each budget what was reserved. Gives [1, epoch, values as TAKE], or [0, epoch] when there
 * is no such reservation; the id is then void for two minutes, because its take may still be on the way. An epoch of 0
 * says that Redis has lost count.
 */
export const SETTLE = `${PRELUDE}
local now = clock(ARGV[1])
local tokensUsed, spentNow, lease = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local accounts, budgets = tonumber(ARGV[7]), tonumber(ARGV[8])
local values = redis.call('MGET', KEYS[1], unpack(KEYS, 3))
local epoch = 0
if values[1] then
  local marked, current = struct.unpack('<dd', values[1])
  if marked == tonumber(ARGV[2]) then epoch = current end
end
if not values[2] then redis.call('SET', KEYS[3], 'x', 'PX', 120000) end
if not values[2] or values[2] == 'x' then return {0, epoch} end
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[3])

local reply = {1, epoch}
local at = 9
for i = 1, accounts do
  local requests, requestRate, tokens, tokenRate, leases, drained = account(values[2 + i], now)
  local maxTokens = tonumber(ARGV[at])
  if maxTokens >= 0 then
    if not values[2 + i] then tokenRate = maxTokens end
    tokens = math.max(0, tokens + (tokensUsed - tonumber(ARGV[at + 1])) * 60000)
  end
  leases = math.max(0, leases - tonumber(ARGV[at + 2]))
  at = at + 3
  keep(KEYS[3 + i], lease, requests, requestRate, tokens, tokenRate, leases, drained)
  reply[#reply + 1] = requests
  reply[#reply + 1] = tokens
  reply[#reply + 1] = leases
end
for i = accounts + 1, accounts + budgets do
  local value = values[2 + i]
  local spent, reserved, complete, late = budget(value)
  reserved = math.max(0, reserved - tonumber(ARGV[at]))
  at = at + 1
  spent, late = book(spent, complete, epoch, late, spentNow)
  if value then redis.call('SET', KEYS[3 + i], struct.pack('<dddd', spent, reserved, complete, late), 'KEEPTTL') end
  reply[#reply + 1] = spent
  reply[#reply + 1] = reserved
end
return reply
`;

/**
 * Adds without asking what happened anyway: reservations that Redis has forgotten, and what was used while it was away.
 * KEYS as of TAKE. ARGV: the first ten of TAKE (an empty id makes no reservation); of each account limit and amount of
 * requests, of tokens, and leases; of each budget what is reserved, what was spent, time to keep it. A level rises to its
 * limit at most. Gives [1, epoch], or [0, epoch] when the reservation is known.
 */
export const ADD = `${PRELUDE}
local now = clock(ARGV[1])
local lease = tonumber(ARGV[6])
local accounts, budgets = tonumber(ARGV[9]), tonumber(ARGV[10])
local values = redis.call('MGET', KEYS[1], unpack(KEYS, 3))
local epoch = mark(values[1], now, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
if ARGV[7] ~= '' then
  if values[2] then return {0, epoch} end
  redis.call('SET', KEYS[3], ARGV[8], 'PX', 2 * lease + 60000)
  redis.call('ZADD', KEYS[2], now + lease, ARGV[7])
end
local function raise(level, limit, amount)
  return math.min(math.max(level, limit * 60000), level + amount * 60000)
end
local at = 11
for i = 1, accounts do
  local requests, requestRate, tokens, tokenRate, leases, drained = account(values[2 + i], now)
  local maxRequests, maxTokens = tonumber(ARGV[at]), tonumber(ARGV[at + 2])
  if maxRequests >= 0 then requests, requestRate = raise(requests, maxRequests, tonumber(ARGV[at + 1])), maxRequests end
  if maxTokens >= 0 then tokens, tokenRate = raise(tokens, maxTokens, tonumber(ARGV[at + 3])), maxTokens end
  leases = leases + tonumber(ARGV[at + 4])
  at = at + 5
  keep(KEYS[3 + i], lease, requests, requestRate, tokens, tokenRate, leases, drained)
end
for i = accounts + 1, accounts + budgets do
  local spent, reserved, complete, late = budget(values[2 + i])
  reserved = reserved + tonumber(ARGV[at])
  spent, late = book(spent, complete, epoch, late, tonumber(ARGV[at + 1]))
  redis.call('SET', KEYS[3 + i], struct.pack('<dddd', spent, reserved, complete, late), 'PX', ARGV[at + 2])
  at = at + 3
end
return {1, epoch}
`;

/**
 * Renews the slice of a budget that a replica holds ahead: books what was used of it, and reserves anew what its open
 * requests hold and as much ahead as wanted. KEYS: marker, expiry, reservation, budget. ARGV: the first seven of TAKE
 * (lease: the slice's), owner, sequence, used, held, wanted, cap, least part of the cap that must be free, start of the
 * period, time to keep the budget, its name after the tag (owner and name as JSON), what was granted by now. What is
 * held ahead shrinks only when nothing is wanted: a replica may grant from it before it has the answer. A sequence that was seen is not booked again.
 *
 * Gives [what became of the last one (1 renewed, 2 expired and booked in full, 3 not known), epoch, reserved now].
 */
export const SLICE = `${PRELUDE}
local now = clock(ARGV[1])
local known, lease, sequence = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[9])
local used, held, wanted = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local cap, least, start = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local values = redis.call('MGET', KEYS[1], KEYS[3], KEYS[4])
local epoch, since = mark(values[1], now, tonumber(ARGV[2]), tonumber(ARGV[3]), known, tonumber(ARGV[5]))
local spent, reserved, complete, late = budget(values[3])
local fate, kept = 3, 0
if values[2] and values[2] ~= 'x' then
  local last = cjson.decode(values[2])
  if last[4] == sequence then return {1, epoch, last[3][1][2]} end
  fate = 1
  reserved = math.max(0, reserved - last[3][1][2])
  if wanted > 0 then kept = last[3][1][2] - used - held end
elseif known == epoch and sequence > 1 then
  fate = 2
  used, held = 0, 0
else
  held = math.max(held, tonumber(ARGV[18]))
end
if used > 0 then spent, late = book(spent, complete, epoch, late, used) end
local free = cap - spent - reserved - held
local ahead = 0
local isComplete = complete == epoch or (values[3] == false and since + 60000 <= start)
if isComplete and free > cap * least then ahead = math.max(0, math.min(wanted, math.floor(free))) end
local amount = held + math.max(ahead, kept)
if fate ~= 3 or used > 0 or amount > 0 then
  if isComplete then complete = epoch end
  redis.call('SET', KEYS[4], struct.pack('<dddd', spent, reserved + amount, complete, late), 'PX', ARGV[16])
end
if amount > 0 then
  local reservation = string.format('[%s,[],[[%s,%.0f]],%.0f]', ARGV[8], ARGV[17], amount, sequence)
  redis.call('SET', KEYS[3], reservation, 'PX', 2 * lease + 60000)
  redis.call('ZADD', KEYS[2], now + lease, ARGV[7])
elseif fate == 1 then
  redis.call('DEL', KEYS[3])
  redis.call('ZREM', KEYS[2], ARGV[7])
end
return {fate, epoch, amount}
`;

/** A sign of life. KEYS: the replicas by their last sign. ARGV: id, milliseconds after which one is gone; 0 leaves. Gives how many there are. */
export const BEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[2])
if ttl == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ttl)
redis.call('PEXPIRE', KEYS[1], 10 * ttl)
return redis.call('ZCARD', KEYS[1])
`;
