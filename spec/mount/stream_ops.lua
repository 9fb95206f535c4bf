-- The operations that random streams are made of, for streams.lua. An operation is plain data, { name, arguments… ,
-- as = uid }, so that a stream can be logged, replayed and shrunk. ops.run applies one to a side (a directory and
-- its open descriptors) and returns its outcome as text: what the call gave back, or its errno.

local ffi = require "ffi"
local bit = require "bit"
local sys = require "fractal.testing.sys"
local C = require "fractal.testing.sys_cdef"

local ops = {}

local SLOTS, NAMES = 6, { "a", "b", "c", "d", "e", "f" }
local LARGEST = 1048576

-- ------------------------------------------------------------------------------------------------------- random parts

local random = math.random

local function chance(percent) return random(100) <= percent end
local function pick(list) return list[random(#list)] end
local function slot() return random(SLOTS) end

-- One to three names; now and then a form that resolution has to work for. Never leads out of the directory: ".."
-- only follows a name, and no symlink's target holds one.
local function path()
  local parts = { pick(NAMES) }
  while #parts < 3 and chance(45) do parts[#parts + 1] = pick(NAMES) end
  local text = table.concat(parts, "/")
  if chance(2) then return text .. "/" end
  if chance(2) then return text .. "/../" .. pick(NAMES) end
  if chance(1) then return ("n"):rep(pick { 255, 256 }) end
  if chance(1) then return "./" .. text .. "/." end
  return text
end

local MODES = { "644", "600", "666", "755", "700", "777", "444", "0", "4755", "2755", "1777", "6777" }
local function mode() return pick(MODES) end
local function offset() return chance(80) and random(0, 20000) or random(0, LARGEST) end
local function length() return chance(90) and random(0, 9000) or random(0, 70000) end
local function seed() return random(1, 99999) end
local function xattr_name() return pick { "user.a", "user.b", "user.long-name-of-an-attribute" } end
local function id() return pick { 0, 10001, 10002 } end

local function open_flags()
  local words = { pick { "rdonly", "wronly", "rdwr", "rdwr" }, "nonblock", "cloexec" }
  local others = { { "creat", 60 }, { "excl", 10 }, { "trunc", 10 }, { "append", 12 }, { "directory", 4 },
    { "nofollow", 5 } }
  for _, other in ipairs(others) do
    if chance(other[2]) then words[#words + 1] = other[1] end
  end
  return table.concat(words, " ")
end

-- n bytes that depend on the seed.
local function data(from, n) return (("%05d:"):format(from % 100000):rep(math.ceil(n / 6))):sub(1, n) end

-- ---------------------------------------------------------------------------------------------------------- outcomes

local function outcome(value, err)
  if value == nil then return err or "nil" end
  return tostring(value)
end

-- Text of unknown length and bytes, short enough to read in a report.
local function content(value, err)
  if not value then return err end
  local sum = 0
  for i = 1, #value do sum = (sum * 31 + value:byte(i)) % 4294967291 end
  return ("%d bytes, sum %d, %q"):format(#value, sum, value:sub(1, 12))
end

-- Attributes that two filesystems must agree on; directories differ in size.
local function attributes(st, err)
  if not st then return err end
  return ("%s %o %d:%d %s links %d dev %d:%d"):format(st.type, st.mode, st.uid, st.gid,
    st.type == "dir" and "-" or st.size, st.type == "dir" and 0 or st.nlink, st.rdev[1], st.rdev[2])
end

-- Both times as text. One that is not set but the clock's is "now": a walk through a symbolic link moves its atime on.
local NOT_SET = 1500000000 -- seconds; operations set earlier times only
local function set_times(st, err)
  if not st then return err end
  local function text(time)
    return time.sec > NOT_SET and "now" or ("%d.%09d"):format(time.sec, time.nsec)
  end
  return text(st.atime) .. " " .. text(st.mtime)
end

local function entries(list, err)
  if not list then return err end
  local lines = {}
  for i, entry in ipairs(list) do lines[i] = entry.name .. ":" .. entry.type end
  table.sort(lines)
  return table.concat(lines, " ")
end

-- Attribute names of the name spaces that the streams use (a security module may add its own).
local function attribute_names(list, err)
  if not list then return err end
  local kept = {}
  for _, name in ipairs(list) do
    if not name:find("^security%.") then kept[#kept + 1] = name end
  end
  return table.concat(kept, " ")
end

-- --------------------------------------------------------------------------------------------------------- operations

-- name → { weight, needs, generate() → arguments, run(side, arguments…) → outcome }
local kinds = {}

-- A kind whose first argument is a path and whose others are passed on: the common case.
local function by_path(name, weight, fn, result, ...)
  local generators = { ... }
  kinds[name] = {
    weight = weight,
    generate = function()
      local arguments = { path() }
      for i, generator in ipairs(generators) do arguments[i + 1] = generator() end
      return arguments
    end,
    run = function(side, name_in_side, ...) return result(fn(side.dir .. "/" .. name_in_side, ...)) end,
  }
end

-- A kind whose first argument is a slot with an open descriptor.
local function by_slot(name, weight, fn, result, ...)
  local generators = { ... }
  kinds[name] = {
    weight = weight,
    generate = function()
      local arguments = { slot() }
      for i, generator in ipairs(generators) do arguments[i + 1] = generator() end
      return arguments
    end,
    run = function(side, number, ...)
      local fd = side.fds[number]
      if not fd then return "closed" end
      return result(fn(fd, ...))
    end,
  }
end

-- A kind with two paths.
local function by_two_paths(name, weight, fn, generate)
  kinds[name] = {
    weight = weight,
    generate = generate or function() return { path(), path() } end,
    run = function(side, from, to, ...)
      return outcome(fn(side.dir .. "/" .. from, side.dir .. "/" .. to, ...))
    end,
  }
end

local function put(side, number, fd, err)
  if side.fds[number] then sys.close(side.fds[number]) end
  side.fds[number] = fd
  return fd and "open" or err
end

kinds.open = {
  weight = 14,
  generate = function() return { slot(), path(), open_flags(), mode() } end,
  run = function(side, number, name, flags, permissions)
    return put(side, number, sys.open(side.dir .. "/" .. name, flags, permissions))
  end,
}
kinds.tmpfile = {
  weight = 1, needs = "tmpfile",
  generate = function() return { slot(), path(), mode() } end,
  run = function(side, number, name, permissions)
    return put(side, number, sys.open(side.dir .. "/" .. name, "rdwr tmpfile cloexec", permissions))
  end,
}
kinds.link_descriptor = {
  weight = 1,
  generate = function() return { slot(), path() } end,
  run = function(side, number, name)
    local fd = side.fds[number]
    if not fd then return "closed" end
    return outcome(sys.linkat(sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, side.dir .. "/" .. name,
      "symlink_follow"))
  end,
}
kinds.close = {
  weight = 4,
  generate = function() return { slot() } end,
  run = function(side, number) return put(side, number, nil, "closed") end,
}

by_slot("read", 5, sys.read, content, length)
by_slot("pread", 5, sys.pread, content, length, offset)
by_slot("write", 6, function(fd, from, n) return sys.write(fd, data(from, n)) end, outcome, seed, length)
by_slot("pwrite", 8, function(fd, from, n, at) return sys.pwrite(fd, data(from, n), at) end, outcome,
  seed, length, offset)
by_slot("ftruncate", 3, sys.ftruncate, outcome, offset)
by_slot("fsync", 1, sys.fsync, outcome)
by_slot("fstat", 4, function(fd) return sys.fstat(fd) end, attributes)
by_slot("fchmod", 1, sys.fchmod, outcome, mode)
by_slot("fchown", 1, sys.fchown, outcome, id, id)
by_slot("fgetxattr", 1, sys.fgetxattr, content, xattr_name)
by_slot("fsetxattr", 1, function(fd, name, from, n) return sys.fsetxattr(fd, name, data(from, n)) end, outcome,
  xattr_name, seed, function() return random(0, 90) end)
-- Positions that lseek gives on directories are each filesystem's own.
by_slot("lseek", 3, function(fd, at, whence)
  local st = sys.fstat(fd)
  if st and st.type == "dir" then return "directory" end
  return sys.lseek(fd, at, whence)
end, outcome, function() return random(-100, 20000) end, function() return pick { "set", "cur", "end" } end)
by_slot("getdents", 2, function(fd)
  local _, err = sys.lseek(fd, 0)
  if err then return nil, err end
  local list, list_err = sys.getdents_all(fd)
  sys.lseek(fd, 0)
  return list, list_err
end, entries)

-- SEEK_DATA and SEEK_HOLE may differ in what they call data: only what they skip must be zeros. Written out before,
-- because a FUSE kernel with a writeback cache asks the server, which has not seen dirty pages yet.
by_slot("holes", 1, function(fd, at)
  local st = sys.fstat(fd)
  if st.type ~= "file" then return st.type end
  sys.fsync(fd)
  if at >= st.size then
    local _, err = sys.lseek(fd, at, "data")
    return err
  end
  local found, err = sys.lseek(fd, at, "data")
  if not found and err ~= "ENXIO" then return nil, err end
  local hole = sys.lseek(fd, at, "hole")
  if not hole or hole < at or hole > st.size then return "hole at " .. tostring(hole) end
  local skipped = sys.pread(fd, (found or st.size) - at, at)
  sys.lseek(fd, 0)
  return (not skipped or not skipped:find("[^%z]")) and "consistent" or "data skipped"
end, outcome, offset)

local function fallocate(name, flags, needs)
  by_slot(name, 1, function(fd, at, n) return sys.fallocate(fd, flags, at, n) end, outcome, offset, length)
  kinds[name].needs = needs
end
fallocate("fallocate", nil, "fallocate")
fallocate("fallocate_keep", "keep_size", "keep_size")
fallocate("punch_hole", "punch_hole keep_size", "punch_hole")
fallocate("zero_range", "zero_range", "zero_range")

kinds.copy = {
  weight = 2, needs = "copy_file_range",
  generate = function() return { slot(), offset(), slot(), offset(), length() } end,
  run = function(side, from, from_at, to, to_at, n)
    local a, b = side.fds[from], side.fds[to]
    if not a or not b then return "closed" end
    local total = 0
    while total < n do
      local copied, err = sys.copy_file_range(a, from_at + total, b, to_at + total, n - total)
      if not copied then return total .. " " .. err end
      if copied == 0 then break end
      total = total + copied
    end
    return tostring(total)
  end,
}

-- Writes or reads n bytes at an offset through a shared mapping, as far as the file reaches.
local function mapped(fd, prot, at, n, use)
  local st = sys.fstat(fd)
  if st.type ~= "file" then return st.type end
  if n == 0 or at + n > st.size then return "beyond the end" end
  local start = at - at % sys.page_size
  local p, err = sys.mmap(at - start + n, prot, "shared", fd, start)
  if not p then return nil, err end
  local result = use(p + (at - start))
  sys.munmap(p, at - start + n)
  return result
end
by_slot("mmap_write", 1, function(fd, from, n, at)
  return mapped(fd, "read write", at, n, function(p)
    ffi.copy(p, data(from, n), n)
    return "written"
  end)
end, outcome, seed, length, offset)
by_slot("mmap_read", 1, function(fd, n, at)
  return mapped(fd, "read", at, n, function(p) return content(ffi.string(p, n)) end)
end, outcome, length, offset)
kinds.mmap_write.needs, kinds.mmap_read.needs = "mmap_shared", "mmap_shared"

by_path("mkdir", 8, sys.mkdir, outcome, mode)
by_path("rmdir", 4, sys.rmdir, outcome)
by_path("unlink", 6, sys.unlink, outcome)
by_path("truncate", 2, sys.truncate, outcome, offset)
by_path("readlink", 2, sys.readlink, outcome)
by_path("mkfifo", 1, sys.mkfifo, outcome, mode)
by_path("mksocket", 1, function(name) return sys.mknod(name, "socket", "644") end, outcome)
by_path("stat", 4, sys.stat, attributes)
by_path("lstat", 5, sys.lstat, attributes)
by_path("chmod", 5, sys.chmod, outcome, mode)
by_path("chown", 3, sys.chown, outcome, id, id)
by_path("lchown", 1, sys.lchown, outcome, id, id)
by_path("access", 2, sys.eaccess, outcome, function() return pick { "r", "w", "x", "r w", "r w x", "f" } end)
by_path("utimens", 3, function(name, first, second)
  local ok, err = sys.lutimens(name, { first, second }, { second, first })
  if not ok then return nil, err end
  return set_times(sys.lstat(name))
end, outcome, function() return random(-1000000, 1000000000) end, function() return random(0, 999999999) end)
by_path("setxattr", 3, function(name, attribute, from, n, flags)
  return sys.setxattr(name, attribute, data(from, n), flags)
end, outcome, xattr_name, seed, function() return random(0, 90) end, function() return pick { 0, 0, 0, 1, 2 } end)
by_path("getxattr", 2, sys.getxattr, content, xattr_name)
by_path("removexattr", 1, sys.removexattr, outcome, xattr_name)
by_path("listxattr", 1, sys.listxattr, attribute_names)
for _, name in ipairs { "setxattr", "getxattr", "removexattr", "listxattr", "fgetxattr", "fsetxattr" } do
  kinds[name].needs = "user_xattr"
end
by_path("list", 3, function(name)
  local fd, err = sys.open(name, "rdonly directory cloexec")
  if not fd then return nil, err end
  local list, list_err = sys.getdents_all(fd)
  sys.close(fd)
  return list, list_err
end, entries)

by_two_paths("rename", 7, sys.rename)
by_two_paths("link", 5, sys.link)
by_two_paths("rename2", 4, sys.rename2, function()
  return { path(), path(), pick { "noreplace", "exchange", "exchange" } }
end)
kinds.rename2.needs = "rename_exchange"
by_two_paths("whiteout", 1, sys.rename2, function() return { path(), path(), "whiteout" } end)
kinds.whiteout.needs = "whiteout"
kinds.symlink = {
  weight = 3,
  generate = function()
    local target = { pick(NAMES) }
    if chance(40) then target[2] = pick(NAMES) end
    return { table.concat(target, "/"), path() }
  end,
  run = function(side, target, name) return outcome(sys.symlink(target, side.dir .. "/" .. name)) end,
}

-- ------------------------------------------------------------------------------------------------------ using them

local wheel

-- Chooses the kinds to use: those whose capability both directories have. supported(name) → boolean.
function ops.prepare(supported)
  wheel = {}
  local names = {}
  for name in pairs(kinds) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local kind = kinds[name]
    if not kind.needs or supported(kind.needs) then
      for _ = 1, kind.weight do wheel[#wheel + 1] = name end
    end
  end
end

-- A random operation; users: whether others than the caller may act.
function ops.generate(users)
  local name = pick(wheel)
  local op = kinds[name].generate()
  table.insert(op, 1, name)
  if users and chance(25) then op.as = pick { 10001, 10002 } end
  return op
end

-- Applies an operation to a side { dir, fds } with the effective ids it names; returns the outcome as text.
function ops.run(side, op)
  local kind = kinds[op[1]] or error("unknown operation " .. tostring(op[1]))
  if not op.as then return kind.run(side, unpack(op, 2)) end
  local function effective(uid)
    if uid == 0 and C.setresuid(-1, 0, -1) ~= 0 or C.setresgid(-1, uid, -1) ~= 0
      or uid ~= 0 and C.setresuid(-1, uid, -1) ~= 0 then
      error("cannot act as user " .. uid)
    end
  end
  effective(op.as)
  local result = kind.run(side, unpack(op, 2))
  effective(0)
  return result
end

-- An operation as a Lua table constructor: { "mkdir", "a", "755", as = 10001 }.
function ops.text(op)
  local parts = {}
  for i, value in ipairs(op) do
    parts[i] = type(value) == "number" and ("%d"):format(value) or ("%q"):format(value)
  end
  if op.as then parts[#parts + 1] = "as = " .. op.as end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- ------------------------------------------------------------------------------------------------------ whole trees

local function same_content(a, b)
  local fa, err_a = sys.open(a, "rdonly cloexec nonblock")
  local fb, err_b = sys.open(b, "rdonly cloexec nonblock")
  local verdict
  if not fa or not fb then
    verdict = err_a ~= err_b and ("open: %s / %s"):format(err_a or "ok", err_b or "ok") or nil
  else
    local at = 0
    repeat
      local pa, pb = sys.pread(fa, 262144, at), sys.pread(fb, 262144, at)
      if pa ~= pb then
        verdict = ("content from byte %d: %s / %s"):format(at, content(pa, "unreadable"), content(pb, "unreadable"))
      end
      at = at + (pa and #pa or 0)
    until verdict or not pa or pa == ""
  end
  if fa then sys.close(fa) end
  if fb then sys.close(fb) end
  return verdict
end

local function xattr_text(name)
  local list, err = sys.llistxattr(name)
  if not list then return err end
  local parts = {}
  for _, attribute in ipairs(list) do
    if not attribute:find("^security%.") then
      parts[#parts + 1] = attribute .. "=" .. tostring(sys.lgetxattr(name, attribute))
    end
  end
  return table.concat(parts, " ")
end

-- Times set explicitly lie long ago and must agree; others are only near each other. Not so on directories, which a
-- rename that fails may have touched, and fifos, which some filesystems do not touch when they are written.
local function long_ago(st)
  return (st.type == "file" or st.type == "symlink") and st.mtime.sec < 1000000001
end

local function differing(a, b, seen)
  local sa, sb = sys.lstat(a), sys.lstat(b)
  local ta, tb = attributes(sa, "missing"), attributes(sb, "missing")
  if ta ~= tb then return ("attributes: %s / %s"):format(ta, tb) end
  if not sa then return nil end
  if (long_ago(sa) or long_ago(sb)) and set_times(sa):match("%S+$") ~= set_times(sb):match("%S+$") then
    return ("mtime: %s / %s"):format(set_times(sa), set_times(sb))
  end
  if sa.type ~= "dir" and sa.nlink > 1 then
    local first_a, first_b = seen.a[sa.ino] or a, seen.b[sb.ino] or b
    seen.a[sa.ino], seen.b[sb.ino] = first_a, first_b
    if first_a:sub(seen.length_a) ~= first_b:sub(seen.length_b) then
      return ("hard links: of %s / of %s"):format(first_a, first_b)
    end
  end
  if sa.type == "dir" and seen.dir_links and sa.nlink ~= sb.nlink then
    return ("links of the directory: %d / %d"):format(sa.nlink, sb.nlink)
  end
  if sa.type == "symlink" then
    local la, lb = sys.readlink(a), sys.readlink(b)
    return la ~= lb and ("target: %s / %s"):format(tostring(la), tostring(lb)) or nil
  end
  local xa, xb = xattr_text(a), xattr_text(b)
  if xa ~= xb then return ("xattrs: %q / %q"):format(xa, xb) end
  return sa.type == "file" and same_content(a, b) or nil
end

-- Compares two trees: nil when they agree, else a sentence. dir_links: both count subdirectories as links.
function ops.compare(dir_a, dir_b, dir_links)
  local seen = { a = {}, b = {}, length_a = #dir_a + 1, length_b = #dir_b + 1, dir_links = dir_links }
  local function walk(name)
    local a, b = dir_a .. name, dir_b .. name
    local difference = differing(a, b, seen)
    if difference then return (name == "" and "/" or name) .. ": " .. difference end
    local st = sys.lstat(a)
    if not st or st.type ~= "dir" then return nil end
    local names_a, err_a = sys.list(a)
    local names_b, err_b = sys.list(b)
    local text_a = names_a and table.concat(names_a, " ") or err_a
    local text_b = names_b and table.concat(names_b, " ") or err_b
    if text_a ~= text_b then return ("%s: names: [%s] / [%s]"):format(name, text_a, text_b) end
    for _, child in ipairs(names_a or {}) do
      local found = walk(name .. "/" .. child)
      if found then return found end
    end
  end
  return walk ""
end

-- Whether a mounted filesystem forbids device nodes.
function ops.nodev(dir)
  local st = sys.statvfs(dir)
  return not st or bit.band(st.flag, sys.K.mount.nodev) ~= 0
end

return ops
