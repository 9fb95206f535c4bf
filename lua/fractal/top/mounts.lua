--- Finds running mounts of this user and reads their figures: the client of src/command/publish.h and snapshot.h.
--
-- Nothing here touches a mount itself, which may hang: mounts are known by /proc/self/mountinfo, their sockets by the
-- device number.

local ffi = require "ffi"
local libc = require "fractal.libc"
local sockaddr = require "fractal.sockaddr"

local C = libc.C

local AF_UNIX, SOCK_STREAM_CLOEXEC = 1, 0x80001
local SOL_SOCKET, SO_RCVTIMEO, SO_SNDTIMEO = 1, 20, 21
local AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS = 0x100, 0x7ff
local S_IFMT, S_IFDIR = 0xf000, 0x4000
local PATIENCE_SECONDS = 5
local MAX_LINKS = 40

local mounts = {}

-- ---- where sockets are -------------------------------------------------------------------------------------------

-- A directory that only this user can change.
local function is_own_directory(path)
  local stx = ffi.new("uint8_t[256]")
  if C.statx(libc.AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, stx) < 0 then
    return false
  end
  local uid, mode = ffi.cast("uint32_t *", stx + 20)[0], ffi.cast("uint16_t *", stx + 28)[0]
  return uid == C.geteuid() and bit.band(mode, S_IFMT) == S_IFDIR and bit.band(mode, 0x3f) == 0
end

local function socket_directories()
  local uid, list = tonumber(C.geteuid()), {}
  local runtime = os.getenv("XDG_RUNTIME_DIR")
  local candidates = { ("/run/user/%d/fractal-lua"):format(uid), ("/tmp/fractal-lua-%d"):format(uid) }
  if runtime and runtime ~= "" then
    table.insert(candidates, 1, runtime .. "/fractal-lua")
  end
  for _, path in ipairs(candidates) do
    if is_own_directory(path) then
      list[#list + 1] = path
    end
  end
  return list
end

-- ---- the mount table ---------------------------------------------------------------------------------------------

-- Mountpoint → { device = "0:53", kind = "fuse.fractal-lua" }, the uppermost where several are at one place.
local function mount_table()
  local list = {}
  for line in io.lines("/proc/self/mountinfo") do
    local device, where, kind = line:match("^%d+ %d+ (%d+:%d+) %S+ (%S+) .- %- (%S+) ")
    if device then
      where = where:gsub("\\(%d%d%d)", function(octal) return string.char(tonumber(octal, 8)) end)
      list[where] = { device = device, kind = kind }
    end
  end
  return list
end

local function working_directory()
  local path = ffi.new("char[4096]")
  local n = C.readlinkat(libc.AT_FDCWD, "/proc/self/cwd", path, 4096)
  return n > 0 and ffi.string(path, n) or "/"
end

local function absolute(path)
  local parts = {}
  for part in (path:sub(1, 1) == "/" and path or working_directory() .. "/" .. path):gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return parts
end

--- The mountpoint that a path lies on, as far as it leads: the first FUSE mount on the way, which is not entered.
local function mountpoint_of(path, known)
  local parts, prefix, links, i = absolute(path), "", 0, 1
  local target = ffi.new("char[4096]")
  while parts[i] do
    local here = prefix .. "/" .. parts[i]
    if known[here] and known[here].kind:find("^fuse") then
      return here
    end
    local n = C.readlinkat(libc.AT_FDCWD, here, target, 4096)
    if n > 0 and links < MAX_LINKS then
      local rest = table.concat(parts, "/", i + 1)
      local text = ffi.string(target, n)
      parts = absolute((text:sub(1, 1) == "/" and text or prefix .. "/" .. text) .. "/" .. rest)
      prefix, i, links = "", 1, links + 1
    else
      prefix, i = here, i + 1
    end
  end
end

-- ---- one snapshot ------------------------------------------------------------------------------------------------

local function connect(path)
  local address, size = sockaddr.parse("unix:" .. path)
  local fd = address and C.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0) or -1
  if fd < 0 then
    return nil
  end
  local patience = ffi.new("struct fractal_libc_timespec", PATIENCE_SECONDS)
  C.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, ffi.sizeof(patience))
  C.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, ffi.sizeof(patience))
  if C.connect(fd, address, size) < 0 then
    C.close(fd)
    return nil
  end
  return fd
end

local function read_all(fd)
  local parts, buffer = {}, ffi.new("char[65536]")
  while true do
    local n = tonumber(C.read(fd, buffer, 65536))
    if n <= 0 then
      return n == 0 and table.concat(parts) or nil
    end
    parts[#parts + 1] = ffi.string(buffer, n)
  end
end

local REQUEST = "GET /snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"

local function fetch(path)
  local fd = connect(path)
  if not fd then
    return nil
  end
  local reply = C.write(fd, REQUEST, #REQUEST) == #REQUEST and read_all(fd)
  C.close(fd)
  return reply and reply:match("^HTTP/1%.1 200 .-\r\n\r\n(.*)$")
end

local function numbers(text)
  local list = {}
  for word in text:gmatch("%S+") do
    list[#list + 1] = tonumber(word)
  end
  return list
end

local function read_operation(text)
  local name, figures, rest = text:match("^(%S+) (%d+ %d+ %d+ %d+ %d+)(.*)$")
  local requests, errors, bytes_in, bytes_out, max = unpack(numbers(figures))
  local buckets = {}
  for bound, count in rest:gmatch("(%d+):(%d+)") do
    buckets[tonumber(bound)] = tonumber(count)
  end
  return name, {
    requests = requests, errors = errors, bytes_in = bytes_in, bytes_out = bytes_out, max = max, buckets = buckets,
  }
end

local function parse(text)
  local snapshot = { ops = {} }
  for key, value in text:gmatch("(%a+) ([^\n]*)\n") do
    if key == "op" then
      local name, operation = read_operation(value)
      snapshot.ops[name] = operation
    elseif key == "load" then
      snapshot.held, snapshot.most, snapshot.depth = unpack(numbers(value))
    elseif key == "lua" then
      local lua = numbers(value)
      snapshot.lua = {
        states = lua[1], bytes = lua[2], collections = lua[3], traces = lua[4], aborts = lua[5], flushes = lua[6],
      }
    else
      snapshot[key] = tonumber(value) or value
    end
  end
  return snapshot
end

-- ---- what tools use ----------------------------------------------------------------------------------------------

--- The figures of a running mount: { mountpoint, name, transport, workers, uptime (seconds), held, most, depth
-- (requests in hand), lua = { states, bytes, … }, ops = name → { requests, errors, bytes_in, bytes_out, max (ns),
-- buckets = highest ns → count } }. nil: it does not answer any more.
function mounts.read(mount)
  local text = fetch(mount.socket)
  return text and parse(text)
end

local function find_socket(device)
  for _, directory in ipairs(socket_directories()) do
    local path = ("%s/%s.sock"):format(directory, device)
    local fd = connect(path)
    if fd then
      C.close(fd)
      return path
    end
  end
end

--- The running mount at, or above, a path, to be read; or nil and a sentence.
function mounts.find(path)
  local known = mount_table()
  local where = mountpoint_of(path, known)
  if not where then
    return nil, ("nothing is mounted at %s by a filesystem of this kind"):format(path)
  end
  local socket = find_socket(known[where].device)
  if not socket then
    return nil, ("the server of %s cannot be asked: it is not a fractal-lua of this user"):format(where)
  end
  return { mountpoint = where, socket = socket }
end

--- All running mounts of this user, by mountpoint.
function mounts.list()
  local list = {}
  for where, entry in pairs(mount_table()) do
    local socket = entry.kind:find("^fuse") and find_socket(entry.device)
    if socket then
      list[#list + 1] = { mountpoint = where, socket = socket }
    end
  end
  table.sort(list, function(a, b) return a.mountpoint < b.mountpoint end)
  return list
end

return mounts
