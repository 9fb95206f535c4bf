--- `fractal.lowlevel`: a filesystem by inode number, one handler for each kernel operation.
--
-- This module turns a decoded request into the call of a handler, and the handler's results into a reply. Each function
-- of `serve` does one operation: serve.read(fs, slot, req, lane). Handlers are looked up at each request, so a script
-- may replace them while it runs.

local ffi = require "ffi"
local bit = require "bit"
local errno = require "fractal.errno"
local report = require "fractal.report"
local types = require "fractal.types"
local view = require "fractal.view"

local C, band, bor = ffi.C, bit.band, bit.bor
local ffi_string, tonumber, type = ffi.string, tonumber, type
local S_IFMT = types.S_IFMT

local lowlevel = {}

-- answers -------------------------------------------------------------------------------------------------------

local function asked(req)
  return report.subject(req) .. ": the handler"
end

--- The handler returned something that makes no sense: says so, and gives the caller EIO.
local function wrong(req, came, expected)
  report.wrong(types.op_names[req.opcode], came, expected, asked, req)
  C.fractal_reply(req, -errno.E.IO)
end

local show = report.show

--- A handler answered nil, err. Returns true.
local function refuse(req, err)
  if errno.check(err) then
    C.fractal_reply(req, -err)
  else
    wrong(req, "nil, " .. show(err), "an errno of 1 to 511 such as E.NOENT behind nil")
  end
  return true
end

--- Operations without a result.
local function answer_status(req, result, err)
  if result == nil then
    if err == nil then
      C.fractal_reply(req, 0)
    else
      refuse(req, err)
    end
  elseif result == false or (type(result) == "number" and result < 0) then
    wrong(req, show(result), "nothing for success, or nil and an errno")
  else
    C.fractal_reply(req, 0)
  end
end

--- A count between 0 and limit, mostly the limit itself.
local function answer_count(req, result, err, limit)
  if result == nil then
    if err ~= nil then
      return refuse(req, err)
    end
    return wrong(req, "nothing", "a number of bytes, or nil and an errno")
  elseif type(result) ~= "number" or result ~= limit and (result < 0 or result > limit or result % 1 ~= 0) then
    return wrong(req, show(result), ("a number of bytes from 0 to %d"):format(limit))
  end
  C.fractal_reply(req, result)
end

--- Bytes as a string or a view, or nil and an errno.
local function answer_bytes(req, result, err)
  if type(result) == "string" then
    C.fractal_reply_bytes(req, result, #result)
  elseif result == nil and err ~= nil then
    refuse(req, err)
  elseif view.is(result) then
    C.fractal_reply_bytes(req, result.ptr, #result)
  else
    wrong(req, show(result), "a string or a view, or nil and an errno")
  end
end

local function answer_attr(req, slot, result, err)
  if result == nil and err ~= nil then
    return refuse(req, err)
  elseif type(result) == "table" then
    local came, expected = types.fill_attr(slot.attr, result)
    if came then
      return wrong(req, came, expected)
    end
    if result.attr_ttl then
      slot.attr_out.attr_ttl = result.attr_ttl
    end
  end
  if band(slot.attr.mode, S_IFMT) == 0 then
    return wrong(req, slot.attr.mode == 0 and "no mode" or "a mode without a file type",
      "attr.mode with S_IF bits, or a table with type and mode")
  end
  C.fractal_reply(req, 0)
end

local function answer_entry(req, slot, result, err)
  if result == nil and err ~= nil then
    return refuse(req, err)
  elseif type(result) == "table" then
    local came, expected = types.fill_entry(slot.entry, result)
    if came then
      return wrong(req, came, expected)
    end
  end
  if slot.entry.nodeid == 0 then
    return wrong(req, "no ino", "entry.ino, or nil and an errno such as E.NOENT")
  elseif band(slot.entry.attr.mode, S_IFMT) == 0 then
    return wrong(req, "no file type in mode", "entry.attr.mode with S_IF bits")
  end
  C.fractal_reply(req, 0)
end

--- One of the other out-structures: filled in place, or a table with its fields.
local function answer_struct(req, structure, out, result, err)
  if result == nil and err ~= nil then
    return refuse(req, err)
  elseif type(result) == "table" then
    local came, expected = types.fill(structure, out, result)
    if came then
      return wrong(req, came, expected)
    end
  end
  C.fractal_reply(req, 0)
end

-- arguments -----------------------------------------------------------------------------------------------------

local function name_of(req)
  return ffi_string(req.name, req.name_len)
end

local function name2_of(req)
  return ffi_string(req.name2, req.name2_len)
end

local function open_slot(slot, flags, out)
  slot.open.flags = flags
  slot.open.out = out
  return slot.open
end

local function dir_of(slot, req)
  slot.dir.epoch = req.epoch
  return slot.dir
end

--- The number answers a request that wants one from 0 on, in a field of its out-structure.
local function answer_number(req, out, field, result, err, expected)
  if result == nil and err ~= nil then
    return refuse(req, err)
  elseif type(result) ~= "number" or result < 0 or result % 1 ~= 0 then
    return wrong(req, show(result), expected)
  end
  out[field] = result
  C.fractal_reply(req, 0)
end

local MAX_OFFSET = 0x7fffffffffffffffULL

-- operations ----------------------------------------------------------------------------------------------------

local serve = {}

function serve.lookup(fs, slot, req)
  answer_entry(req, slot, fs.lookup(req, tonumber(req.nodeid), name_of(req), slot.entry))
end

function serve.forget(fs, _, req)
  fs.forget(req, tonumber(req.nodeid), tonumber(req.arg.forget.nlookup))
  C.fractal_reply(req, 0)
end

function serve.batch_forget(fs, _, req)
  local list = ffi.cast("const struct fractal_forget_one *", req.data)
  for i = 0, req.arg.batch_forget.count - 1 do
    fs.forget(req, tonumber(list[i].nodeid), tonumber(list[i].nlookup))
  end
  C.fractal_reply(req, 0)
end

function serve.getattr(fs, slot, req)
  local arg = req.arg.getattr
  local fh
  if band(arg.flags, C.FRACTAL_GETATTR_FH) ~= 0 then
    fh = tonumber(arg.fh)
  end
  answer_attr(req, slot, fs.getattr(req, tonumber(req.nodeid), slot.attr, fh))
end

function serve.setattr(fs, slot, req)
  local arg = req.arg.setattr
  local fh
  if band(arg.valid, C.FRACTAL_SET_FH) ~= 0 then
    fh = tonumber(arg.fh)
  end
  answer_attr(req, slot, fs.setattr(req, tonumber(req.nodeid), slot.set, slot.attr, fh))
end

function serve.readlink(fs, _, req)
  answer_bytes(req, fs.readlink(req, tonumber(req.nodeid)))
end

function serve.symlink(fs, slot, req)
  answer_entry(req, slot, fs.symlink(req, tonumber(req.nodeid), name_of(req), name2_of(req), slot.entry))
end

function serve.mknod(fs, slot, req)
  local arg = req.arg.mknod
  answer_entry(req, slot, fs.mknod(req, tonumber(req.nodeid), name_of(req), arg.mode, arg.rdev, slot.entry))
end

function serve.mkdir(fs, slot, req)
  answer_entry(req, slot, fs.mkdir(req, tonumber(req.nodeid), name_of(req), req.arg.mkdir.mode, slot.entry))
end

function serve.unlink(fs, _, req)
  answer_status(req, fs.unlink(req, tonumber(req.nodeid), name_of(req)))
end

function serve.rmdir(fs, _, req)
  answer_status(req, fs.rmdir(req, tonumber(req.nodeid), name_of(req)))
end

function serve.rename(fs, _, req)
  local newdir = tonumber(req.arg.rename.newdir)
  answer_status(req, fs.rename(req, tonumber(req.nodeid), name_of(req), newdir, name2_of(req), 0))
end

function serve.rename2(fs, _, req)
  local arg = req.arg.rename2
  answer_status(req,
    fs.rename(req, tonumber(req.nodeid), name_of(req), tonumber(arg.newdir), name2_of(req), arg.flags))
end

--- LINK names the new parent in its header and the inode in its structure.
function serve.link(fs, slot, req)
  local ino = tonumber(req.arg.link.oldnodeid)
  answer_entry(req, slot, fs.link(req, ino, tonumber(req.nodeid), name_of(req), slot.entry))
end

function serve.open(fs, slot, req)
  local open = open_slot(slot, req.arg.open.flags, slot.open_out)
  answer_struct(req, "open", open, fs.open(req, tonumber(req.nodeid), open))
end

function serve.opendir(fs, slot, req)
  local open = open_slot(slot, req.arg.open.flags, slot.open_out)
  answer_struct(req, "open", open, fs.opendir(req, tonumber(req.nodeid), open))
end

function serve.create(fs, slot, req)
  local arg = req.arg.create
  local open = open_slot(slot, arg.flags, slot.create_open_out)
  answer_entry(req, slot, fs.create(req, tonumber(req.nodeid), name_of(req), arg.mode, slot.entry, open))
end

function serve.tmpfile(fs, slot, req)
  local arg = req.arg.create
  local open = open_slot(slot, arg.flags, slot.create_open_out)
  answer_entry(req, slot, fs.tmpfile(req, tonumber(req.nodeid), arg.mode, slot.entry, open))
end

function serve.read(fs, _, req, lane)
  local arg = req.arg.read
  local cap = req.reply_cap
  local n, err = fs.read(req, tonumber(req.nodeid), lane.view(req, req.reply_data, cap, 1), tonumber(arg.offset),
    tonumber(arg.fh))
  if type(n) == "string" then
    answer_bytes(req, n)
  else
    answer_count(req, n, err, cap)
  end
end

function serve.write(fs, _, req, lane)
  local arg = req.arg.write
  local n, err = fs.write(req, tonumber(req.nodeid), lane.view(req, req.data, req.data_len, 0), tonumber(arg.offset),
    tonumber(arg.fh))
  answer_count(req, n, err, req.data_len)
end

function serve.flush(fs, _, req)
  answer_status(req, fs.flush(req, tonumber(req.nodeid), tonumber(req.arg.flush.fh)))
end

function serve.release(fs, _, req)
  answer_status(req, fs.release(req, tonumber(req.nodeid), tonumber(req.arg.release.fh)))
end

function serve.releasedir(fs, _, req)
  answer_status(req, fs.releasedir(req, tonumber(req.nodeid), tonumber(req.arg.release.fh)))
end

local function datasync(req)
  return band(req.arg.fsync.fsync_flags, C.FRACTAL_FSYNC_FDATASYNC) ~= 0
end

function serve.fsync(fs, _, req)
  answer_status(req, fs.fsync(req, tonumber(req.nodeid), datasync(req), tonumber(req.arg.fsync.fh)))
end

function serve.fsyncdir(fs, _, req)
  answer_status(req, fs.fsyncdir(req, tonumber(req.nodeid), datasync(req), tonumber(req.arg.fsync.fh)))
end

function serve.readdir(fs, slot, req)
  local arg = req.arg.read
  answer_status(req, fs.readdir(req, tonumber(req.nodeid), dir_of(slot, req), tonumber(arg.offset), tonumber(arg.fh)))
end

function serve.readdirplus(fs, slot, req)
  local arg = req.arg.read
  local dir = dir_of(slot, req)
  answer_status(req, fs.readdirplus(req, tonumber(req.nodeid), dir, tonumber(arg.offset), tonumber(arg.fh)))
end

function serve.statfs(fs, slot, req)
  answer_struct(req, "statfs", slot.statfs, fs.statfs(req, tonumber(req.nodeid), slot.statfs))
end

function serve.setxattr(fs, _, req, lane)
  answer_status(req, fs.setxattr(req, tonumber(req.nodeid), name_of(req), lane.view(req, req.data, req.data_len, 0),
    req.arg.setxattr.flags))
end

function serve.getxattr(fs, _, req)
  answer_bytes(req, fs.getxattr(req, tonumber(req.nodeid), name_of(req)))
end

function serve.listxattr(fs, _, req)
  local names, err = fs.listxattr(req, tonumber(req.nodeid))
  if type(names) == "table" then
    local text = table.concat(names, "\0")
    answer_bytes(req, #text > 0 and text .. "\0" or "")
  else
    answer_bytes(req, names, err)
  end
end

function serve.removexattr(fs, _, req)
  answer_status(req, fs.removexattr(req, tonumber(req.nodeid), name_of(req)))
end

function serve.access(fs, _, req)
  answer_status(req, fs.access(req, tonumber(req.nodeid), req.arg.access.mask))
end

--- The lock of a request as a table; length 0 means to the end of the file.
local function lock_of(req)
  local arg = req.arg.lk
  local start, last = arg.lk.start, arg.lk["end"]
  return {
    type = arg.lk.type,
    start = tonumber(start),
    length = last >= MAX_OFFSET and 0 or tonumber(last - start + 1),
    pid = arg.lk.pid,
    owner = types.owner_text(arg.owner),
  }
end

function serve.getlk(fs, slot, req)
  local lock = lock_of(req)
  local result, err = fs.getlk(req, tonumber(req.nodeid), lock, tonumber(req.arg.lk.fh))
  if result == nil and err ~= nil then
    return refuse(req, err)
  end
  local out = type(result) == "table" and result or lock
  slot.lk.type, slot.lk.pid, slot.lk.start = out.type, out.pid or 0, out.start or 0
  slot.lk["end"] = (out.length or 0) == 0 and MAX_OFFSET or (out.start or 0) + out.length - 1
  C.fractal_reply(req, 0)
end

local LOCK_OP = { [0] = 1, [1] = 2, [2] = 8 } -- F_RDLCK, F_WRLCK, F_UNLCK → LOCK_SH, LOCK_EX, LOCK_UN
local LOCK_NB = 4

local function serve_setlk(fs, req, wait)
  local arg = req.arg.lk
  local ino, fh = tonumber(req.nodeid), tonumber(arg.fh)
  if band(arg.lk_flags, C.FRACTAL_LK_FLOCK) == 0 then
    if not fs.setlk then
      return C.fractal_reply(req, -errno.E.NOSYS)
    end
    return answer_status(req, fs.setlk(req, ino, lock_of(req), fh, wait))
  elseif not fs.flock then
    return C.fractal_reply(req, -errno.E.NOSYS)
  end
  local op = LOCK_OP[arg.lk.type]
  answer_status(req, fs.flock(req, ino, wait and op or bor(op, LOCK_NB), fh))
end

function serve.setlk(fs, _, req)
  serve_setlk(fs, req, false)
end

function serve.setlkw(fs, _, req)
  serve_setlk(fs, req, true)
end

function serve.bmap(fs, slot, req)
  local arg = req.arg.bmap
  local block, err = fs.bmap(req, tonumber(req.nodeid), tonumber(arg.block), arg.blocksize)
  answer_number(req, slot.out.bmap, "block", block, err, "a block number")
end

function serve.ioctl(fs, _, req, lane)
  local arg = req.arg.ioctl
  local output = lane.view(req, req.reply_data, req.reply_cap, 1)
  local result, n = fs.ioctl(req, tonumber(req.nodeid), arg.cmd, tonumber(arg.arg),
    lane.view(req, req.data, req.data_len, 0), output, tonumber(arg.fh))
  if result == nil and n ~= nil then
    return refuse(req, n)
  elseif result ~= nil and type(result) ~= "number" then
    return wrong(req, show(result), "the ioctl's result and the bytes put into output")
  end
  req.out.ioctl.result = result or 0
  answer_count(req, n or 0, nil, req.reply_cap)
end

function serve.poll(fs, slot, req)
  local arg = req.arg.poll
  local handle
  if band(arg.flags, C.FRACTAL_POLL_SCHEDULE_NOTIFY) ~= 0 then
    handle = tonumber(arg.kh)
  end
  local revents, err = fs.poll(req, tonumber(req.nodeid), arg.events, handle, tonumber(arg.fh))
  answer_number(req, slot.out.poll, "revents", revents, err, "the events that are there")
end

function serve.fallocate(fs, _, req)
  local arg = req.arg.fallocate
  answer_status(req, fs.fallocate(req, tonumber(req.nodeid), arg.mode, tonumber(arg.offset), tonumber(arg.length),
    tonumber(arg.fh)))
end

function serve.lseek(fs, slot, req)
  local arg = req.arg.lseek
  local offset, err = fs.lseek(req, tonumber(req.nodeid), tonumber(arg.offset), arg.whence, tonumber(arg.fh))
  answer_number(req, slot.out.lseek, "offset", offset, err, "an offset")
end

local function copy_range(fs, req)
  local arg = req.arg.copy_file_range
  return fs.copy_file_range(req, tonumber(req.nodeid), tonumber(arg.off_in), tonumber(arg.fh_in),
    tonumber(arg.nodeid_out), tonumber(arg.off_out), tonumber(arg.fh_out), tonumber(arg.len), tonumber(arg.flags))
end

local MAX_COUNT = 0x7fffffff

function serve.copy_file_range(fs, _, req)
  local n, err = copy_range(fs, req)
  answer_count(req, n, err, MAX_COUNT)
end

function serve.copy_file_range_64(fs, slot, req)
  local n, err = copy_range(fs, req)
  if type(n) == "number" and n >= 0 then
    slot.out.copied.bytes_copied = n
    C.fractal_reply(req, 0)
  else
    answer_count(req, n, err, MAX_COUNT)
  end
end

function serve.syncfs(fs, _, req)
  answer_status(req, fs.syncfs(req, tonumber(req.nodeid)))
end

function serve.statx(fs, slot, req)
  local arg = req.arg.statx
  local fh
  if band(arg.getattr_flags, C.FRACTAL_GETATTR_FH) ~= 0 then
    fh = tonumber(arg.fh)
  end
  local stx = slot.statx
  answer_struct(req, "statx", stx, fs.statx(req, tonumber(req.nodeid), stx, arg.sx_mask, arg.sx_flags, fh))
end

lowlevel.serve = serve

--- The handlers that may serve an operation, where they are not just the one of its own name.
local handlers_of = {
  batch_forget = { "forget" },
  rename2 = { "rename" },
  setlk = { "setlk", "flock" },
  setlkw = { "setlk", "flock" },
  copy_file_range_64 = { "copy_file_range" },
}

--- Does the filesystem have what an operation needs?
function lowlevel.has_handler(fs, operation)
  for _, name in ipairs(handlers_of[operation] or { operation }) do
    if fs[name] ~= nil then
      return true
    end
  end
  return false
end

--- A request's reusable objects; their addresses stay the same for each slot. Before its first request `req.out` is the
-- slot's payload.
function lowlevel.slot(req)
  local out = req.out
  return {
    req = req,
    out = out,
    entry = out.entry,
    attr_out = out.attr,
    attr = out.attr.attr,
    open_out = out.open,
    create_open_out = out.create.open,
    statfs = out.statfs,
    statx = out.statx.stat,
    lk = out.lk.lk,
    open = ffi.new("struct fractal_lua_open"),
    set = ffi.new("struct fractal_lua_set", { req.arg.setattr }),
    dir = ffi.new("struct fractal_lua_dir", { req }),
  }
end

return lowlevel
