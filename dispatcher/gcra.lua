-- One token bucket, shared by every dispatcher of a channel and provider (GCRA: the bucket is
-- one number, the time at which it would be full again).
-- KEYS[1] the bucket. ARGV: tokens per second, size of the bucket, tokens wanted, tokens to
-- charge on top without asking (what a provider's refusal costs), seconds of debt a charge may
-- make. Returns the tokens granted and the microseconds until there is one more.
-- The clock is Redis's own, so the dispatchers' clocks need not agree.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local interval = 1 / tonumber(ARGV[1])
local size = tonumber(ARGV[2])
local wanted = tonumber(ARGV[3])
local charged = tonumber(ARGV[4])
local debt_seconds = tonumber(ARGV[5])

local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if charged > 0 then
  full_at = math.max(full_at, math.min(full_at + charged * interval, now + size * interval + debt_seconds))
end
local there = math.floor((now - full_at) / interval + size + 0.000001)
local granted = math.max(0, math.min(wanted, there))
full_at = full_at + granted * interval
if granted > 0 or charged > 0 then
  redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000) + 1000)
end
local wait = full_at + interval - (now + size * interval)
return {granted, math.max(0, math.ceil(wait * 1000000))}
