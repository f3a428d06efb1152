-- One token bucket, shared by every process that takes from it (GCRA: the bucket is one number,
-- the time at which it would be full again).
-- KEYS[1] the bucket. ARGV: tokens per second, size of the bucket, tokens wanted, the fewest
-- tokens that are of any use, tokens to charge on top without asking (what a provider's refusal
-- costs), seconds of debt a charge may make.
-- Grants nothing rather than fewer than the fewest; more than the bucket holds is granted when
-- it is full, and makes a debt. Returns the tokens granted, the microseconds until the fewest
-- are there, and the tokens left.
-- The clock is Redis's own, so the clocks of those who ask need not agree.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local interval = 1 / tonumber(ARGV[1])
local size = tonumber(ARGV[2])
local wanted = tonumber(ARGV[3])
local fewest = tonumber(ARGV[4])
local charged = tonumber(ARGV[5])
local debt_seconds = tonumber(ARGV[6])

local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if charged > 0 then
  full_at = math.max(full_at, math.min(full_at + charged * interval, now + size * interval + debt_seconds))
end
local there = math.floor((now - full_at) / interval + size + 0.000001)
local needed = math.min(fewest, size)
local granted = 0
if there >= needed then
  granted = math.max(0, math.min(wanted, math.max(there, fewest)))
end
full_at = full_at + granted * interval
if granted > 0 or charged > 0 then
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000) + 1000)
end
local wait = full_at + needed * interval - (now + size * interval)
return {granted, math.max(0, math.ceil(wait * 1000000)), math.max(0, there - granted)}
