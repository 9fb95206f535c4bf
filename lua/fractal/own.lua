--- Keeps a script from asking its own mount by a blocking call, which would wait for itself.
--
-- io.open, io.lines, io.input, io.output, os.remove, os.rename, loadfile and dofile answer EDEADLK ("Resource deadlock
-- avoided") for a path in the mount where a handler, a task or init calls them, and the log says so. Calls through the
-- FFI are not seen here: see src/own.c.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"
local fold = require "fractal.fold"
local log = require "fractal.log"
local types = require "fractal.types"

ffi.cdef [[
char *fractal_own_getcwd(char *buffer, size_t size) __asm__("getcwd");
ssize_t fractal_own_readlink(const char *path, char *buffer, size_t size) __asm__("readlink");
]]

local C, E = ffi.C, errno.E
local PATH_MAX = 4096
local LINKS_MAX = 40 -- as many as the kernel follows

local own = {}

local buffer = ffi.new("char[?]", PATH_MAX)

local function read_link(path)
  local n = C.fractal_own_readlink(path, buffer, PATH_MAX)
  return n > 0 and ffi.string(buffer, n) or nil
end

--- Does the path lead into the mount at `mountpoint`? Follows symbolic links name by name, and stops where the mount
-- begins, which it does not touch.
function own.inside(path, mountpoint)
  local reached, rest, links = "", path, 0
  if path:sub(1, 1) ~= "/" then
    local cwd = C.fractal_own_getcwd(buffer, PATH_MAX)
    rest = (cwd ~= nil and ffi.string(cwd) or "") .. "/" .. path
  end
  while rest ~= "" do
    local name
    name, rest = rest:match("^/*([^/]*)(.*)$")
    if name == ".." then
      reached = reached:match("^(.*)/[^/]*$") or ""
    elseif name ~= "" and name ~= "." then
      reached = reached .. "/" .. name
      if reached == mountpoint then
        return true
      end
      local target = links < LINKS_MAX and read_link(reached)
      if target then
        links = links + 1
        reached = target:sub(1, 1) == "/" and "" or reached:match("^(.*)/[^/]*$")
        rest = target .. rest
      end
    end
  end
  return false
end

--- The mount that the running code serves, or nil outside of handlers, tasks and init.
local function mountpoint_here()
  local worker = C.fractal_worker_current()
  if worker == nil then
    return nil
  end
  local mountpoint = C.fractal_session_mountpoint(C.fractal_worker_session(worker))
  return mountpoint ~= nil and ffi.string(mountpoint) or nil
end

local function tell(what, path)
  local req = C.fractal_worker_in_hand(C.fractal_worker_current())
  local operation = req ~= nil and types.op_names[req.opcode] or "a task"
  local key = "own " .. operation .. what
  if not fold.again(key) then
    fold.begin(key, ("%s of its own mount in %s"):format(what, operation))
    log.error("%s calls %s on %q, which lies in its own mount, and would wait for itself: it got EDEADLK; use "
      .. "fractal.io, or what the script itself knows of its files", operation, what, path)
  end
end

--- Is a call of `what` on the path to be refused? Then the log says so.
local function refused(what, path)
  local mountpoint = type(path) == "string" and mountpoint_here()
  if mountpoint and own.inside(path, mountpoint) then
    tell(what, path)
    return true
  end
end

local function failure(path)
  return ("%s: %s"):format(path, errno.strerror(E.DEADLK))
end

--- Calls of the function `name` of a library on one path, or two, return nil, a text and the errno.
local function guard(library, prefix, name, two)
  local call, what = library[name], prefix .. name
  library[name] = function(...)
    local path, other = ...
    if refused(what, path) or two and refused(what, other) then
      return nil, failure(path), E.DEADLK
    end
    return call(...)
  end
end

--- … raise an error.
local function guard_raising(library, prefix, name)
  local call, what = library[name], prefix .. name
  library[name] = function(...)
    local path = ...
    if refused(what, path) then
      error(failure(path), 2)
    end
    return call(...)
  end
end

--- Guards this Lua state. Before the script is loaded, which may keep the functions.
function own.guard()
  guard(io, "io.", "open")
  guard_raising(io, "io.", "lines")
  guard_raising(io, "io.", "input")
  guard_raising(io, "io.", "output")
  guard(os, "os.", "remove")
  guard(os, "os.", "rename", true)
  guard(_G, "", "loadfile")
  guard_raising(_G, "", "dofile")
end

return own
