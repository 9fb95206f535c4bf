-- The friendlier fields of requests and replies over the C structures.

local ffi = require "ffi"
local types = require "fractal.types"

local C = ffi.C

local function message_of(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function set(object, key, value)
  object[key] = value
end

describe("times", function()
  it("are split into seconds and nanoseconds", function()
    for _, case in ipairs {
      { 0, 0, 0 }, { 5, 5, 0 }, { 1.5, 1, 500000000 }, { 1700000000.25, 1700000000, 250000000 },
      { -1, -1, 0 }, { -0.25, -1, 750000000 }, { 1.9999999999, 2, 0 }, { 0.9999999994, 0, 999999999 },
      { { sec = 7, nsec = 9 }, 7, 9 }, { { sec = 7 }, 7, 0 }, { { 3, 4 }, 3, 4 },
    } do
      assert.same({ case[2], case[3] }, { types.split_time(case[1]) })
    end
  end)

  it("are numbers or tables", function()
    assert.truthy(message_of(types.split_time, "5"):find("a time is a number of seconds or {sec=, nsec=}, not string"))
  end)

  it("of attr are set and read with a fraction, or exactly", function()
    local attr = ffi.new("struct fractal_attr")
    attr.atime, attr.mtime, attr.ctime = 1.5, { sec = 2 ^ 33, nsec = 123456789 }, -2.25
    assert.same({ 1, 500000000 }, { tonumber(attr.atime_sec), attr.atime_nsec })
    assert.same({ 2 ^ 33, 123456789 }, { tonumber(attr.mtime_sec), attr.mtime_nsec })
    assert.same({ -3, 750000000 }, { tonumber(attr.ctime_sec), attr.ctime_nsec })
    assert.equal(1.5, attr.atime)
    assert.equal(-2.25, attr.ctime)
  end)
end)

describe("attr", function()
  it("refuses fields it does not have", function()
    local attr = ffi.new("struct fractal_attr")
    local err = message_of(set, attr, "sise", 5)
    assert.truthy(err:find("types_spec.lua:%d+: attr has no field 'sise'$"), err)
    err = message_of(function() return attr.links end)
    assert.truthy(err:find("types_spec.lua:%d+: attr has no field 'links'$"), err)
  end)

  it("is filled from a table", function()
    local attr = ffi.new("struct fractal_attr")
    types.fill_attr(attr, { type = "file", mode = "0640", size = 2 ^ 40, mtime = 3.5, uid = 1000, attr_ttl = 5 })
    assert.equal(0x8000 + 416, attr.mode)
    assert.equal(2 ^ 40, tonumber(attr.size))
    assert.equal(3.5, attr.mtime)
    assert.equal(1000, attr.uid)
  end)

  it("takes the type and the permissions in any order", function()
    for name, bits in pairs(types.S_IF) do
      local attr = ffi.new("struct fractal_attr")
      types.fill_attr(attr, { mode = "7777", type = name })
      assert.equal(bits + 4095, attr.mode)
    end
  end)

  it("says what a mode and a type are", function()
    local attr = ffi.new("struct fractal_attr")
    for _, mode in ipairs { "rwx", "0698", true } do
      assert.same({ "mode = " .. tostring(mode), 'a number or an octal string such as "0644"' },
        { types.fill_attr(attr, { mode = mode }) })
    end
    local came, expected = types.fill_attr(attr, { type = "folder" })
    assert.equal("type = folder", came)
    assert.truthy(expected:find('"file", "dir"', 1, true))
  end)

  it("says what its other fields are", function()
    local attr = ffi.new("struct fractal_attr")
    for name, value in pairs { size = "5", uid = -1, nlink = {}, ino = 0 / 0, blocks = true } do
      local came, expected = types.fill_attr(attr, { [name] = value })
      assert.equal(name .. " = ", came:sub(1, #name + 3))
      assert.equal("a number from 0 on", expected)
    end
    assert.same({ 'mtime = the string "now"', "seconds as a number, or { sec =, nsec = }" },
      { types.fill_attr(attr, { mtime = "now" }) })
    assert.is_nil(types.fill_attr(attr, { mtime = { sec = -5, nsec = 1 }, atime_sec = -5, size = 5ULL }))
    assert.equal(-5, tonumber(attr.mtime_sec))
  end)
end)

describe("ttls", function()
  local entry, attr_out = ffi.new("struct fractal_entry_out"), ffi.new("struct fractal_attr_out")

  it("are seconds with a fraction", function()
    entry.entry_ttl, entry.attr_ttl, attr_out.attr_ttl = 0.25, 3600, 1.5
    assert.same({ 0, 250000000 }, { tonumber(entry.entry_valid), entry.entry_valid_nsec })
    assert.same({ 3600, 0 }, { tonumber(entry.attr_valid), entry.attr_valid_nsec })
    assert.same({ 1, 500000000 }, { tonumber(attr_out.attr_valid), attr_out.attr_valid_nsec })
    assert.equal(0.25, entry.entry_ttl)
    assert.equal(3600, entry.attr_ttl)
  end)

  it("may be endless", function()
    entry.entry_ttl = math.huge
    assert.same({ 4294967295, 0 }, { tonumber(entry.entry_valid), entry.entry_valid_nsec })
  end)

  it("are not negative, and numbers", function()
    assert.truthy(message_of(set, entry, "attr_ttl", -1):find("a ttl is a number of seconds, not -1", 1, true))
    assert.truthy(message_of(set, entry, "entry_ttl", "1"):find("a ttl is a number of seconds, not 1", 1, true))
    assert.truthy(message_of(set, attr_out, "attr_ttl", 0 / 0):find("a ttl is a number of seconds", 1, true))
  end)
end)

describe("entry", function()
  it("has the inode's number as ino", function()
    local entry = ffi.new("struct fractal_entry_out")
    entry.ino, entry.generation = 2 ^ 52, 3
    assert.equal(2 ^ 52, tonumber(entry.nodeid))
    assert.equal(2 ^ 52, entry.ino)
    assert.truthy(message_of(set, entry, "inode", 1):find("types_spec.lua:%d+: entry has no field 'inode'$"))
  end)

  it("is filled from a table or by a function", function()
    local entry = ffi.new("struct fractal_entry_out")
    types.fill_entry(entry, { ino = 5, entry_ttl = 2, attr = { type = "dir", mode = "755" } })
    assert.same({ 5, 2, 0x41ed }, { entry.ino, entry.entry_ttl, entry.attr.mode })
    types.fill_entry(entry, function(e) e.ino = 6 end)
    assert.equal(6, entry.ino)
    assert.same({ "an entry that is a number", "a table or a function that fills one" }, { types.fill_entry(entry, 5) })
    assert.same({ 'size = the string "5"', "a number from 0 on" },
      { types.fill_entry(entry, { attr = { size = "5" } }) })
    assert.same({ "attr = 5", "a table there" }, { types.fill_entry(entry, { attr = 5 }) })
  end)
end)

describe("open", function()
  local out = ffi.new("struct fractal_open_out")
  local open = ffi.new("struct fractal_lua_open", { out, 0x8002 })

  it("has flags as booleans", function()
    open.direct_io, open.keep_cache = true, true
    assert.equal(C.FRACTAL_FOPEN_DIRECT_IO + C.FRACTAL_FOPEN_KEEP_CACHE, out.open_flags)
    open.direct_io = false
    assert.same({ false, true, false }, { open.direct_io, open.keep_cache, open.nonseekable })
    assert.equal(C.FRACTAL_FOPEN_KEEP_CACHE, out.open_flags)
  end)

  it("has the caller's flags, a handle and a backing file", function()
    assert.equal(0x8002, open.flags)
    open.fh = 2 ^ 50
    assert.equal(2 ^ 50, open.fh)
    open.backing_id = 7
    assert.equal(7, open.backing_id)
    assert.is_true(bit.band(out.open_flags, C.FRACTAL_FOPEN_PASSTHROUGH) ~= 0)
    assert.truthy(message_of(set, open, "directio", true):find("types_spec.lua:%d+: open has no field 'directio'$"))
  end)
end)

describe("set", function()
  local raw = ffi.new("struct fractal_setattr_in")
  local change = ffi.new("struct fractal_lua_set", { raw })

  it("has only what is to change", function()
    raw.mode, raw.uid, raw.size = 420, 7, 2 ^ 40
    raw.valid = C.FRACTAL_SET_MODE + C.FRACTAL_SET_SIZE
    assert.same({ mode = 420, size = 2 ^ 40 },
      { mode = change.mode, uid = change.uid, gid = change.gid, size = change.size, atime = change.atime })
    raw.valid = C.FRACTAL_SET_UID
    assert.same({ uid = 7 }, { mode = change.mode, uid = change.uid, size = change.size })
  end)

  it("has times as numbers, as now, and exactly", function()
    raw.atime_sec, raw.atime_nsec = 10, 250000000
    raw.valid = C.FRACTAL_SET_ATIME + C.FRACTAL_SET_MTIME + C.FRACTAL_SET_MTIME_NOW
    assert.same({ 10.25, "now", 10, 250000000 },
      { change.atime, change.mtime, change.atime_sec, change.atime_nsec })
    assert.is_nil(change.ctime)
  end)

  it("refuses fields it does not have", function()
    assert.truthy(message_of(function() return change.owner end):find("set has no field 'owner'$"))
  end)
end)

describe("type_bits", function()
  it("takes names, d_type values and modes", function()
    assert.equal(0x4000, types.type_bits("dir"))
    assert.equal(0xa000, types.type_bits(10))
    assert.equal(0x81a4, types.type_bits(0x81a4))
    assert.equal(0, types.type_bits(nil))
    assert.truthy(message_of(types.type_bits, "folder"):find("unknown file type 'folder'", 1, true))
  end)
end)

describe("req", function()
  it("has the fields of its operation, nil for those of others", function()
    local arg = ffi.new("union fractal_in")
    local req = ffi.new("struct fractal_request")
    req.id, req.nodeid, req.uid, req.gid, req.pid, req.arg = 77, 5, 1, 2, 3, arg
    req.opcode = types.opcodes.create
    arg.create.umask, arg.create.flags = 18, 0x8041
    assert.same({ 77, "create", 5, 18, 0x8041 }, { req.unique, req.opname, req.ino, req.umask, req.flags })
    assert.is_nil(req.lock_owner)
    req.opcode = types.opcodes.getattr
    assert.same({ "getattr" }, { req.opname, req.umask, req.flags })
    assert.is_nil(req.cheese)
    assert.equal("request getattr 77 of inode 5", tostring(req))
  end)
end)
