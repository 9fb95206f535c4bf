--- What handlers see of requests and replies: metatypes over the C structures.
--
-- Fields that the wire has are plain FFI fields; everything friendlier (times with a fraction, ttls in seconds,
-- flags as booleans, nil for what was not sent) is added here. Nothing of it allocates.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local ops = require "fractal.ops"

local C, band, bor, bnot = ffi.C, bit.band, bit.bor, bit.bnot
local tonumber, type = tonumber, type

ffi.cdef [[
struct fractal_lua_open { struct fractal_open_out *out; uint32_t flags; };
struct fractal_lua_set { const struct fractal_setattr_in *raw; };
struct fractal_lua_dir { struct fractal_request *req; uint32_t epoch; };
]]

local types = { op_names = {}, opcodes = {}, rows = {} }
for _, row in ipairs(ops) do
  types.op_names[row.opcode] = row.name
  types.opcodes[row.name] = row.opcode
  types.rows[row.opcode] = row
end

--- S_IFMT bits by type name, and the other way round.
types.S_IF = {
  file = 0x8000, dir = 0x4000, symlink = 0xa000, fifo = 0x1000, socket = 0xc000, block = 0x6000, char = 0x2000,
}
types.S_IFMT = 0xf000

--- Splits seconds (number, or {sec=, nsec=}) into seconds and nanoseconds.
local function split_time(value)
  if type(value) == "number" then
    local sec = math.floor(value)
    local nsec = math.floor((value - sec) * 1e9 + 0.5)
    if nsec == 1000000000 then
      return sec + 1, 0
    end
    return sec, nsec
  elseif type(value) == "table" then
    return value.sec or value[1] or 0, value.nsec or value[2] or 0
  end
  error(("a time is a number of seconds or {sec=, nsec=}, not %s"):format(type(value)), 3)
end
types.split_time = split_time

local function split_ttl(value)
  if type(value) ~= "number" or value < 0 or value ~= value then
    error(("a ttl is a number of seconds, not %s"):format(tostring(value)), 3)
  end
  if value > 4294967295 then
    value = 4294967295
  end
  local sec = math.floor(value)
  return sec, math.floor((value - sec) * 1e9)
end

--- 16 hex digits: lock owners are 64-bit hashes, which no Lua number holds.
function types.owner_text(owner)
  return ("%08x%08x"):format(tonumber(owner / 4294967296ULL), tonumber(owner % 4294967296ULL))
end

local function no_field(kind, key)
  error(("%s has no field '%s'"):format(kind, tostring(key)), 3)
end

-- attr ----------------------------------------------------------------------------------------------------------

ffi.metatype("struct fractal_attr", {
  __newindex = function(attr, key, value)
    if key == "atime" then
      attr.atime_sec, attr.atime_nsec = split_time(value)
    elseif key == "mtime" then
      attr.mtime_sec, attr.mtime_nsec = split_time(value)
    elseif key == "ctime" then
      attr.ctime_sec, attr.ctime_nsec = split_time(value)
    else
      no_field("attr", key)
    end
  end,
  __index = function(attr, key)
    if key == "atime" then
      return tonumber(attr.atime_sec) + attr.atime_nsec / 1e9
    elseif key == "mtime" then
      return tonumber(attr.mtime_sec) + attr.mtime_nsec / 1e9
    elseif key == "ctime" then
      return tonumber(attr.ctime_sec) + attr.ctime_nsec / 1e9
    end
    no_field("attr", key)
  end,
})

-- attr_out: attr with its ttl -----------------------------------------------------------------------------------

ffi.metatype("struct fractal_attr_out", {
  __newindex = function(out, key, value)
    if key == "attr_ttl" then
      out.attr_valid, out.attr_valid_nsec = split_ttl(value)
    else
      no_field("attr", key)
    end
  end,
})

-- entry ---------------------------------------------------------------------------------------------------------

ffi.metatype("struct fractal_entry_out", {
  __newindex = function(entry, key, value)
    if key == "ino" then
      entry.nodeid = value
    elseif key == "attr_ttl" then
      entry.attr_valid, entry.attr_valid_nsec = split_ttl(value)
    elseif key == "entry_ttl" then
      entry.entry_valid, entry.entry_valid_nsec = split_ttl(value)
    else
      no_field("entry", key)
    end
  end,
  __index = function(entry, key)
    if key == "ino" then
      return tonumber(entry.nodeid)
    elseif key == "attr_ttl" then
      return tonumber(entry.attr_valid) + entry.attr_valid_nsec / 1e9
    elseif key == "entry_ttl" then
      return tonumber(entry.entry_valid) + entry.entry_valid_nsec / 1e9
    end
    no_field("entry", key)
  end,
})

-- open ----------------------------------------------------------------------------------------------------------

local open_flags = {
  direct_io = C.FRACTAL_FOPEN_DIRECT_IO,
  keep_cache = C.FRACTAL_FOPEN_KEEP_CACHE,
  nonseekable = C.FRACTAL_FOPEN_NONSEEKABLE,
  cache_dir = C.FRACTAL_FOPEN_CACHE_DIR,
  stream = C.FRACTAL_FOPEN_STREAM,
  noflush = C.FRACTAL_FOPEN_NOFLUSH,
  parallel_direct_writes = C.FRACTAL_FOPEN_PARALLEL_DIRECT_WRITES,
}

ffi.metatype("struct fractal_lua_open", {
  __newindex = function(open, key, value)
    local flag = open_flags[key]
    if key == "fh" then
      open.out.fh = value
    elseif flag then
      if value then
        open.out.open_flags = bor(open.out.open_flags, flag)
      else
        open.out.open_flags = band(open.out.open_flags, bnot(flag))
      end
    elseif key == "backing_id" then
      open.out.backing_id = value
      open.out.open_flags = bor(open.out.open_flags, C.FRACTAL_FOPEN_PASSTHROUGH)
    else
      no_field("open", key)
    end
  end,
  __index = function(open, key)
    local flag = open_flags[key]
    if key == "fh" then
      return tonumber(open.out.fh)
    elseif flag then
      return band(open.out.open_flags, flag) ~= 0
    elseif key == "backing_id" then
      return open.out.backing_id
    end
    no_field("open", key)
  end,
})

-- set: what a setattr changes -----------------------------------------------------------------------------------

local function time_of(raw, valid, bit_set, bit_now, sec, nsec)
  if band(valid, bit_set) == 0 then
    return nil
  elseif band(valid, bit_now) ~= 0 then
    return "now"
  end
  return tonumber(raw[sec]) + raw[nsec] / 1e9
end

local set_fields = {
  mode = function(raw, valid) if band(valid, C.FRACTAL_SET_MODE) ~= 0 then return raw.mode end end,
  uid = function(raw, valid) if band(valid, C.FRACTAL_SET_UID) ~= 0 then return raw.uid end end,
  gid = function(raw, valid) if band(valid, C.FRACTAL_SET_GID) ~= 0 then return raw.gid end end,
  size = function(raw, valid) if band(valid, C.FRACTAL_SET_SIZE) ~= 0 then return tonumber(raw.size) end end,
  atime = function(raw, valid)
    return time_of(raw, valid, C.FRACTAL_SET_ATIME, C.FRACTAL_SET_ATIME_NOW, "atime_sec", "atime_nsec")
  end,
  mtime = function(raw, valid)
    return time_of(raw, valid, C.FRACTAL_SET_MTIME, C.FRACTAL_SET_MTIME_NOW, "mtime_sec", "mtime_nsec")
  end,
  ctime = function(raw, valid)
    if band(valid, C.FRACTAL_SET_CTIME) ~= 0 then return tonumber(raw.ctime_sec) + raw.ctime_nsec / 1e9 end
  end,
  atime_sec = function(raw) return tonumber(raw.atime_sec) end,
  atime_nsec = function(raw) return raw.atime_nsec end,
  mtime_sec = function(raw) return tonumber(raw.mtime_sec) end,
  mtime_nsec = function(raw) return raw.mtime_nsec end,
  ctime_sec = function(raw) return tonumber(raw.ctime_sec) end,
  ctime_nsec = function(raw) return raw.ctime_nsec end,
  kill_suidgid = function(_, valid) return band(valid, C.FRACTAL_SET_KILL_SUIDGID) ~= 0 end,
  lock_owner = function(raw, valid)
    if band(valid, C.FRACTAL_SET_LOCKOWNER) ~= 0 then return types.owner_text(raw.lock_owner) end
  end,
}

ffi.metatype("struct fractal_lua_set", {
  __index = function(set, key)
    local field = set_fields[key]
    if not field then
      no_field("set", key)
    end
    return field(set.raw, set.raw.valid)
  end,
})

-- dir: entries of readdir and readdirplus ------------------------------------------------------------------------

local DT_LIMIT = 16 -- smaller numbers are d_type values, larger ones modes

--- S_IFMT bits from a type name, a d_type or a mode.
local function type_bits(kind)
  if kind == nil then
    return 0
  elseif type(kind) == "number" then
    return kind < DT_LIMIT and kind * 4096 or kind
  end
  return types.S_IF[kind] or error(("unknown file type '%s'"):format(tostring(kind)), 3)
end
types.type_bits = type_bits

local function check_dir(dir)
  if dir.epoch ~= dir.req.epoch then
    error("directory buffer used after reply", 3)
  end
end

local function add_plus(dir, name, source, next_offset)
  local req = dir.req
  local length = req.reply_len
  local entry = C.fractal_dirents_add_plus(req, name, #name, next_offset)
  if entry == nil then
    return false
  end
  local ok, came, expected = pcall(types.fill_entry, entry, source)
  if not ok or came then
    C.fractal_dirents_undo(req, length)
    error(ok and ("the entry of %q has %s; expected %s"):format(name, came, expected) or came, ok and 3 or 0)
  end
  C.fractal_dirents_finish_plus(entry)
  return true
end

ffi.metatype("struct fractal_lua_dir", {
  __index = {
    --- readdir: dir:add(name, ino, type_or_mode, next_offset); readdirplus: dir:add(name, entry, next_offset), where
    -- entry is a table or a function that fills one. Returns false when the buffer is full.
    add = function(dir, name, a, b, c)
      check_dir(dir)
      if dir.req.opcode == C.FRACTAL_OP_READDIRPLUS then
        return add_plus(dir, name, a, b)
      end
      return C.fractal_dirents_add(dir.req, name, #name, a, type_bits(b), c) ~= 0
    end,
  },
})

-- tables in place of out-structures ------------------------------------------------------------------------------
--
-- Functions that copy a table's fields return nothing, or what came and what was expected there. A field that the
-- structure has not is left out, and said once: see fractal.report.

local ANY, BOOLEAN, NUMBER, SECONDS, TABLE, TIME = "any", "boolean", "number", "seconds", "table", "time"

local function fields(list, kind, into)
  into = into or {}
  for name in list:gmatch("%S+") do
    into[name] = kind
  end
  return into
end

local attr_fields = fields("ino size blocks atime_nsec mtime_nsec ctime_nsec nlink uid gid rdev blksize flags attr_ttl",
  NUMBER)
fields("mode type", ANY, attr_fields)
fields("atime mtime ctime", TIME, attr_fields)
fields("atime_sec mtime_sec ctime_sec", SECONDS, attr_fields)
local entry_fields = fields("attr", TABLE, fields(
  "ino nodeid generation entry_ttl attr_ttl entry_valid attr_valid entry_valid_nsec attr_valid_nsec", NUMBER))

types.fields = {
  open = fields("direct_io keep_cache nonseekable cache_dir stream noflush parallel_direct_writes", BOOLEAN,
    fields("fh backing_id", NUMBER)),
  statfs = fields("blocks bfree bavail files ffree bsize namelen frsize", NUMBER),
  statx = fields("sx_atime sx_btime sx_ctime sx_mtime", ANY, fields("mask blksize attributes nlink uid gid mode ino "
    .. "size blocks attributes_mask rdev_major rdev_minor dev_major dev_minor", NUMBER)),
}

local expected_kind = {
  [NUMBER] = "a number from 0 on",
  [SECONDS] = "a number of seconds",
  [TABLE] = "a table there",
  [TIME] = "seconds as a number, or { sec =, nsec = }",
  [BOOLEAN] = "true or false there",
}

--- Does the value of a field fit? Returns whether it is to be copied, and where it is wrong what came and was expected.
local function check_field(structure, known, key, value)
  local kind = known[key]
  if kind == nil then
    require("fractal.report").unknown_field(structure, key, known)
    return false
  end
  local came = type(value)
  if kind == ANY or came == "cdata" or came == "table" and kind == TIME
    or came == "number" and (kind == TIME or kind == SECONDS or kind == NUMBER and value >= 0)
    or came == kind and came ~= "number" then
    return true
  end
  return false, ("%s = %s"):format(key, require("fractal.report").show(value)), expected_kind[kind]
end

--- A mode given as a number or as an octal string; nil for anything else.
local function mode_of(value)
  local mode = type(value) == "string" and tonumber(value, 8) or value
  return type(mode) == "number" and mode or nil
end

--- Adds the bits of `mode` or `type` to attr.mode.
local function fill_mode(attr, key, value)
  local bits
  if key == "mode" then
    bits = mode_of(value)
    if not bits then
      return ("mode = %s"):format(tostring(value)), "a number or an octal string such as \"0644\""
    end
  else
    bits = type(value) == "number" and type_bits(value) or types.S_IF[value]
    if not bits then
      return ("type = %s"):format(tostring(value)),
        '"file", "dir", "symlink", "fifo", "socket", "block" or "char"'
    end
  end
  attr.mode = bor(attr.mode, bits)
end

--- Copies the fields of a table into attr.
function types.fill_attr(attr, from)
  for key, value in pairs(from) do
    local came, expected
    if key == "mode" or key == "type" then
      came, expected = fill_mode(attr, key, value)
    elseif key ~= "attr_ttl" then
      local fits
      fits, came, expected = check_field("attr", attr_fields, key, value)
      if fits then
        attr[key] = value
      end
    end
    if came then
      return came, expected
    end
  end
end

--- Fills an entry from a table, or by calling a function with it.
function types.fill_entry(entry, from)
  if type(from) == "function" then
    from(entry)
    return
  elseif type(from) ~= "table" then
    return ("an entry that is a %s"):format(type(from)), "a table or a function that fills one"
  end
  for key, value in pairs(from) do
    local fits, came, expected = check_field("entry", entry_fields, key, value)
    if fits and key == "attr" and type(value) == "table" then
      came, expected = types.fill_attr(entry.attr, value)
    elseif fits then
      entry[key] = value
    end
    if came then
      return came, expected
    end
  end
end

--- Copies the fields of a table into any other out-structure: "open", "statfs", "statx".
function types.fill(structure, out, from)
  for key, value in pairs(from) do
    local fits, came, expected = check_field(structure, types.fields[structure], key, value)
    if fits then
      out[key] = value
    elseif came then
      return came, expected
    end
  end
end

-- req -----------------------------------------------------------------------------------------------------------

local ops_with = {} -- field → set of opcodes whose in-structure has it
local function in_ops(field, ...)
  ops_with[field] = {}
  for _, name in ipairs { ... } do
    ops_with[field][types.opcodes[name]] = types.rows[types.opcodes[name]].struct
  end
end
in_ops("umask", "mknod", "mkdir", "create", "tmpfile")
in_ops("flags", "open", "opendir", "create", "tmpfile", "read", "write", "readdir", "readdirplus", "release",
  "releasedir", "rename2", "setxattr", "copy_file_range", "copy_file_range_64", "ioctl")
in_ops("read_flags", "read")
in_ops("write_flags", "write")
in_ops("open_flags", "open", "opendir", "create", "tmpfile")
in_ops("release_flags", "release", "releasedir")
in_ops("setxattr_flags", "setxattr")
in_ops("valid", "setattr")
in_ops("lk_flags", "getlk", "setlk", "setlkw")

local function wire_field(req, field)
  local struct = ops_with[field][req.opcode]
  if struct then
    return req.arg[struct][field]
  end
end

local MAX_GROUPS = 65536

local RESENT = bit.lshift(1ULL, C.FRACTAL_UNIQUE_RESEND)
local UNIQUE = RESENT - 1

-- Where the lock owner of a request stands: the structure's field, and the field and bit that say whether it counts.
local owners = {
  read = { "read", "lock_owner", "read_flags", C.FRACTAL_READ_LOCKOWNER },
  write = { "write", "lock_owner", "write_flags", C.FRACTAL_WRITE_LOCKOWNER },
  setattr = { "setattr", "lock_owner", "valid", C.FRACTAL_SET_LOCKOWNER },
  flush = { "flush", "lock_owner" },
  release = { "release", "lock_owner" },
  getlk = { "lk", "owner" },
  setlk = { "lk", "owner" },
  setlkw = { "lk", "owner" },
}

local request_fields = {
  --- Whose locks (fcntl(2), flock(2)) the request concerns, as in lock.owner; nil where the kernel does not say.
  lock_owner = function(req)
    local where = owners[types.op_names[req.opcode]]
    local arg = where and req.arg[where[1]]
    if arg and (not where[3] or band(arg[where[3]], where[4]) ~= 0) then
      return types.owner_text(arg[where[2]])
    end
  end,
  unique = function(req) return tonumber(band(req.id, UNIQUE)) end,
  --- Was this request sent before? (notify.resend)
  resent = function(req) return band(req.id, RESENT) ~= 0ULL end,
  opname = function(req) return types.op_names[req.opcode] end,
  ino = function(req) return tonumber(req.nodeid) end,
  --- Are suid and sgid to be cleared with this request?
  kill_suidgid = function(req)
    local op = req.opcode
    if op == C.FRACTAL_OP_WRITE then
      return band(req.arg.write.write_flags, C.FRACTAL_WRITE_KILL_SUIDGID) ~= 0
    elseif op == C.FRACTAL_OP_SETATTR then
      return band(req.arg.setattr.valid, C.FRACTAL_SET_KILL_SUIDGID) ~= 0
    elseif op == C.FRACTAL_OP_OPEN then
      return band(req.arg.open.open_flags, C.FRACTAL_OPEN_KILL_SUIDGID) ~= 0
    elseif op == C.FRACTAL_OP_CREATE then
      return band(req.arg.create.open_flags, C.FRACTAL_OPEN_KILL_SUIDGID) ~= 0
    end
    return false
  end,
}

local request_methods = {
  --- True once the caller got a signal: answer E.INTR then.
  interrupted = function(req) return C.fractal_interrupted(req) end,
  --- Supplementary groups that the kernel sent with a creating request, as a list.
  groups = function(req)
    local n = C.fractal_request_groups(req, nil, 0)
    local list = {}
    if n > 0 then
      n = math.min(n, MAX_GROUPS)
      local buffer = ffi.new("uint32_t[?]", n)
      C.fractal_request_groups(req, buffer, n)
      for i = 1, n do
        list[i] = buffer[i - 1]
      end
    end
    return list
  end,
  --- The security context to set on a new inode: its xattr name and value, or nil.
  security_context = function(req, index)
    local name, value = ffi.new("const char *[1]"), ffi.new("const uint8_t *[1]")
    local n = C.fractal_request_secctx(req, index or 0, name, value)
    if n >= 0 then
      return ffi.string(name[0]), ffi.string(value[0], n)
    end
  end,
}

ffi.metatype("struct fractal_request", {
  __index = function(req, key)
    local method = request_methods[key]
    if method then
      return method
    elseif request_fields[key] then
      return request_fields[key](req)
    elseif ops_with[key] then
      return wire_field(req, key)
    end
    return nil
  end,
  __tostring = function(req)
    local op = types.op_names[req.opcode] or "?"
    return ("request %s %d of inode %d"):format(op, tonumber(req.id), tonumber(req.nodeid))
  end,
})

return types
