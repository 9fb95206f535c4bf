-- A complete filesystem by path, kept in Lua tables: what spec/mount/pathfs_spec.lua puts through the POSIX suite.
-- HIDE is replaced with a value of the setting hide_unlinked.

local bit = require "bit"
local ffi = require "ffi"
local fractal = require "fractal"
local E = fractal.errno

ffi.cdef [[ int fractal_spec_clock_gettime(int clock, void *time) __asm__("clock_gettime"); ]]
local clock = ffi.new("struct { int64_t sec, nsec; }")

local S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_ISGID, S_ISUID = 0xf000, 0x8000, 0x4000, 0xa000, 0x400, 0x800
local band, bor, bnot = bit.band, bit.bor, bit.bnot

local settings = { name = "tables", entry_ttl = 1, attr_ttl = 0, hide_unlinked = HIDE } -- luacheck: ignore HIDE
local fs = fractal.pathfs(settings)

local function now()
  ffi.C.fractal_spec_clock_gettime(0, clock)
  return { sec = tonumber(clock.sec), nsec = tonumber(clock.nsec) }
end

-- A node is what getattr returns, with its contents beside the attributes.
local function new_node(mode, uid, gid)
  local time = now()
  local node = {
    mode = mode, uid = uid, gid = gid, nlink = 1, size = 0, atime = time, mtime = time, ctime = time, xattrs = {},
  }
  if band(mode, S_IFMT) == S_IFDIR then
    node.names, node.nlink = {}, 2
  elseif band(mode, S_IFMT) == S_IFREG then
    node.text = ""
  end
  return node
end

local root = new_node(0x41ff, 0, 0)
local last_ino = 1
root.ino = 1

local function find(path)
  local node = root
  for name in path:gmatch("[^/]+") do
    node = node.names and node.names[name]
    if not node then return nil, E.NOENT end
  end
  return node
end

local function split(path)
  local dir, name = path:match("^(.*)/([^/]+)$")
  return find(dir), name
end

local function changed(node) node.ctime = now() end
local function modified(node) node.mtime = now() node.ctime = node.mtime end
local function is_dir(node) return node.names ~= nil end

local function add(path, node)
  local dir, name = split(path)
  dir.names[name] = node
  if is_dir(node) then dir.nlink = dir.nlink + 1 end
  modified(dir)
end

local function remove(path)
  local dir, name = split(path)
  local node = dir.names[name]
  dir.names[name] = nil
  if is_dir(node) then dir.nlink = dir.nlink - 1 end
  modified(dir)
  return node
end

-- A new file belongs to the caller; in a set-group-id directory to that one's group.
local function make(path, mode)
  local req, dir = fractal.request(), split(path)
  local gid = req.gid
  if band(dir.mode, S_ISGID) ~= 0 then
    gid = dir.gid
    if band(mode, S_IFMT) == S_IFDIR then mode = bor(mode, S_ISGID) end
  end
  local node = new_node(mode, req.uid, gid)
  last_ino = last_ino + 1
  node.ino = last_ino
  add(path, node)
  return node
end

function fs.getattr(path, handle)
  if handle then return handle end
  return find(path)
end

function fs.readdir(path)
  local dir = find(path)
  dir.atime = now()
  return next, dir.names
end

function fs.mkdir(path, mode) make(path, bor(S_IFDIR, mode)) end
function fs.create(path, mode) return make(path, mode) end
function fs.mknod(path, mode, rdev) make(path, mode).rdev = rdev end

function fs.symlink(target, path)
  local node = make(path, bor(S_IFLNK, 0x1ff))
  node.target, node.size = target, #target
end

function fs.readlink(path) return find(path).target end
function fs.open(path) return find(path) end

function fs.read(_, buf, offset, node)
  node.atime = now()
  return node.text:sub(offset + 1, offset + #buf)
end

local function resize(node, size)
  node.text = node.text:sub(1, size) .. ("\0"):rep(size - #node.text)
  node.size = size
end

-- Changed contents lose the set-id bits unless root changes them.
local function drop_set_id(node)
  if fractal.request().uid ~= 0 then
    local drop = band(node.mode, 8) ~= 0 and bor(S_ISUID, S_ISGID) or S_ISUID
    node.mode = band(node.mode, bnot(drop))
  end
end

function fs.write(_, data, offset, node)
  if #data == 0 then return 0 end
  if offset > #node.text then resize(node, offset) end
  node.text = node.text:sub(1, offset) .. data:string() .. node.text:sub(offset + #data + 1)
  node.size = #node.text
  drop_set_id(node)
  modified(node)
  return #data
end

function fs.truncate(path, size, handle)
  local node = handle or find(path)
  if size > 2 ^ 28 then return nil, E.FBIG end
  resize(node, size)
  drop_set_id(node)
  modified(node)
end

function fs.chmod(path, mode, handle)
  local node = handle or find(path)
  node.mode = mode
  changed(node)
end

function fs.chown(path, uid, gid, handle)
  local node = handle or find(path)
  node.uid, node.gid = uid, gid
  changed(node)
end

function fs.utimens(path, _, _, handle, exact)
  local node = handle or find(path)
  node.atime, node.mtime = exact.atime, exact.mtime
  changed(node)
end

function fs.unlink(path)
  local node = remove(path)
  node.nlink = node.nlink - 1
  changed(node)
end

function fs.rmdir(path)
  local node = find(path)
  if next(node.names) then return nil, E.NOTEMPTY end
  remove(path).nlink = 0
end

function fs.link(from, to)
  local node = find(from)
  node.nlink = node.nlink + 1
  changed(node)
  add(to, node)
end

function fs.rename(from, to, flags)
  local old, new = find(from), find(to)
  if flags == fractal.RENAME_EXCHANGE then
    remove(from)
    remove(to)
    add(from, new)
    add(to, old)
    changed(old)
    changed(new)
    return
  elseif band(flags, fractal.RENAME_WHITEOUT) ~= 0 then
    return nil, E.INVAL
  elseif new and is_dir(new) and next(new.names) then
    return nil, E.NOTEMPTY
  end
  if new then
    remove(to)
    new.nlink = is_dir(new) and 0 or new.nlink - 1
    changed(new)
  end
  add(to, remove(from))
  changed(old)
end

local function is_known(name)
  local space = name:match("^%w+")
  return space == "user" or space == "trusted" or space == "security"
end

function fs.setxattr(path, name, value, flags)
  local node = find(path)
  if not is_known(name) then return nil, E.OPNOTSUPP end
  local there = node.xattrs[name] ~= nil
  if flags == fractal.XATTR_CREATE and there then return nil, E.EXIST end
  if flags == fractal.XATTR_REPLACE and not there then return nil, E.NODATA end
  node.xattrs[name] = value:string()
  changed(node)
end

function fs.getxattr(path, name)
  if not is_known(name) then return nil, E.OPNOTSUPP end
  local value = find(path).xattrs[name]
  if not value then return nil, E.NODATA end
  return value
end

function fs.listxattr(path)
  local names = {}
  for name in pairs(find(path).xattrs) do
    if name:sub(1, 8) ~= "trusted." or fractal.request().uid == 0 then names[#names + 1] = name end
  end
  return names
end

function fs.removexattr(path, name)
  if not is_known(name) then return nil, E.OPNOTSUPP end
  local node = find(path)
  if not node.xattrs[name] then return nil, E.NODATA end
  node.xattrs[name] = nil
  changed(node)
end

function fs.statfs()
  return { bsize = 4096, frsize = 4096, blocks = 262144, bfree = 131072, bavail = 131072, namelen = 255 }
end

function fs.fsync() end
function fs.fsyncdir() end
function fs.flush() end

return fs
