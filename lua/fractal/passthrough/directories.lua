--- Handlers of `fractal.passthrough` for open directories. Offsets are the source's own, of 64 bits: they are taken
-- from the request and pass as cdata, since a Lua number could not hold them.

local ffi = require "ffi"
local libc = require "fractal.libc"
local source = require "fractal.passthrough.source"

local S_IFMT_SHIFT = 4096 -- from d_type to S_IFMT bits
local PLUS_FACTOR = 4 -- an entry with attributes takes about so many times the room of one without

return function(fs, p)
  function fs.opendir(_, ino, open)
    local fd, err = p.with_descriptor(source.open, p.fd(ino), libc.O.DIRECTORY)
    if not fd then
      return nil, err
    end
    open.fh = fd
    open.keep_cache = p.cache.keep_cache
    open.cache_dir = p.cache.keep_cache
    return true
  end

  -- The directory and the entry in hand, for the functions below: none of them waits, and none is made anew for each.
  local parent, device, name, raw

  local function add(dir)
    return dir:add(name, p.inode_number(device, raw.ino), raw.type, raw.off)
  end

  --- An entry that cannot be looked up (any more) goes without attributes: the kernel then asks by name.
  local function fill(entry)
    if name == "." or name == ".." or not p.enter_now(parent, name, entry) then
      entry.nodeid = 0
      entry.attr.ino, entry.attr.mode = p.inode_number(device, raw.ino), raw.type * S_IFMT_SHIFT
    end
  end

  local function add_plus(dir)
    return dir:add(name, fill, raw.off)
  end

  --- Adds the entries from the request's offset on until the reply is full.
  local function walk(req, ino, dir, fh, room, add_one)
    local ok, err = source.seek_entry(fh, req.arg.read.offset)
    local st = ok and source.stat(fh)
    parent, device = ino, st and source.device(st)
    local n = st and 1
    while n and n > 0 do
      n, err = source.read_entries(fh, room)
      local at = 0
      while n and at < n do
        raw = source.entry(at)
        name = ffi.string(raw.name)
        if not add_one(dir) then
          return true
        end
        at = at + raw.reclen
      end
    end
    return n and true, err
  end

  function fs.readdir(req, ino, dir, _, fh)
    return walk(req, ino, dir, fh, req.reply_cap, add)
  end

  function fs.readdirplus(req, ino, dir, _, fh)
    return walk(req, ino, dir, fh, req.reply_cap / PLUS_FACTOR, add_plus)
  end

  function fs.releasedir(_, _, fh)
    return source.close(fh)
  end

  function fs.fsyncdir(_, _, datasync, fh)
    return p.sync(fh, datasync)
  end
end
