-- A mirror of a directory that is as slow as you say: to see how a program does on a bad disk or line.
--
--   fractal-lua -o source=/srv/data,rate=1M,delay=0.05 examples/cookbook/throttle.lua /mnt
--
-- What it shows: a handler that waits (fractal.io.sleep) holds up nobody else, and a shared counter hands out time:
-- each request takes the next free piece of it, in whichever Lua state it is served.

local fractal = require "fractal"

local fs = require "fractal.passthrough" {
  name = "throttle",
  cache = "never", -- what the kernel keeps would come at full speed
  options = { rate = "bytes a second, with K or M behind (default 1M)", delay = "seconds before each (default 0)" },
}

local MICROSECOND = 1e6
local prepare, init, read, write = fs.prepare, fs.init, fs.read, fs.write
local rate, delay
local busy_until -- the time, in microseconds, up to which all bytes are spoken for

local function number(text, default)
  local digits, unit = tostring(text or default):match "^([%d.]+)([KM]?)$"
  local value = tonumber(digits or "")
  return value and value * ({ [""] = 1, K = 1024, M = 1024 * 1024 })[unit]
end

function fs.prepare()
  if not (number(fs.options.rate, "1M") and number(fs.options.delay, 0)) then
    return nil, "rate= and delay= are numbers, such as rate=64K,delay=0.1"
  end
  return prepare()
end

function fs.init(conn)
  rate, delay = number(fs.options.rate, "1M"), number(fs.options.delay, 0)
  busy_until = fractal.shared.counter "busy until"
  return init(conn)
end

-- Waits for as long as n bytes take behind all that were asked for before.
local function pace(n)
  local now, takes = fractal.io.now() * MICROSECOND, n / rate * MICROSECOND
  local from
  repeat
    from = busy_until:get()
    local start = math.max(from, math.floor(now))
  until busy_until:cas(from, start + math.ceil(takes))
  return fractal.io.sleep(delay + (math.max(from, now) + takes - now) / MICROSECOND)
end

function fs.read(req, ino, buf, offset, fh)
  local n, err = read(req, ino, buf, offset, fh)
  if not n then return nil, err end
  local ok, interrupted = pace(n)
  if not ok then return nil, interrupted end -- the caller has been interrupted
  return n
end

function fs.write(req, ino, data, offset, fh)
  local ok, interrupted = pace(#data)
  if not ok then return nil, interrupted end
  return write(req, ino, data, offset, fh)
end

fs.copy_file_range = nil -- the kernel then reads and writes, at our speed

return fs
