--- `fractal.passthrough`: mirrors a directory. An ordinary handler table: override any handler, keep the rest.
--
--     local fs = require "fractal.passthrough" { options = { source = "directory to mirror" } }
--     return fs
--
-- Settings beside the usual ones: `source` (default directory), `cache` ("never": each access asks the source; "auto":
-- one second, pages dropped when a file changed; "always": the mount is the only writer), `passthrough` ("on": the
-- kernel reads and writes the source's files itself; needs root). On the command line: -o source=DIR,cache=never, …
--
-- An inode is an O_PATH descriptor in a table that all states share, found by device and inode number, so hard links
-- are one inode and renames change nothing. Names are looked up one at a time without following links: nothing leads
-- out of the source.

local ffi = require "ffi"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local log = require "fractal.log"
local source = require "fractal.passthrough.source"

local C, E = ffi.C, errno.E
local TABLE = "fractal.passthrough"

local CACHE = {
  never = { attr_ttl = 0, entry_ttl = 0, direct_io = true },
  auto = { attr_ttl = 1, entry_ttl = 1 },
  always = { attr_ttl = 86400, entry_ttl = 86400, keep_cache = true },
}

local OWN_OPTIONS = {
  source = "the directory to mirror",
  cache = "never, auto (default) or always: how long the kernel may keep names, attributes and pages",
  passthrough = "on: the kernel reads and writes the files itself (root only)",
}

local function merged(...)
  local all = {}
  for i = 1, select("#", ...) do
    for key, value in pairs(select(i, ...) or {}) do
      all[key] = value
    end
  end
  return all
end

--- Splits what the script gave into settings of every filesystem and our own.
local function split_settings(given)
  local own = { source = given.source, cache = given.cache, passthrough = given.passthrough }
  local common = merged({ name = "passthrough", state = "per-worker" }, given)
  common.source, common.cache, common.passthrough = nil, nil, nil
  common.options = merged(OWN_OPTIONS, given.options)
  common.mount = merged({ default_permissions = true }, given.mount)
  return common, own
end

--- What the handlers share: `p.inodes`, `p.cache`, `p.use_backing`, and the way from descriptors to inodes.
local function new_context()
  local p = {}
  local ref = ffi.new("struct fractal_inode_ref")

  --- The O_PATH descriptor of an inode.
  function p.fd(ino)
    return tonumber(C.fractal_inodes_value(p.inodes, ino))
  end

  function p.fill_attr(attr, st)
    attr.ino, attr.size, attr.blocks = st.ino, st.size, st.blocks
    attr.atime_sec, attr.atime_nsec = st.sx_atime.sec, st.sx_atime.nsec
    attr.mtime_sec, attr.mtime_nsec = st.sx_mtime.sec, st.sx_mtime.nsec
    attr.ctime_sec, attr.ctime_nsec = st.sx_ctime.sec, st.sx_ctime.nsec
    attr.mode, attr.nlink, attr.uid, attr.gid = st.mode, st.nlink, st.uid, st.gid
    attr.rdev = source.device(st.rdev_major, st.rdev_minor)
    attr.blksize = st.blksize
  end

  --- Makes a descriptor an inode's, or drops it where the inode is known, and counts a lookup. Returns the reference
  -- and the
  -- attributes, both valid until the next call; or nil and an errno.
  function p.reference(fd)
    local st, err = source.stat(fd)
    local rc = 0
    if st then
      rc = C.fractal_inodes_ref(p.inodes, st.dev_major * 4294967296ULL + st.dev_minor, st.ino, fd, ref)
    end
    if not st or rc < 0 or not ref.fresh then
      source.close(fd)
    end
    if not st or rc < 0 then
      return nil, err or -rc
    end
    return ref, st
  end

  --- Looks a name up below a directory and fills the entry, which counts as a lookup.
  function p.enter(parent, name, entry)
    local fd, err = source.reference(p.fd(parent), name)
    if not fd then
      return nil, err
    end
    local node, st = p.reference(fd)
    if not node then
      return nil, st
    end
    entry.nodeid, entry.generation = node.id, node.generation
    p.fill_attr(entry.attr, st)
    entry.attr_ttl, entry.entry_ttl = p.cache.attr_ttl, p.cache.entry_ttl
    return true
  end

  return p
end

--- Runs as `init`: opens the source and makes it the root inode.
local function start(fs, p, own, conn)
  local dir, cache = fs.options.source or own.source, fs.options.cache or own.cache or "auto"
  if not dir then
    log.error("name the directory to mirror: -o source=DIR")
    return nil, E.INVAL
  elseif not CACHE[cache] then
    log.error("cache=%s: choose never, auto or always", tostring(cache))
    return nil, E.INVAL
  end
  source.clear_umask()
  p.cache = CACHE[cache]
  p.use_backing = (fs.options.passthrough or own.passthrough or "off") ~= "off"
  if p.use_backing then
    conn.passthrough = true
  end
  local fd, err = source.open_directory(dir)
  if not fd then
    log.error("the source %s cannot be opened: %s", dir, errno.strerror(err))
    return nil, err
  end
  p.inodes = C.fractal_session_inodes(C.fractal_worker_session(C.fractal_worker_current()), TABLE, true)
  local node, why = p.reference(fd)
  if not node then
    return nil, why
  end
end

--- Makes the handler table.
return function(given)
  local common, own = split_settings(given or {})
  local fs, p = filesystem.lowlevel(common), new_context()
  function fs.init(conn)
    return start(fs, p, own, conn)
  end
  for _, part in ipairs { "names", "attributes", "files", "directories" } do
    require("fractal.passthrough." .. part)(fs, p)
  end
  return fs
end
