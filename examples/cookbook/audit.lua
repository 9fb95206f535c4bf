-- A mirror of a directory that writes down who opened, changed and removed what.
--
--   fractal-lua -o source=/srv/data,log=/var/log/audit.log examples/cookbook/audit.lua /mnt
--
-- What it shows: handlers of a ready-made filesystem are wrapped in a loop; who asks is in `req`; a task writes the
-- lines, so that nobody waits for the log. Mirrors have a Lua state for each worker, each with a task of its own.

local fractal = require "fractal"
local io = fractal.io

local fs = require "fractal.passthrough" {
  name = "audit",
  options = { log = "file that gets a line for each change" },
}
local lines = fractal.queue()

local function store()
  local log = io.open(fs.options.log, io.O_WRONLY + io.O_CREAT + io.O_APPEND, 384) -- mode 0600
  local line = log and lines:get()
  while line do -- nil: the mount has ended
    io.write(log, line)
    line = lines:get()
  end
  if log then io.close(log) end
end

local prepare, init = fs.prepare, fs.init

function fs.prepare()
  if not fs.options.log then return nil, "say where the log is: -o log=FILE" end
  local file, reason = _G.io.open(fs.options.log, "a") -- before the mount Lua's own functions may be used
  if not file then return nil, reason end
  file:close()
  return prepare()
end

function fs.init(conn)
  fractal.spawn(store)
  return init(conn)
end

-- Handlers by name; the name of what they are about is their third argument, or there is only an inode.
for _, operation in ipairs { "open", "create", "mkdir", "unlink", "rmdir", "rename", "setattr" } do
  local handler = fs[operation]
  fs[operation] = function(req, ino, name, ...)
    local result, err = handler(req, ino, name, ...)
    lines:put(("%s user=%d pid=%d %s inode=%d%s %s\n"):format(os.date "%F %T", req.uid, req.pid, operation, ino,
      type(name) == "string" and " name=" .. name or "", err and fractal.strerror(err) or "done"))
    return result, err
  end
end

return fs
