--- A filesystem for specs that look at single operations: it counts calls, keeps what handlers saw, and runs Lua text
-- inside the server.
--
--   local m = helper.mount { source = probe.source [[ function fs.bmap() … end ]], transport = transport }
--   probe.run(m, [[ file.text = "new" return fractal.notify.inval_inode(2) ]])   --> "true"
--   probe.count(m, "read")                                                        --> 3
--
-- There is one file, "file" (inode 2), whose content is file.text; names and attributes are cached for 1000 s. The body
-- sees fs, fractal, ffi, bit, E, file, fill(ino, attr), calls (handler → number of calls), and seen, to keep things in.

local client = require "spec.client"

local probe = {}

local text = [[
local fractal = require "fractal"
local ffi = require "ffi"
local bit = require "bit"
local E = fractal.errno
local fs = fractal.lowlevel { name = "probe", attr_ttl = 1000, entry_ttl = 1000, @SETTINGS@ }
local file = { text = "the first text\n", mode = 0x81b6 } -- a regular file, 0666
local calls, seen = {}, {}
local function fill(ino, attr)
  attr.ino = ino
  if ino == 1 then
    attr.mode = 0x41ff -- a directory, 0777
  else
    attr.mode, attr.size = file.mode, #file.text
  end
end
function fs.lookup(req, parent, name, entry)
  if name ~= "file" or file.gone then return nil, E.NOENT end
  entry.ino = 2
  fill(2, entry.attr)
end
function fs.getattr(req, ino, attr) fill(ino, attr) end
function fs.setattr(req, ino, set, attr)
  if set.size then file.text = file.text:sub(1, set.size) .. ("\0"):rep(set.size - #file.text) end
  fill(ino, attr)
end
function fs.open(req, ino, open) open.keep_cache = true end
function fs.read(req, ino, buf, offset) return file.text:sub(offset + 1, offset + #buf) end
function fs.write(req, ino, data, offset)
  local before = file.text .. ("\0"):rep(offset - #file.text)
  file.text = before:sub(1, offset) .. data:string() .. before:sub(offset + #data + 1)
  return #data
end
function fs.readdir(req, ino, dir, offset)
  if offset == 0 then dir:add("file", 2, "file", 1) end
end
@BODY@
local result = ""
local inside = setmetatable({
  fractal = fractal, ffi = ffi, bit = bit, E = E, fs = fs, file = file, calls = calls, seen = seen,
}, { __index = _G })
local own_setxattr, own_getxattr = fs.setxattr, fs.getxattr
local function run(req, code)
  inside.req = req
  local values = { setfenv(assert(loadstring(code)), inside)() }
  for i = 1, table.maxn(values) do values[i] = tostring(values[i]) end
  result = table.concat(values, " ")
end
for name, handler in pairs(fs) do
  if type(handler) == "function" then
    fs[name] = function(...)
      calls[name] = (calls[name] or 0) + 1
      return handler(...)
    end
  end
end
local counted_setxattr, counted_getxattr = fs.setxattr, fs.getxattr
function fs.setxattr(req, ino, name, value, flags)
  if name == "user.run" then return run(req, value:string()) end
  if not own_setxattr then return nil, E.OPNOTSUPP end
  return counted_setxattr(req, ino, name, value, flags)
end
function fs.getxattr(req, ino, name)
  if name == "user.result" then return result end
  if not own_getxattr then return nil, E.NODATA end
  return counted_getxattr(req, ino, name)
end
return fs
]]

--- The filesystem's text. body adds or replaces handlers, settings goes into the constructor's table; both may be nil.
function probe.source(body, settings)
  return (text:gsub("@%u+@", { ["@BODY@"] = body or "", ["@SETTINGS@"] = settings or "" }))
end

--- Runs Lua text in the server, inside a setxattr handler on CPU 0's worker; returns its results as text, with spaces
-- between them.
function probe.run(m, code)
  local command = client.command([[
    must.setxattr(MNT, "user.run", arg[1])
    io.write((must.getxattr(MNT, "user.result")))]], code)
  local ok, out, status = m:sh("exec taskset -c 0 " .. command, 10)
  if not ok then
    error(("the code failed with status %d:\n%s\nthe server's log:\n%s"):format(status, out, m.log()), 2)
  end
  return out
end

--- How often a handler was called.
function probe.count(m, handler)
  return tonumber(probe.run(m, ("return calls[%q] or 0"):format(handler)))
end

return probe
