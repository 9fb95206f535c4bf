--- A complete in-memory filesystem, to be used as it is or to inherit from.
--
--     local fs = require "fractal.memoryfs" { name = "scratch", size = "1g" }
--     local write = fs.write
--     function fs.write(req, ino, data, offset, fh) -- override a handler, call the old one
--       fractal.log.info("%d bytes for inode %d", #data, ino)
--       return write(req, ino, data, offset, fh)
--     end
--     return fs
--
-- It behaves as tmpfs(5) does: sparse files, fallocate(2), SEEK_DATA and SEEK_HOLE, extended attributes (user.*,
-- trusted.*, security.*), POSIX access control lists, times to the nanosecond, setgid directories, O_TMPFILE,
-- renameat2(2) flags, devices, fifos and sockets. Contents end with the mount.
--
-- Settings are those of fractal.lowlevel and the options' defaults: size, nr_inodes, mode, uid, gid (fractal.memoryfs.
-- options says what they mean; -o size=1g on the command line wins). Names and attributes live in one Lua state, so
-- state = "per-worker" is refused. Access is checked by the kernel (mount option default_permissions, on by default).
--
-- For tests, two extended attributes of the root tell what is held: user.fractal.inodes, the number of inodes, and
-- user.fractal.lookups, the sum of the references that the kernel holds.

local fractal = require "fractal"
local kept = require "fractal.kept"
local data = require "fractal.memoryfs.data"
local files = require "fractal.memoryfs.files"
local inodes = require "fractal.memoryfs.inodes"
local names = require "fractal.memoryfs.names"
local options = require "fractal.memoryfs.options"

-- All changes come through the kernel, so what it has cached stays right for as long as it likes.
local FOREVER = 86400 -- seconds

local defaults = {
  name = "memoryfs",
  state = "single",
  single_only = true,
  attr_ttl = FOREVER,
  entry_ttl = FOREVER,
  negative_ttl = FOREVER,
  -- What the kernel leaves to the filesystem here (see -o help):
  atomic_o_trunc = true,
  dont_mask = true, -- the umask does not count below a default access control list
  export_support = true,
  handle_killpriv_v2 = true,
  posix_acl = true,
}

-- A table with the fields of both; the second one's win.
local function union(first, second)
  local both = {}
  for key, value in pairs(first) do
    both[key] = value
  end
  for key, value in pairs(second or {}) do
    both[key] = value
  end
  return both
end

-- Takes the options' defaults out of the settings; returns them.
local function take_option_defaults(settings)
  local given = {}
  for name in pairs(options.help) do
    given[name], settings[name] = settings[name], nil
  end
  return given
end

-- Adds what the root tells tests about the store.
local function install_counters(fs, state)
  local getxattr = fs.getxattr

  function fs.getxattr(req, ino, name)
    if ino == inodes.ROOT and name == "user.fractal.inodes" then
      return tostring(state.store.count)
    elseif ino == inodes.ROOT and name == "user.fractal.lookups" then
      return tostring(state.store:lookups())
    end
    return getxattr(req, ino, name)
  end
end

local function warn_of_limits(old, new)
  for name, value in pairs(old) do
    if new[name] ~= value then
      fractal.log.warn("%s is another one than at the mount: that needs a remount", options.names[name] or name)
    end
  end
end

-- An empty filesystem. Returns nil and a sentence on failure.
local function new_store(limits)
  local store, reason = inodes.new(limits)
  if store then
    store:create_root(limits.mode, limits.uid, limits.gid)
  end
  return store, reason
end

--- Makes the filesystem: a handler table as fractal.lowlevel makes it, with every handler filled in.
return function(settings)
  settings = union(defaults, settings)
  settings.mount = union({ default_permissions = true }, settings.mount)
  settings.options = union(options.help, settings.options)
  local given = take_option_defaults(settings)
  local fs = fractal.lowlevel(settings)
  local state = { page_size = data.PAGE }
  local held = kept.get(kept.own "memoryfs", function() return {} end) -- store, limits

  --- Runs again when the script is reloaded: then the files are there already, and the limits stay.
  function fs.init(conn)
    local limits, reason = options.parse(union(given, fs.options))
    if limits and not held.store then
      held.limits = limits
      held.store, reason = new_store(limits)
    end
    if not limits or not held.store then
      return nil, reason
    end
    warn_of_limits(held.limits, limits)
    state.store = held.store
    state.acl = conn.posix_acl
  end

  names.install(fs, state)
  files.install(fs, state)
  install_counters(fs, state)
  return fs
end
