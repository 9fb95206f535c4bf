--- The inodes of one filesystem: attributes, and what belongs to an inode by its kind.
--
-- Attributes are C structures, so that a million of them are small and cost the garbage collector little; what only
-- some inodes have (entries, target, extended attributes) stands in tables by inode number. An inode is freed when it
-- has neither a name (nlink) nor a reference in the kernel (lookups) nor an open handle (opens). Its number is then
-- used again with another generation.

local ffi = require "ffi"
local bit = require "bit"
local E = require("fractal.errno").E
local data = require "fractal.memoryfs.data"
local directory = require "fractal.memoryfs.directory"

local C = ffi.C
local band, bor = bit.band, bit.bor

ffi.cdef [[
int fractal_memoryfs_clock_gettime(int clock, void *time) __asm__("clock_gettime");
]]

local S_IFMT, S_IFDIR, S_IFREG, S_ISGID = 0xf000, 0x4000, 0x8000, 0x400
local CLOCK_REALTIME = 0
local DAY = 86400 -- seconds
local ROOT = 1

-- Times are split so that they are exact to the nanosecond; numbers below 2^53 are doubles, which Lua reads without
-- making an object. `first`, `pages` and `top` belong to data.lua.
local node_t = ffi.typeof [[struct {
  double ino, generation, size, top, lookups;
  double atime_sec, mtime_sec, ctime_sec, btime_sec;
  uint32_t atime_nsec, mtime_nsec, ctime_nsec, btime_nsec;
  uint32_t mode, nlink, uid, gid, rdev;
  uint32_t first, pages, opens;
}]]

local clock = ffi.new("struct { int64_t sec, nsec; }")

local Inodes = {}
Inodes.__index = Inodes

--- Makes the store of one filesystem. limits: pages and inodes, numbers. Returns nil and a sentence on failure.
local function new(limits)
  local contents, reason = data.new(limits.pages)
  if not contents then
    return nil, reason
  end
  return setmetatable({
    nodes = {}, -- [ino] = attributes
    directories = {}, -- [ino] = entries, see directory.lua
    targets = {}, -- [ino] = target of a symbolic link
    xattrs = {}, -- [ino] = { [name] = value }
    data = contents,
    count = 0,
    limit = limits.inodes,
    highest = 0, -- the highest number ever used
    free = {}, -- numbers to use again
    generation = 0,
  }, Inodes)
end

-- ---- times ---------------------------------------------------------------------------------------------------

local function read_clock()
  C.fractal_memoryfs_clock_gettime(CLOCK_REALTIME, clock)
  return tonumber(clock.sec), tonumber(clock.nsec)
end

--- The status of the inode changed (ctime).
local function changed(node)
  node.ctime_sec, node.ctime_nsec = read_clock()
end

--- Its contents changed (mtime and ctime).
local function modified(node)
  local sec, nsec = read_clock()
  node.mtime_sec, node.mtime_nsec = sec, nsec
  node.ctime_sec, node.ctime_nsec = sec, nsec
end

-- Whether the first time is later than the second.
local function later(sec, nsec, other_sec, other_nsec)
  return sec > other_sec or (sec == other_sec and nsec > other_nsec)
end

--- Its contents were read (atime), written down as the mount option relatime does: when the old time is not later
-- than the last change, or a day old.
local function accessed(node)
  local atime, nsec = node.atime_sec, node.atime_nsec
  local now, now_nsec = read_clock()
  if not later(atime, nsec, node.mtime_sec, node.mtime_nsec)
    or not later(atime, nsec, node.ctime_sec, node.ctime_nsec)
    or now - atime >= DAY then
    node.atime_sec, node.atime_nsec = now, now_nsec
  end
end

-- ---- inodes --------------------------------------------------------------------------------------------------

local function is_directory(node)
  return band(node.mode, S_IFMT) == S_IFDIR
end

--- Makes an inode without a name. Returns it, or nil, E.NOSPC. It is freed by release_unused() unless it gets a name.
function Inodes:create(mode, uid, gid, rdev)
  if self.count >= self.limit then
    return nil, E.NOSPC
  end
  local ino = table.remove(self.free)
  if not ino then
    ino = self.highest + 1
    self.highest = ino
  end
  self.count = self.count + 1
  self.generation = self.generation + 1

  local node = node_t()
  node.ino, node.generation = ino, self.generation
  node.mode, node.uid, node.gid, node.rdev = mode, uid, gid, rdev
  modified(node)
  node.atime_sec, node.atime_nsec = node.mtime_sec, node.mtime_nsec
  node.btime_sec, node.btime_nsec = node.mtime_sec, node.mtime_nsec
  self.nodes[ino] = node
  if is_directory(node) then
    self.directories[ino] = directory.new(ino)
    node.nlink = 1 -- its own "."
    node.size = directory.SIZE
  end
  return node
end

--- Makes the root directory, the first inode.
function Inodes:create_root(mode, uid, gid)
  local root = assert(self:create(bor(S_IFDIR, mode), uid, gid, 0))
  assert(root.ino == ROOT, "the root is made first")
  root.nlink = 2
  return root
end

--- Frees an inode that nothing refers to any more.
function Inodes:release_unused(node)
  local ino = node.ino
  if node.nlink > 0 or node.lookups > 0 or node.opens > 0 or self.nodes[ino] ~= node then
    return
  end
  self.data:truncate(node, 0)
  self.nodes[ino] = nil
  self.directories[ino] = nil
  self.targets[ino] = nil
  self.xattrs[ino] = nil
  self.free[#self.free + 1] = ino
  self.count = self.count - 1
end

--- The sum of all references that the kernel holds.
function Inodes:lookups()
  local sum = 0
  for _, node in pairs(self.nodes) do
    sum = sum + node.lookups
  end
  return sum
end

-- ---- names ---------------------------------------------------------------------------------------------------

--- Gives the inode a name in a directory, where that name is free.
function Inodes:add_name(dir, name, node)
  self.directories[dir.ino]:add(name, node.ino)
  dir.size = dir.size + directory.ENTRY_SIZE
  if is_directory(node) then
    self.directories[node.ino].parent = dir.ino
    dir.nlink = dir.nlink + 1
  end
  node.nlink = node.nlink + 1
  modified(dir)
  changed(node)
end

--- Takes a name away from its inode; an inode without names stays until release_unused().
function Inodes:remove_name(dir, name, node)
  self.directories[dir.ino]:remove(name)
  dir.size = dir.size - directory.ENTRY_SIZE
  if is_directory(node) then
    dir.nlink = dir.nlink - 1
  end
  node.nlink = node.nlink - 1
  modified(dir)
  changed(node)
end

--- Takes the name of an empty directory away, and with it its ".".
function Inodes:remove_directory(dir, name, node)
  self:remove_name(dir, name, node)
  node.nlink = 0
end

-- Makes a name lead to another inode and leaves link counts of files alone.
local function replace_name(self, dir, name, old, node)
  self.directories[dir.ino]:replace(name, node.ino)
  if is_directory(old) then
    dir.nlink = dir.nlink - 1
  end
  if is_directory(node) then
    self.directories[node.ino].parent = dir.ino
    dir.nlink = dir.nlink + 1
  end
  modified(dir)
  changed(node)
end

--- Swaps what two names lead to (renameat2(2) RENAME_EXCHANGE).
function Inodes:exchange_names(dir, name, node, newdir, newname, other)
  replace_name(self, dir, name, node, other)
  replace_name(self, newdir, newname, other, node)
end

--- Moves a name to where newname is free.
function Inodes:move_name(dir, name, node, newdir, newname)
  self:remove_name(dir, name, node)
  self:add_name(newdir, newname, node)
end

return {
  new = new,
  changed = changed,
  modified = modified,
  accessed = accessed,
  is_directory = is_directory,
  ROOT = ROOT,
  S_IFMT = S_IFMT,
  S_IFDIR = S_IFDIR,
  S_IFREG = S_IFREG,
  S_ISGID = S_ISGID,
}
