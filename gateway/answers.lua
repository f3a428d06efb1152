-- Asks for some keys and stores others, in one command: it costs the gateway a fraction of what
-- a pipeline of as many would.
-- KEYS: those asked for, then those to store. ARGV: how many are asked for, the milliseconds to
-- keep what is stored, and a value for each key to store. Returns the values asked for.
local asked = tonumber(ARGV[1])
local found = {}
for i = 1, asked do
  found[i] = redis.call('GET', KEYS[i])
end
for i = asked + 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i - asked + 2], 'PX', ARGV[2])
end
return found
