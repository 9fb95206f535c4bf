--- `fractal.log`: lines in the mount's log, and how requests are named there.
--
--     log.info(fmt, …)   log.warn(fmt, …)   log.error(fmt, …)   with string.format's directives
--     log.block("error", lines)                                 a list of lines that stay together

local ffi = require "ffi"
require "fractal.cdef"
local types = require "fractal.types"

local log = {}

local session -- NULL until the mount begins: then lines go to standard error

--- Called once the session exists, and with nil when it ends.
function log.attach(pointer)
  session = pointer and ffi.cast("struct fractal_session *", pointer)
end

local function write_message(level, text)
  if session then
    ffi.C.fractal_session_log(session, level, text)
  else
    io.stderr:write("fractal-lua: ", text, "\n")
  end
end

local function write(level, text)
  for line in text:gmatch("[^\n]+") do
    write_message(level, line)
  end
end

local levels = { error = 0, warn = 1, info = 2 }

local function writer(level)
  return function(fmt, ...)
    write(level, select("#", ...) > 0 and fmt:format(...) or fmt)
  end
end

log.error = writer(levels.error)
log.warn = writer(levels.warn)
log.info = writer(levels.info)

--- One message of several lines, which no other message of the mount comes between.
function log.block(level, lines)
  write_message(levels[level], table.concat(lines, "\n"))
end

--- "cat (pid 4711)": who asks.
function log.caller(req)
  if req.pid == 0 then
    return "the kernel"
  end
  local file = io.open(("/proc/%d/comm"):format(req.pid))
  local name = file and file:read("*l")
  if file then
    file:close()
  end
  return ("%s (pid %d)"):format(name or "a process that has ended", req.pid)
end

--- "lookup of 'x' in inode 1", "read of inode 5".
function log.request(req)
  local op = types.op_names[req.opcode] or ("operation " .. req.opcode)
  local ino = tonumber(req.nodeid)
  if req.name ~= nil then
    return ("%s of %q in inode %d"):format(op, ffi.string(req.name, req.name_len), ino)
  end
  return ("%s of inode %d"):format(op, ino)
end

return log
