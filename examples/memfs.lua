-- A complete read-write filesystem kept in Lua tables: files, directories, symbolic and hard links, devices, extended
-- attributes, renames with flags, files that live on unlinked while open. Its contents end with the mount.
--
--   fractal-lua examples/memfs.lua /mnt
--
-- Read it to see how a filesystem by inode numbers is made. `require "fractal.memoryfs"` is the one to inherit from:
-- it also has limits, sparse-file operations and access control lists.
--
-- An inode is a table { ino, mode, uid, gid, nlink, rdev, size, atime, mtime, ctime, xattrs } and in addition
--   regular file   chunks   [index] = 4 KiB of data; an index without a chunk is a hole
--   directory      entries  [name] = { inode, slot },  slots [slot] = name,  last (slot used),  parent
--   symbolic link  target
-- It is forgotten when it has no name (nlink), no reference in the kernel (lookups) and no open file (opens).
-- For tests, two extended attributes of the root tell how many there are: user.fractal.inodes, and the sum of all
-- lookup counts, user.fractal.lookups.

local bit = require "bit"
local ffi = require "ffi"
local fractal = require "fractal"

local E = fractal.errno
local band, bor = bit.band, bit.bor

local ROOT = 1
local NAME_MAX = 255
local S_IFMT, S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR = 0xf000, 0x4000, 0x8000, 0xa000, 0x2000
local S_ISGID = 0x400
local O_NOATIME = 0x40000
local XATTR_CREATE, XATTR_REPLACE = 1, 2

local CHUNK = 4096
local TOTAL_CHUNKS = 2 ^ 24 -- what statfs calls the size: 64 GiB
local new_chunk = ffi.typeof("uint8_t[$]", CHUNK)

local fs = fractal.lowlevel {
  name = "memfs",
  single_only = true, -- all workers share these tables
  mount = { default_permissions = true }, -- the kernel checks modes and owners
}

-- What stays when this script is edited and reloaded (kill -HUP): all the files.
local store = fractal.kept("memfs", function()
  return { inodes = {}, next_ino = ROOT, inode_count = 0, used_chunks = 0 }
end)
local inodes = store.inodes

-- ---- inodes ------------------------------------------------------------------------------------------------

ffi.cdef [[
struct memfs_time { int64_t sec, nsec; };
int memfs_clock(int clock, struct memfs_time *time) __asm__("clock_gettime");
]]
local clock = ffi.new("struct memfs_time")

local function now()
  ffi.C.memfs_clock(0, clock) -- CLOCK_REALTIME
  return { sec = tonumber(clock.sec), nsec = tonumber(clock.nsec) }
end

local function kind(inode)
  return band(inode.mode, S_IFMT)
end

local function is_dir(inode)
  return kind(inode) == S_IFDIR
end

local function new_inode(mode, uid, gid)
  local time = now()
  local inode = {
    ino = store.next_ino, mode = mode, uid = uid, gid = gid, nlink = 0, rdev = 0, size = 0,
    atime = time, mtime = time, ctime = time,
    lookups = 0, opens = 0, xattrs = {},
  }
  if is_dir(inode) then
    inode.entries, inode.slots, inode.last, inode.parent = {}, {}, 0, inode
    inode.nlink = 1 -- its own "."
  else
    inode.chunks, inode.chunk_count = {}, 0
  end
  inodes[inode.ino] = inode
  store.next_ino, store.inode_count = store.next_ino + 1, store.inode_count + 1
  return inode
end

local function truncate(inode, size)
  if size < inode.size then
    local keep = math.ceil(size / CHUNK)
    for index in pairs(inode.chunks) do
      if index >= keep then
        inode.chunks[index] = nil
        inode.chunk_count, store.used_chunks = inode.chunk_count - 1, store.used_chunks - 1
      end
    end
    local tail, last = size % CHUNK, inode.chunks[keep - 1]
    if tail > 0 and last then ffi.fill(last + tail, CHUNK - tail) end
  end
  inode.size = size
end

-- Frees an inode that nothing refers to any more.
local function release_unused(inode)
  if inode.nlink == 0 and inode.lookups == 0 and inode.opens == 0 and inodes[inode.ino] then
    if inode.chunks then truncate(inode, 0) end
    inodes[inode.ino] = nil
    store.inode_count = store.inode_count - 1
  end
end

-- Notes that contents were read, as the mount option relatime does: once after each change.
local function accessed(inode)
  local atime, mtime = inode.atime, inode.mtime
  if atime.sec < mtime.sec or (atime.sec == mtime.sec and atime.nsec <= mtime.nsec) then inode.atime = now() end
end

local function fill_attr(inode, attr)
  attr.ino, attr.mode, attr.nlink = inode.ino, inode.mode, inode.nlink
  attr.uid, attr.gid, attr.rdev = inode.uid, inode.gid, inode.rdev
  attr.size, attr.blksize = inode.size, CHUNK
  attr.blocks = (inode.chunk_count or 0) * (CHUNK / 512)
  attr.atime, attr.mtime, attr.ctime = inode.atime, inode.mtime, inode.ctime
end

-- Answers with an inode; the kernel holds one reference more, until forget.
local function fill_entry(inode, entry)
  inode.lookups = inode.lookups + 1
  entry.ino = inode.ino
  fill_attr(inode, entry.attr)
end

if not inodes[ROOT] then
  local root = new_inode(bor(S_IFDIR, tonumber("1777", 8)), 0, 0) -- as /tmp: everybody may use it
  root.nlink = 2 -- and a name, the mountpoint
end

-- ---- directories -------------------------------------------------------------------------------------------

-- The place of an entry in its directory, its slot, never changes: it is the offset at which readdir goes on.
local function add_entry(dir, name, inode)
  dir.last = dir.last + 1
  dir.entries[name] = { inode = inode, slot = dir.last }
  dir.slots[dir.last] = name
  if is_dir(inode) then
    inode.parent = dir
    dir.nlink = dir.nlink + 1
  end
  inode.nlink = inode.nlink + 1
  dir.mtime = now()
  dir.ctime, inode.ctime = dir.mtime, dir.mtime
end

local function remove_entry(dir, name)
  local entry = dir.entries[name]
  local inode = entry.inode
  dir.entries[name], dir.slots[entry.slot] = nil, nil
  if is_dir(inode) then dir.nlink = dir.nlink - 1 end
  inode.nlink = inode.nlink - 1
  dir.mtime = now()
  dir.ctime, inode.ctime = dir.mtime, dir.mtime
  return inode
end

-- Closes the gaps that removals left, while nobody reads the directory.
local function compact(dir)
  local slots, last = {}, 0
  for slot = 1, dir.last do
    local name = dir.slots[slot]
    if name then
      last = last + 1
      slots[last], dir.entries[name].slot = name, last
    end
  end
  dir.slots, dir.last = slots, last
end

local function find(parent, name)
  if #name > NAME_MAX then return nil, E.NAMETOOLONG end
  local dir = inodes[parent]
  if not is_dir(dir) then return nil, E.NOTDIR end
  local entry = dir.entries[name]
  if not entry then return nil, E.NOENT end
  return entry.inode
end

-- Makes an inode with a name. The group and the setgid bit come from a setgid directory.
local function make(req, parent, name, mode)
  local existing, err = find(parent, name)
  if existing then return nil, E.EXIST end
  if err ~= E.NOENT then return nil, err end
  local dir = inodes[parent]
  if dir.nlink == 0 then return nil, E.NOENT end -- removed, but still somebody's current directory
  local gid = req.gid
  if band(dir.mode, S_ISGID) ~= 0 then
    gid = dir.gid
    if band(mode, S_IFMT) == S_IFDIR then mode = bor(mode, S_ISGID) end
  end
  local inode = new_inode(mode, req.uid, gid)
  add_entry(dir, name, inode)
  return inode
end

function fs.lookup(req, parent, name, entry)
  local inode, err = find(parent, name)
  if not inode then return nil, err end
  fill_entry(inode, entry)
end

function fs.forget(req, ino, nlookup)
  local inode = inodes[ino]
  inode.lookups = inode.lookups - nlookup
  release_unused(inode)
end

function fs.mknod(req, parent, name, mode, rdev, entry)
  local inode, err = make(req, parent, name, mode)
  if not inode then return nil, err end
  inode.rdev = rdev
  fill_entry(inode, entry)
end

function fs.mkdir(req, parent, name, mode, entry)
  return fs.mknod(req, parent, name, bor(S_IFDIR, mode), 0, entry)
end

function fs.symlink(req, parent, name, target, entry)
  local inode, err = make(req, parent, name, bor(S_IFLNK, tonumber("777", 8)))
  if not inode then return nil, err end
  inode.target, inode.size = target, #target
  fill_entry(inode, entry)
end

function fs.readlink(req, ino)
  return inodes[ino].target
end

function fs.link(req, ino, newparent, newname, entry)
  local existing, err = find(newparent, newname)
  if existing then return nil, E.EXIST end
  if err ~= E.NOENT then return nil, err end
  add_entry(inodes[newparent], newname, inodes[ino])
  fill_entry(inodes[ino], entry)
end

function fs.unlink(req, parent, name)
  local inode, err = find(parent, name)
  if not inode then return nil, err end
  if is_dir(inode) then return nil, E.ISDIR end
  remove_entry(inodes[parent], name)
  release_unused(inode)
end

function fs.rmdir(req, parent, name)
  local inode, err = find(parent, name)
  if not inode then return nil, err end
  if not is_dir(inode) then return nil, E.NOTDIR end
  if next(inode.entries) then return nil, E.NOTEMPTY end
  remove_entry(inodes[parent], name)
  inode.nlink = 0 -- "." goes too
  release_unused(inode)
end

-- Swaps what two names lead to.
local function exchange(dir, name, newdir, newname)
  local inode, other = remove_entry(dir, name), remove_entry(newdir, newname)
  add_entry(dir, name, other)
  add_entry(newdir, newname, inode)
end

function fs.rename(req, parent, name, newparent, newname, flags)
  local inode, err = find(parent, name)
  if not inode then return nil, err end
  local target, target_err = find(newparent, newname)
  if not target and target_err ~= E.NOENT then return nil, target_err end
  local dir, newdir = inodes[parent], inodes[newparent]

  if band(flags, fractal.RENAME_EXCHANGE) ~= 0 then
    if not target then return nil, E.NOENT end
    return exchange(dir, name, newdir, newname)
  end
  if target == inode then return end -- two names of one file: nothing to do
  if target then
    if band(flags, fractal.RENAME_NOREPLACE) ~= 0 then return nil, E.EXIST end
    local remove = is_dir(inode) and fs.rmdir or fs.unlink
    local _, remove_err = remove(req, newparent, newname)
    if remove_err then return nil, remove_err end
  end
  remove_entry(dir, name)
  add_entry(newdir, newname, inode)
  if band(flags, fractal.RENAME_WHITEOUT) ~= 0 then
    make(req, parent, name, S_IFCHR) -- device 0:0 tells an overlay that the name is gone
  end
end

function fs.opendir(req, ino, open)
  local dir = inodes[ino]
  if dir.opens == 0 then compact(dir) end
  dir.opens = dir.opens + 1
end

function fs.readdir(req, ino, dir, offset)
  local inode = inodes[ino]
  accessed(inode)
  if offset < 1 and not dir:add(".", ino, S_IFDIR, 1) then return end
  if offset < 2 and not dir:add("..", inode.parent.ino, S_IFDIR, 2) then return end
  for slot = math.max(offset - 1, 1), inode.last do
    local name = inode.slots[slot]
    if name then
      local child = inode.entries[name].inode
      if not dir:add(name, child.ino, child.mode, slot + 2) then return end
    end
  end
end

-- ---- attributes ----------------------------------------------------------------------------------------------

function fs.getattr(req, ino, attr)
  fill_attr(inodes[ino], attr)
end

-- The time that setattr asks for: "now", or exact to the nanosecond.
local function wanted_time(value, sec, nsec)
  if value == "now" then return now() end
  return { sec = tonumber(sec), nsec = tonumber(nsec) }
end

function fs.setattr(req, ino, set, attr)
  local inode = inodes[ino]
  inode.ctime = now()
  if set.mode then inode.mode = bor(kind(inode), band(set.mode, tonumber("7777", 8))) end
  if set.uid then inode.uid = set.uid end
  if set.gid then inode.gid = set.gid end
  if set.size then
    if is_dir(inode) then return nil, E.ISDIR end
    truncate(inode, set.size)
    inode.mtime = inode.ctime
  end
  if set.atime then inode.atime = wanted_time(set.atime, set.atime_sec, set.atime_nsec) end
  if set.mtime then inode.mtime = wanted_time(set.mtime, set.mtime_sec, set.mtime_nsec) end
  fill_attr(inode, attr)
end

function fs.statfs(req, ino, st)
  st.bsize, st.frsize, st.namelen = CHUNK, CHUNK, NAME_MAX
  st.blocks = TOTAL_CHUNKS
  st.bfree = TOTAL_CHUNKS - store.used_chunks
  st.bavail = st.bfree
  st.files = 2 ^ 31
  st.ffree = 2 ^ 31 - store.inode_count
end

-- ---- file contents -------------------------------------------------------------------------------------------

function fs.open(req, ino, open)
  local inode = inodes[ino]
  inode.opens = inode.opens + 1
  open.keep_cache = true -- all changes come through the kernel: what it has cached stays right
end

function fs.create(req, parent, name, mode, entry, open)
  local _, err = fs.mknod(req, parent, name, bor(S_IFREG, mode), 0, entry)
  if err then return nil, err end
  return fs.open(req, entry.ino, open)
end

function fs.release(req, ino)
  local inode = inodes[ino]
  inode.opens = inode.opens - 1
  release_unused(inode)
end

fs.releasedir = fs.release

function fs.read(req, ino, buf, offset)
  local inode = inodes[ino]
  if band(req.flags, O_NOATIME) == 0 then accessed(inode) end
  local total = math.max(math.min(#buf, inode.size - offset), 0)
  local done = 0
  while done < total do
    local at = (offset + done) % CHUNK
    local n = math.min(CHUNK - at, total - done)
    local chunk = inode.chunks[(offset + done - at) / CHUNK]
    if chunk then
      ffi.copy(buf.ptr + done, chunk + at, n)
    else
      buf:fill(0, done, n)
    end
    done = done + n
  end
  return total
end

function fs.write(req, ino, data, offset)
  local inode = inodes[ino]
  local total, done = #data, 0
  while done < total do
    local at = (offset + done) % CHUNK
    local n = math.min(CHUNK - at, total - done)
    local index = (offset + done - at) / CHUNK
    local chunk = inode.chunks[index]
    if not chunk then
      chunk = new_chunk()
      inode.chunks[index] = chunk
      inode.chunk_count, store.used_chunks = inode.chunk_count + 1, store.used_chunks + 1
    end
    ffi.copy(chunk + at, data.ptr + done, n)
    done = done + n
  end
  inode.size = math.max(inode.size, offset + total)
  inode.mtime = now()
  inode.ctime = inode.mtime
  return total
end

-- ---- extended attributes -------------------------------------------------------------------------------------

local namespaces = { user = true, trusted = true, security = true } -- "system" would be access control lists

local function in_namespace(name)
  return namespaces[name:match("^%w+")]
end

function fs.setxattr(req, ino, name, value, flags)
  if not in_namespace(name) then return nil, E.OPNOTSUPP end
  local inode = inodes[ino]
  local exists = inode.xattrs[name] ~= nil
  if exists and band(flags, XATTR_CREATE) ~= 0 then return nil, E.EXIST end
  if not exists and band(flags, XATTR_REPLACE) ~= 0 then return nil, E.NODATA end
  inode.xattrs[name] = value:string()
  inode.ctime = now()
end

function fs.getxattr(req, ino, name)
  if ino == ROOT and name == "user.fractal.inodes" then return tostring(store.inode_count) end
  if ino == ROOT and name == "user.fractal.lookups" then
    local sum = 0
    for _, inode in pairs(inodes) do sum = sum + inode.lookups end
    return tostring(sum)
  end
  local value = inodes[ino].xattrs[name]
  if not value then return nil, in_namespace(name) and E.NODATA or E.OPNOTSUPP end
  return value
end

function fs.listxattr(req, ino)
  local names = {}
  for name in pairs(inodes[ino].xattrs) do
    -- The kernel lets only root get at trusted attributes, but leaves it to us not to list them.
    if req.uid == 0 or not name:find("^trusted%.") then names[#names + 1] = name end
  end
  return names
end

function fs.removexattr(req, ino, name)
  local inode = inodes[ino]
  if not inode.xattrs[name] then return nil, in_namespace(name) and E.NODATA or E.OPNOTSUPP end
  inode.xattrs[name] = nil
  inode.ctime = now()
end

return fs
