--- `fractal.log`: lines in the mount's log, and how requests are named there.
--
--     log.info(fmt, …)   log.warn(fmt, …)   log.error(fmt, …)   with string.format's directives

local ffi = require "ffi"
require "fractal.cdef"
local types = require "fractal.types"

local log = {}

local session -- NULL until the mount begins: then lines go to standard error

--- Called once the session exists, and with nil when it ends.
function log.attach(pointer)
  session = pointer and ffi.cast("struct fractal_session *", pointer)
end

local function write(level, text)
  for line in text:gmatch("[^\n]+") do
    if session then
      ffi.C.fractal_session_log(session, level, line)
    else
      io.stderr:write("fractal-lua: ", line, "\n")
    end
  end
end

local function writer(level)
  return function(fmt, ...)
    write(level, select("#", ...) > 0 and fmt:format(...) or fmt)
  end
end

log.error = writer(0)
log.warn = writer(1)
log.info = writer(2)

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
