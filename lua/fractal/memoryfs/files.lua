--- The handlers of fractal.memoryfs that deal with one inode: attributes, contents, extended attributes.

local bit = require "bit"
local E = require("fractal.errno").E
local acl = require "fractal.memoryfs.acl"
local attributes = require "fractal.memoryfs.attributes"
local inodes = require "fractal.memoryfs.inodes"
local names = require "fractal.memoryfs.names"
local xattr = require "fractal.memoryfs.xattr"

local band, bnot, bor = bit.band, bit.bnot, bit.bor
local min = math.min
local accessed, changed, modified = inodes.accessed, inodes.changed, inodes.modified
local fill, fill_entry, kill_privileges = attributes.fill, attributes.fill_entry, attributes.kill_privileges
local S_IFMT, S_IFREG, S_ISGID = inodes.S_IFMT, inodes.S_IFREG, inodes.S_ISGID

local MODE_BITS = tonumber("7777", 8)
local MAX_SIZE = 2 ^ 53 -- bytes; offsets are Lua numbers
local O_EXCL, O_TRUNC, O_NOATIME = 0x80, 0x200, 0x40000 -- open(2)
local SEEK_DATA, SEEK_HOLE = 3, 4 -- lseek(2)
local KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 0x10 -- fallocate(2)
local ACL_KILL_SGID = 1 -- setxattr_flags

-- ---- attributes ----------------------------------------------------------------------------------------------

-- Sets a node's permission bits, and with them those of its access control list.
local function change_mode(store, node, mode)
  node.mode = bor(band(node.mode, S_IFMT), band(mode, MODE_BITS))
  local extended = store.xattrs[node.ino]
  local value = extended and extended[acl.ACCESS]
  if value then
    local list = acl.decode(value)
    acl.from_mode(list, mode)
    extended[acl.ACCESS] = acl.encode(list)
  end
end

-- Sets the size. fh is there for ftruncate(2), which counts as a change whatever the size was.
local function change_size(store, node, size, fh)
  if size > MAX_SIZE then
    return nil, E.FBIG
  end
  local same = size == node.size
  store.data:truncate(node, size)
  if fh or not same then
    modified(node)
  end
  return true
end

local function set_times(node, set)
  local atime, mtime = set.atime, set.mtime
  if atime == "now" then
    node.atime_sec, node.atime_nsec = node.ctime_sec, node.ctime_nsec
  elseif atime then
    node.atime_sec, node.atime_nsec = set.atime_sec, set.atime_nsec
  end
  if mtime == "now" then
    node.mtime_sec, node.mtime_nsec = node.ctime_sec, node.ctime_nsec
  elseif mtime then
    node.mtime_sec, node.mtime_nsec = set.mtime_sec, set.mtime_nsec
  end
  if set.ctime then
    node.ctime_sec, node.ctime_nsec = set.ctime_sec, set.ctime_nsec
  end
end

local function install_attributes(fs, state)
  function fs.getattr(req, ino, attr)
    fill(state.store.nodes[ino], attr)
  end

  function fs.setattr(req, ino, set, attr, fh)
    local store = state.store
    local node = store.nodes[ino]
    local size = set.size
    if size then
      local ok, err = change_size(store, node, size, fh)
      if not ok then
        return nil, err
      end
    end
    if set.kill_suidgid then
      kill_privileges(store, req, node)
    end
    if set.mode then
      change_mode(store, node, set.mode)
    end
    node.uid, node.gid = set.uid or node.uid, set.gid or node.gid
    changed(node)
    set_times(node, set)
    fill(node, attr)
  end

  function fs.statx(req, ino, stx)
    attributes.fill_extended(state.store.nodes[ino], stx)
  end

  function fs.statfs(req, ino, st)
    local store = state.store
    local pages = store.data.pages
    st.bsize, st.frsize, st.namelen = state.page_size, state.page_size, names.NAME_MAX
    st.blocks, st.bfree, st.bavail = pages.limit, pages:free(), pages:free()
    st.files, st.ffree = store.limit, store.limit - store.count
  end
end

-- ---- open files ----------------------------------------------------------------------------------------------

-- Opens an inode. All changes come through the kernel, so what it has cached stays right. A file that was made for
-- this open has nothing to truncate, and O_TRUNC takes no set-id bits from it.
local function open_node(store, req, node, open, created)
  if not created and band(open.flags, O_TRUNC) ~= 0 then
    store.data:truncate(node, 0)
    modified(node)
    if req.kill_suidgid then
      kill_privileges(store, req, node)
    end
  end
  node.opens = node.opens + 1
  open.keep_cache = true
  open.parallel_direct_writes = true
end

local function install_open(fs, state)
  function fs.open(req, ino, open)
    local store = state.store
    open_node(store, req, store.nodes[ino], open)
  end

  function fs.create(req, parent, name, mode, entry, open)
    local store = state.store
    local node, err = names.find(store, parent, name)
    local created = not node
    if node and band(open.flags, O_EXCL) ~= 0 then
      return nil, E.EXIST
    elseif not node then
      if err ~= E.NOENT then
        return nil, err
      end
      node, err = names.make(store, req, parent, name, bor(S_IFREG, band(mode, MODE_BITS)), 0)
      if not node then
        return nil, err
      end
    end
    open_node(store, req, node, open, created)
    fill_entry(node, entry)
  end

  function fs.tmpfile(req, parent, mode, entry, open)
    local store = state.store
    local node, err = names.create_in(store, req, store.nodes[parent], bor(S_IFREG, band(mode, MODE_BITS)), 0)
    if not node then
      return nil, err
    end
    open_node(store, req, node, open, true)
    fill_entry(node, entry)
  end

  function fs.release(req, ino)
    local store = state.store
    local node = store.nodes[ino]
    node.opens = node.opens - 1
    store:release_unused(node)
  end
end

-- ---- contents ------------------------------------------------------------------------------------------------

-- A change of contents that the kernel announces without saying whether privileges end: they do unless root made it.
local function modified_by(store, req, node)
  modified(node)
  if req.uid ~= 0 then
    kill_privileges(store, req, node)
  end
end

local function allocate(store, node, mode, offset, length)
  if mode == bor(PUNCH_HOLE, KEEP_SIZE) then
    store.data:punch(node, offset, length)
    return true
  elseif band(mode, bnot(bor(KEEP_SIZE, ZERO_RANGE))) ~= 0 then
    return nil, E.OPNOTSUPP
  elseif offset + length > MAX_SIZE then
    return nil, E.FBIG
  end
  local contents = store.data
  local fill_range = band(mode, ZERO_RANGE) ~= 0 and contents.zero or contents.allocate
  local ok, err = fill_range(contents, node, offset, length)
  if ok and band(mode, KEEP_SIZE) == 0 and offset + length > node.size then
    node.size = offset + length
  end
  return ok, err
end

local function install_contents(fs, state)
  function fs.read(req, ino, buf, offset)
    local store = state.store
    local node = store.nodes[ino]
    local n = min(#buf, node.size - offset)
    if band(req.flags, O_NOATIME) == 0 then
      accessed(node)
    end
    if n <= 0 then
      return 0
    end
    store.data:read(node, buf.ptr, offset, n)
    return n
  end

  function fs.write(req, ino, data, offset)
    local store = state.store
    local node = store.nodes[ino]
    local n = #data
    if offset + n > MAX_SIZE then
      return nil, E.FBIG
    end
    local written, err = store.data:write(node, data.ptr, offset, n)
    if not written then
      return nil, err
    end
    modified(node)
    if req.kill_suidgid then
      kill_privileges(store, req, node)
    end
    return written
  end

  function fs.fallocate(req, ino, mode, offset, length)
    local store = state.store
    local node = store.nodes[ino]
    local ok, err = allocate(store, node, mode, offset, length)
    if not ok then
      return nil, err
    end
    modified_by(store, req, node)
  end

  function fs.lseek(req, ino, offset, whence)
    local store = state.store
    local node = store.nodes[ino]
    if whence == SEEK_DATA then
      return store.data:seek_data(node, offset)
    elseif whence == SEEK_HOLE then
      return store.data:seek_hole(node, offset)
    end
    return nil, E.INVAL -- the kernel answers the others itself
  end

  function fs.copy_file_range(req, ino, offset, fh, newino, newoffset, newfh, length)
    local store = state.store
    local source, target = store.nodes[ino], store.nodes[newino]
    if newoffset + length > MAX_SIZE then
      return nil, E.FBIG
    end
    local copied, err = store.data:copy(source, offset, target, newoffset, length)
    if not copied then
      return nil, err
    end
    accessed(source)
    modified_by(store, req, target)
    return copied
  end
end

-- ---- extended attributes -------------------------------------------------------------------------------------

-- Sets an access control list: its permissions become the mode, and one that says no more than a mode is not kept.
local function set_acl(store, req, node, name, value, flags)
  local list = acl.decode(value)
  if not list then
    return nil, E.INVAL
  end
  if name == acl.ACCESS then
    node.mode = acl.to_mode(list, node.mode)
    if band(req.setxattr_flags or 0, ACL_KILL_SGID) ~= 0 then
      node.mode = band(node.mode, bnot(S_ISGID))
    end
    if not acl.is_extended(list) then
      xattr.remove(store.xattrs, node.ino, name)
      return true
    end
  end
  return xattr.set(store.xattrs, node.ino, name, value, flags)
end

local function is_acl(name)
  return name == acl.ACCESS or name == acl.DEFAULT
end

local function install_xattrs(fs, state)
  function fs.setxattr(req, ino, name, value, flags)
    local store = state.store
    local node = store.nodes[ino]
    local ok, err = xattr.check_name(name, state.acl)
    if ok then
      local text = value:string()
      if is_acl(name) then
        ok, err = set_acl(store, req, node, name, text, flags)
      else
        ok, err = xattr.set(store.xattrs, ino, name, text, flags)
      end
    end
    if not ok then
      return nil, err
    end
    changed(node)
  end

  function fs.getxattr(req, ino, name)
    local value, err = xattr.get(state.store.xattrs, ino, name)
    if not value then
      local ok, name_err = xattr.check_name(name, state.acl)
      return nil, ok and err or name_err
    end
    return value
  end

  function fs.listxattr(req, ino)
    return xattr.list(state.store.xattrs, ino, req.uid == 0)
  end

  function fs.removexattr(req, ino, name)
    local store = state.store
    local ok, err = xattr.check_name(name, state.acl)
    if ok then
      ok, err = xattr.remove(store.xattrs, ino, name)
    end
    if not ok and not (err == E.NODATA and is_acl(name)) then -- no list to remove: as good as removed
      return nil, err
    end
    changed(store.nodes[ino])
  end
end

local files = {}

--- Adds the handlers to fs. The state's fields `store`, `page_size` and `acl` (whether access control lists are kept)
-- are set before the first of them is called.
function files.install(fs, state)
  install_attributes(fs, state)
  install_open(fs, state)
  install_contents(fs, state)
  install_xattrs(fs, state)
end

return files
