--- `fractal.passthrough`: mirrors a directory. An ordinary handler table: override any handler, call the old one.
--
--     local fs = require "fractal.passthrough" { source = "/srv/data" }
--     local write = fs.write
--     function fs.write(req, ino, data, offset, fh)
--       fractal.log.info("%d bytes for inode %d", #data, ino)
--       return write(req, ino, data, offset, fh)
--     end
--     return fs
--
-- Settings beside those of fractal.lowlevel; on the command line: -o source=DIR,cache=never,passthrough=on
--   source        the directory to mirror. It is opened before the mount, so a mount may cover its own source.
--   cache         "never"   names and attributes are asked for at each use, contents are not cached at all
--                 "auto"    (default) names and attributes hold for a second (-o entry_ttl=, attr_ttl=), pages until
--                           the file is opened again or was seen to have changed
--                 "always"  everything holds: for a source that nobody changes but through this mount
--   passthrough   "on": the kernel reads and writes the source's files itself, without asking; needs root
--
-- What is the source's: permissions, access control lists, extended attributes, times, flock(2), sparse files, every
-- type of file, other filesystems mounted below it. What is the mount's own: record locks (fcntl(2)) are kept by the
-- kernel and seen within the mount only. Links are never followed here and names are looked up one at a time, so
-- nothing leads out of the source. As root, files are made with the owner and group of the caller; as another user,
-- with that user's. Each inode that the kernel knows takes a file descriptor (limit: ulimit -n).
--
-- States are "per-worker": nothing is kept in Lua. A worker waits for disks on its ring (reads, fsync); other calls are
-- made directly.

local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local kept = require "fractal.kept"
local libc = require "fractal.libc"
local log = require "fractal.log"
local nodes = require "fractal.passthrough.nodes"
local source = require "fractal.passthrough.source"
local worker = require "fractal.worker"

local ROOT = 1
local FOREVER = 86400 -- seconds

--- What the kernel is told to keep. No ttl: as the settings say.
local CACHE = {
  never = { ttl = 0, direct_io = true },
  auto = {},
  always = { ttl = FOREVER, keep_cache = true },
}

local OWN_OPTIONS = {
  source = "the directory to mirror",
  cache = "never, auto (default) or always: how long the kernel may keep names, attributes and pages",
  passthrough = "on: the kernel reads and writes the files itself (root only)",
}

--- What the kernel leaves to the filesystem here, because the source does it.
local DEFAULTS = {
  name = "passthrough",
  state = "per-worker",
  atomic_o_trunc = true,
  dont_mask = true, -- the umask does not count below a default access control list
  handle_killpriv_v2 = true,
  posix_acl = true,
}

local function merged(...)
  local all = {}
  for i = 1, select("#", ...) do
    for key, value in pairs((select(i, ...)) or {}) do
      all[key] = value
    end
  end
  return all
end

--- Splits what the script gave into settings of every filesystem and our own.
local function split_settings(given)
  local own, common = {}, merged(DEFAULTS, given)
  for name in pairs(OWN_OPTIONS) do
    own[name], common[name] = given[name], nil
  end
  common.options = merged(OWN_OPTIONS, given.options)
  common.mount = merged({ default_permissions = true }, given.mount)
  return common, own
end

--- Runs before the mount: checks the settings and opens the source. Returns nothing, or nil and a sentence.
local function prepare(settings, p)
  local dir = settings "source"
  if type(dir) ~= "string" then
    return nil, "name the directory to mirror: -o source=DIR"
  elseif not CACHE[settings "cache" or "auto"] then
    return nil, ("cache=%s: choose never, auto or always"):format(tostring(settings "cache"))
  elseif (settings "passthrough" or "off") ~= "off" and libc.C.geteuid() ~= 0 then
    return nil, "passthrough=on needs root: leave it out, and the mount serves reads and writes itself"
  end
  local fd, err = source.open_root(dir)
  if not fd then
    return nil, ("the source %s cannot be opened: %s; name a directory that is there: -o source=DIR"):format(dir,
      errno.strerror(err))
  end
  p.root = fd
end

--- What the connection is to do. The first state chooses; what others do to their copy of `conn`, or a reload later, is
-- only compared.
local function negotiate(p, conn, root)
  if p.use_backing and not conn:offers("passthrough") then
    return nil, "passthrough=on needs Linux 6.9 or newer: leave it out, and the mount serves reads and writes itself"
  end
  conn.passthrough = p.use_backing
  if p.use_backing then
    conn.handle_killpriv_v2 = false -- nobody would tell that set-id bits end with the kernel's own writes
  end
  conn.atomic_o_trunc = conn.atomic_o_trunc and conn.handle_killpriv_v2 -- open tells it only so
  conn.posix_acl = conn.posix_acl and source.knows_acl(root)
  if p.cache.ttl then
    conn.entry_ttl, conn.attr_ttl = p.cache.ttl, p.cache.ttl
  end
  return true
end

--- Runs as `init`, in each state, and again when the script is reloaded: inodes and the source stay those of the mount.
local function start(settings, p, conn)
  local at_mount = kept.get(p.kept, function() return { source = settings "source" } end)
  if at_mount.source ~= settings "source" and worker.id == 0 then
    log.warn("%s is another one than at the mount: that needs a remount", "source")
  end
  local chosen = conn.passthrough
  p.cache = CACHE[settings "cache" or "auto"]
  p.use_backing = (settings "passthrough" or "off") ~= "off" or chosen
  source.prepare_process()
  local ok, err = p.open_table(p.root)
  if not ok then
    return nil, err
  end
  local root = p.fd(ROOT)
  ok, err = negotiate(p, conn, root)
  p.use_backing = p.root and p.use_backing or chosen
  p.quiet_close = not source.close_can_fail(root)
  p.use_acl, p.writeback = conn.posix_acl, conn.writeback_cache
  return ok, err
end

--- Makes the handler table.
return function(given)
  local common, own = split_settings(given or {})
  local fs, p = filesystem.lowlevel(common), { kept = kept.own "passthrough" }
  local function settings(name) -- the command line wins
    return fs.options[name] or own[name]
  end
  function fs.prepare()
    return prepare(settings, p)
  end
  function fs.init(conn)
    return start(settings, p, conn)
  end
  nodes.install(p)
  for _, part in ipairs { "names", "files", "attributes", "directories" } do
    require("fractal.passthrough." .. part)(fs, p)
  end
  return fs
end
