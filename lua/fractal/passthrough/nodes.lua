--- The inodes of `fractal.passthrough`: which node ids the kernel knows, and the descriptor that stands for each.
--
-- The table is the session's (fractal_session_inodes), so all Lua states share it. An inode is found by device and
-- inode number: hard links are one inode, and renames change nothing. Its descriptor keeps the source from giving the
-- number to another file meanwhile.

local ffi = require "ffi"
local bit = require "bit"
local errno = require "fractal.errno"
local log = require "fractal.log"
local notify = require "fractal.notify"
local source = require "fractal.passthrough.source"
local task = require "fractal.task"

local C, E = ffi.C, errno.E
local TABLE = "fractal.passthrough"
local ROOT = 1

-- Where descriptors have run out: how many inodes the kernel is asked to give back at a time, and how long and how
-- often it is waited for.
local PRUNE_BATCH, PRUNE_PAUSE, PRUNE_TRIES = 4096, 0.01, 200 -- inodes, seconds, times

-- Inode numbers of other filesystems below the source differ in these bits, so that none of them is there twice.
local FOREIGN = 0x7fffff0000000000ULL
local MIX = 0x9e3779b97f4a7c15ULL

local nodes = {}

--- Adds to the context `p`: fd, fill_attr, inode_number, adopt, enter, with_descriptor.
function nodes.install(p)
  local ref = ffi.new("struct fractal_inode_ref")
  local cursor, ids = ffi.new("uint64_t[1]"), ffi.new("uint64_t[?]", PRUNE_BATCH)
  local told = false

  --- Opens the table. The first state gives the root's descriptor; the others find it there.
  function p.open_table(root)
    local session = C.fractal_worker_session(C.fractal_worker_current())
    p.inodes = C.fractal_session_inodes(session, TABLE, true)
    p.own_device = C.fractal_session_device(session)
    if p.inodes == nil then
      return nil, E.NOMEM
    elseif root then
      local node, err = p.reference(root)
      if not node then
        return nil, err
      end
    end
    local st, err = source.stat(p.fd(ROOT))
    if not st then
      return nil, err
    end
    p.device = source.device(st)
    return true
  end

  --- The O_PATH descriptor of an inode.
  function p.fd(ino)
    return tonumber(C.fractal_inodes_value(p.inodes, ino))
  end

  --- The inode number to show for one on a device of the source.
  function p.inode_number(device, ino)
    if device == p.device then
      return ino
    end
    return bit.bxor(ino, bit.band(device * MIX, FOREIGN))
  end

  function p.fill_attr(attr, st)
    attr.ino, attr.size, attr.blocks = p.inode_number(source.device(st), st.ino), st.size, st.blocks
    attr.atime_sec, attr.atime_nsec = st.sx_atime.sec, st.sx_atime.nsec
    attr.mtime_sec, attr.mtime_nsec = st.sx_mtime.sec, st.sx_mtime.nsec
    attr.ctime_sec, attr.ctime_nsec = st.sx_ctime.sec, st.sx_ctime.nsec
    attr.mode, attr.nlink, attr.uid, attr.gid = st.mode, st.nlink, st.uid, st.gid
    attr.rdev = source.wire_device(st.rdev_major, st.rdev_minor)
    attr.blksize = st.blksize
  end

  --- Makes a descriptor an inode's, or drops it where the inode is known, and counts a lookup. Returns the reference
  -- and the attributes, both valid until the next call; or nil and an errno.
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

  --- Answers with the inode of a reference, which is given away. Counts as a lookup.
  function p.adopt(fd, entry)
    local node, st = p.reference(fd)
    if not node then
      return nil, st
    end
    entry.nodeid, entry.generation = node.id, node.generation
    p.fill_attr(entry.attr, st)
    return true
  end

  local function reference_name(parent, name)
    local dirfd = p.fd(parent)
    local fd, err = source.reference(dirfd, name)
    if err == E.XDEV then
      return source.cross(dirfd, name, p.own_device)
    end
    return fd, err
  end

  --- Answers with what a name stands for, without waiting.
  function p.enter_now(parent, name, entry)
    local fd, err = reference_name(parent, name)
    if not fd then
      return nil, err
    end
    return p.adopt(fd, entry)
  end

  --- Answers with what a name stands for. Counts as a lookup.
  function p.enter(parent, name, entry)
    local fd, err = p.with_descriptor(reference_name, parent, name)
    if not fd then
      return nil, err
    end
    return p.adopt(fd, entry)
  end

  local function prune()
    local list, n = {}, C.fractal_inodes_list(p.inodes, cursor, ids, PRUNE_BATCH)
    for i = 0, n - 1 do
      list[#list + 1] = ids[i] ~= ROOT and tonumber(ids[i]) or nil
    end
    return notify.prune(list)
  end

  --- Calls fn(…), which makes a descriptor and returns it, or nil and an errno. Where there are too many of them, the
  -- kernel is asked to forget inodes that nobody uses, and the call is made again.
  function p.with_descriptor(fn, ...)
    local fd, err = fn(...)
    if fd or (err ~= E.MFILE and err ~= E.NFILE) then
      return fd, err
    end
    for _ = 1, PRUNE_TRIES do
      if not prune() or not task.sleep(PRUNE_PAUSE) then
        break
      end
      fd, err = fn(...)
      if fd then
        return fd
      end
    end
    if not told then
      told = true
      log.error("all file descriptors are in use, %d of them for inodes: raise the limit (ulimit -n, LimitNOFILE=)",
        tonumber(C.fractal_inodes_count(p.inodes)))
    end
    return nil, err
  end
end

return nodes
