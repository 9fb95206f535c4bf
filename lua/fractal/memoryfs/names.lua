--- The handlers of fractal.memoryfs that deal with names: lookup, making, removing, renaming, reading directories.

local bit = require "bit"
local E = require("fractal.errno").E
local acl = require "fractal.memoryfs.acl"
local attributes = require "fractal.memoryfs.attributes"
local directory = require "fractal.memoryfs.directory"
local inodes = require "fractal.memoryfs.inodes"
local xattr = require "fractal.memoryfs.xattr"

local band, bor, bnot = bit.band, bit.bor, bit.bnot
local max = math.max
local accessed, is_directory = inodes.accessed, inodes.is_directory
local fill, fill_entry = attributes.fill, attributes.fill_entry
local S_IFMT, S_IFDIR, S_ISGID = inodes.S_IFMT, inodes.S_IFDIR, inodes.S_ISGID

local NAME_MAX = 255
local S_IFCHR, S_IFLNK = 0x2000, 0xa000
local LINK_MODE = bor(S_IFLNK, tonumber("777", 8))
local RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4 -- renameat2(2)
local FIRST_COOKIE = directory.FIRST_COOKIE

-- The inode behind a name, or nil and an errno.
local function find(store, parent, name)
  if #name > NAME_MAX then
    return nil, E.NAMETOOLONG
  end
  local dir = store.directories[parent]
  if not dir then
    return nil, E.NOTDIR
  end
  local ino = dir:find(name)
  if not ino then
    return nil, E.NOENT
  end
  return store.nodes[ino]
end

-- The directory, when the name is free in it and may be made; or nil and an errno.
local function find_place(store, parent, name)
  local existing, err = find(store, parent, name)
  if existing then
    return nil, E.EXIST
  end
  if err ~= E.NOENT then
    return nil, err
  end
  local dir = store.nodes[parent]
  if dir.nlink == 0 then -- removed, but still somebody's current directory
    return nil, E.NOENT
  end
  return dir
end

-- Takes the umask out of a new inode's mode, or hands the directory's default access control list down in its place.
local function inherit_permissions(store, dir, node, umask)
  local inherited = store.xattrs[dir.ino]
  local default = inherited and inherited[acl.DEFAULT]
  if not default then
    node.mode = band(node.mode, bnot(umask))
    return
  end
  local list = acl.decode(default)
  node.mode = acl.inherit(list, node.mode)
  if is_directory(node) then
    xattr.set(store.xattrs, node.ino, acl.DEFAULT, default, 0)
  end
  if acl.is_extended(list) then
    xattr.set(store.xattrs, node.ino, acl.ACCESS, acl.encode(list), 0)
  end
end

-- Makes an inode that is to stand in the directory: owner, group and permissions come from the caller and from there.
-- Returns it, or nil, E.NOSPC.
local function create_in(store, req, dir, mode, rdev)
  local gid = req.gid
  if band(dir.mode, S_ISGID) ~= 0 then
    gid = dir.gid
    if band(mode, S_IFMT) == S_IFDIR then
      mode = bor(mode, S_ISGID)
    end
  end
  local node, err = store:create(mode, req.uid, gid, rdev)
  if not node then
    return nil, err
  end
  if mode ~= LINK_MODE then
    inherit_permissions(store, dir, node, req.umask)
  end
  return node
end

-- Makes an inode with a name. Returns it, or nil and an errno.
local function make(store, req, parent, name, mode, rdev)
  local dir, err = find_place(store, parent, name)
  if not dir then
    return nil, err
  end
  local node
  node, err = create_in(store, req, dir, mode, rdev)
  if not node then
    return nil, err
  end
  store:add_name(dir, name, node)
  return node
end

local function remove_file(store, dir, name, node)
  if is_directory(node) then
    return nil, E.ISDIR
  end
  store:remove_name(dir, name, node)
  store:release_unused(node)
end

local function remove_directory(store, dir, name, node)
  if not is_directory(node) then
    return nil, E.NOTDIR
  end
  if store.directories[node.ino].count > 0 then
    return nil, E.NOTEMPTY
  end
  store:remove_directory(dir, name, node)
  store:release_unused(node)
end

-- rename without RENAME_EXCHANGE; target is what the new name leads to, or nil.
local function move(store, req, dir, name, node, newdir, newname, target, flags)
  local whiteout
  if band(flags, RENAME_WHITEOUT) ~= 0 then
    local err
    whiteout, err = store:create(S_IFCHR, req.uid, req.gid, 0) -- device 0:0, which hides the name in an overlay
    if not whiteout then
      return nil, err
    end
  end
  if target then
    local remove = is_directory(node) and remove_directory or remove_file
    local _, err = remove(store, newdir, newname, target)
    if err then
      if whiteout then
        store:release_unused(whiteout)
      end
      return nil, err
    end
  end
  store:move_name(dir, name, node, newdir, newname)
  if whiteout then
    store:add_name(dir, name, whiteout)
  end
end

local function rename(store, req, parent, name, newparent, newname, flags)
  local node, err = find(store, parent, name)
  if not node then
    return nil, err
  end
  local target, target_err = find(store, newparent, newname)
  if not target and target_err ~= E.NOENT then
    return nil, target_err
  end
  local dir, newdir = store.nodes[parent], store.nodes[newparent]
  if newdir.nlink == 0 then
    return nil, E.NOENT
  end
  if band(flags, RENAME_EXCHANGE) ~= 0 then
    if not target then
      return nil, E.NOENT
    end
    store:exchange_names(dir, name, node, newdir, newname, target)
  elseif target and band(flags, RENAME_NOREPLACE) ~= 0 then
    return nil, E.EXIST
  elseif target ~= node then -- two names of one file stay as they are
    return move(store, req, dir, name, node, newdir, newname, target, flags)
  end
end

-- ---- reading directories ---------------------------------------------------------------------------------------

-- Adds entries from an offset on until the buffer is full. add(dir, name, ino, next_offset) returns false then; the
-- entries "." and ".." come from add_dot.
local function read_directory(store, ino, dir, offset, add, add_dot)
  local entries = store.directories[ino]
  accessed(store.nodes[ino])
  if offset < 1 and not add_dot(store, dir, ".", ino, 1) then
    return
  end
  if offset < 2 and not add_dot(store, dir, "..", entries.parent, 2) then
    return
  end
  local names, inos = entries.names, entries.inos
  for position = entries:seek(max(offset, FIRST_COOKIE)), entries.last do
    local name = names[position]
    if name and not add(store, dir, name, inos[position], entries:offset(position)) then
      return
    end
  end
end

local function add_name(store, dir, name, ino, next_offset)
  return dir:add(name, ino, store.nodes[ino].mode, next_offset)
end

-- The inode that the two functions below put into an entry.
local filled

local function fill_filled(entry)
  fill_entry(filled, entry)
end

-- The kernel takes no reference through "." and ".." (entry.ino stays 0).
local function fill_dot(entry)
  fill(filled, entry.attr)
end

local function add_entry(store, dir, name, ino, next_offset)
  filled = store.nodes[ino]
  return dir:add(name, fill_filled, next_offset)
end

local function add_dot_entry(store, dir, name, ino, next_offset)
  filled = store.nodes[ino]
  return dir:add(name, fill_dot, next_offset)
end

-- ---- handlers ------------------------------------------------------------------------------------------------

local names = {}

--- Adds the handlers to fs. The state's field `store` is set before the first of them is called.
function names.install(fs, state)
  function fs.lookup(req, parent, name, entry)
    local store = state.store
    local node, err = find(store, parent, name)
    if not node then
      return nil, err
    end
    fill_entry(node, entry)
  end

  function fs.forget(req, ino, nlookup)
    local store = state.store
    local node = store.nodes[ino]
    node.lookups = node.lookups - nlookup
    store:release_unused(node)
  end

  function fs.mknod(req, parent, name, mode, rdev, entry)
    local node, err = make(state.store, req, parent, name, mode, rdev)
    if not node then
      return nil, err
    end
    fill_entry(node, entry)
  end

  function fs.mkdir(req, parent, name, mode, entry)
    local node, err = make(state.store, req, parent, name, bor(S_IFDIR, mode), 0)
    if not node then
      return nil, err
    end
    fill_entry(node, entry)
  end

  function fs.symlink(req, parent, name, target, entry)
    local store = state.store
    local node, err = make(store, req, parent, name, LINK_MODE, 0)
    if not node then
      return nil, err
    end
    store.targets[node.ino] = target
    node.size = #target
    fill_entry(node, entry)
  end

  function fs.readlink(req, ino)
    accessed(state.store.nodes[ino])
    return state.store.targets[ino]
  end

  function fs.link(req, ino, newparent, newname, entry)
    local store = state.store
    local dir, err = find_place(store, newparent, newname)
    if not dir then
      return nil, err
    end
    local node = store.nodes[ino]
    store:add_name(dir, newname, node)
    fill_entry(node, entry)
  end

  function fs.unlink(req, parent, name)
    local store = state.store
    local node, err = find(store, parent, name)
    if not node then
      return nil, err
    end
    return remove_file(store, store.nodes[parent], name, node)
  end

  function fs.rmdir(req, parent, name)
    local store = state.store
    local node, err = find(store, parent, name)
    if not node then
      return nil, err
    end
    return remove_directory(store, store.nodes[parent], name, node)
  end

  function fs.rename(req, parent, name, newparent, newname, flags)
    return rename(state.store, req, parent, name, newparent, newname, flags)
  end

  function fs.opendir(req, ino, open)
    local store = state.store
    local node = store.nodes[ino]
    if node.opens == 0 then
      store.directories[ino]:begin_reading()
    end
    node.opens = node.opens + 1
  end

  function fs.readdir(req, ino, dir, offset)
    read_directory(state.store, ino, dir, offset, add_name, add_name)
  end

  function fs.readdirplus(req, ino, dir, offset)
    read_directory(state.store, ino, dir, offset, add_entry, add_dot_entry)
  end

  function fs.releasedir(req, ino)
    local store = state.store
    local node = store.nodes[ino]
    node.opens = node.opens - 1
    store:release_unused(node)
  end
end

names.create_in = create_in
names.find = find
names.NAME_MAX = NAME_MAX
names.make = make

return names
