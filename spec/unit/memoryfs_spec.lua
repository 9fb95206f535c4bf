-- The data structures of fractal.memoryfs, without a mount: pages, file contents, directories, inodes, attributes,
-- access control lists.

local ffi = require "ffi"
local E = require("fractal.errno").E
local acl = require "fractal.memoryfs.acl"
local data = require "fractal.memoryfs.data"
local directory = require "fractal.memoryfs.directory"
local inodes = require "fractal.memoryfs.inodes"
local options = require "fractal.memoryfs.options"
local pages = require "fractal.memoryfs.pages"
local xattr = require "fractal.memoryfs.xattr"

local PAGE = pages.SIZE

-- Bytes of this process in memory.
local function resident()
  local file = assert(io.open("/proc/self/statm"))
  local count = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(count) * PAGE
end

local function new_file(ino)
  return { ino = ino or 7, size = 0, first = 0, pages = 0, top = 0 }
end

local function write(contents, file, offset, text)
  local bytes = ffi.new("uint8_t[?]", math.max(#text, 1))
  ffi.copy(bytes, text, #text)
  local n, err = contents:write(file, bytes, offset, #text)
  bytes[0] = 0 -- keeps the collector away until here
  return n, err
end

local function read(contents, file, offset, n)
  local buffer = ffi.new("uint8_t[?]", n)
  ffi.fill(buffer, n, 0xee) -- so that unwritten bytes show
  contents:read(file, buffer, offset, n)
  return ffi.string(buffer, n)
end

describe("memoryfs pages", function()
  it("are limited, and can be taken again once given back", function()
    local store = pages.new(3)
    local taken = { store:take(true), store:take(true), store:take(true) }
    assert.same({ 1, 2, 3 }, taken)
    assert.is_nil(store:take(true))
    assert.equal(0, store:free())
    store:give(2)
    assert.equal(1, store:free())
    assert.equal(2, store:take(true))
    assert.is_nil(store:take(true))
  end)

  it("are zero when asked to be, whoever had them before", function()
    local store = pages.new(4)
    local page = store:take(false)
    ffi.fill(store.memory + page * PAGE, PAGE, 0xff)
    store:give(page)
    assert.equal(page, store:take(true))
    assert.equal(("\0"):rep(PAGE), ffi.string(store.memory + page * PAGE, PAGE))
  end)

  it("go back to the operating system, in any order of giving", function()
    local count = 16384
    local store = pages.new(count)
    local before = resident()
    local taken = {}
    for i = 1, count do
      taken[i] = store:take(false)
      store.memory[taken[i] * PAGE] = 1
    end
    assert.is_true(resident() - before >= count * PAGE)
    for i = 1, count / 2 do
      store:give(taken[i])
    end
    for i = count, count / 2 + 1, -1 do
      store:give(taken[i])
    end
    store:settle()
    assert.equal(0, store.used)
    assert.is_true(resident() - before <= count * PAGE / 4)
    local seen = {}
    for _ = 1, count do
      local page = store:take(true)
      assert.is_nil(seen[page])
      assert.equal(0, store.memory[page * PAGE])
      seen[page] = true
    end
    assert.is_nil(store:take(true))
  end)

  it("explain themselves when there is no room for them", function()
    local store, reason = pages.new(2 ^ 60)
    if store then -- 16 TiB of addresses were free
      assert.equal(2 ^ 32 - 2, store.limit)
    else
      assert.matches("give a smaller size=", reason, 1, true)
    end
  end)
end)

describe("memoryfs contents", function()
  local contents, file

  before_each(function()
    contents = data.new(64)
    file = new_file()
  end)

  it("read back what was written across pages, and zeros from holes", function()
    local text = ("0123456789"):rep(1000)
    assert.equal(#text, write(contents, file, 3 * PAGE - 17, text))
    assert.equal(3 * PAGE - 17 + #text, file.size)
    assert.equal(text, read(contents, file, 3 * PAGE - 17, #text))
    assert.equal(("\0"):rep(3 * PAGE - 17) .. text, read(contents, file, 0, file.size))
    assert.equal(4, file.pages)
  end)

  it("hold sparse files of any size", function()
    assert.equal(3, write(contents, file, 100 * 2 ^ 30, "end"))
    assert.equal(5, write(contents, file, 0, "begin"))
    assert.equal("begin", read(contents, file, 0, 5))
    assert.equal("\0\0end", read(contents, file, 100 * 2 ^ 30 - 2, 5))
    assert.equal(2, file.pages)
    contents:truncate(file, 50 * 2 ^ 30)
    assert.equal(1, file.pages)
    contents:truncate(file, 0)
    assert.equal(0, file.pages)
    assert.equal(64, contents.pages:free())
    assert.same({}, contents.maps)
  end)

  it("are zero behind an end that moved", function()
    write(contents, file, 0, ("x"):rep(PAGE + 100))
    contents:truncate(file, PAGE + 10)
    contents:truncate(file, PAGE + 50)
    assert.equal(("x"):rep(10) .. ("\0"):rep(40), read(contents, file, PAGE, 50))
    contents:truncate(file, 5)
    contents:truncate(file, 2 * PAGE)
    assert.equal("xxxxx" .. ("\0"):rep(2 * PAGE - 5), read(contents, file, 0, 2 * PAGE))
  end)

  it("are written as far as there is room", function()
    assert.equal(64 * PAGE, write(contents, file, 0, ("x"):rep(70 * PAGE)))
    assert.equal(64 * PAGE, file.size)
    local n, err = write(contents, file, 64 * PAGE, "y")
    assert.is_nil(n)
    assert.equal(E.NOSPC, err)
    assert.equal(64 * PAGE, file.size)
    assert.equal(2, write(contents, file, 10, "ok")) -- in place there is always room
    contents:truncate(file, 63 * PAGE)
    assert.equal(1, write(contents, file, 63 * PAGE, "y"))
  end)

  it("get holes punched", function()
    write(contents, file, 0, ("x"):rep(5 * PAGE))
    contents:punch(file, PAGE - 1, 2 * PAGE + 2)
    assert.equal(3, file.pages)
    assert.equal(("x"):rep(PAGE - 1) .. ("\0"):rep(2 * PAGE + 2) .. ("x"):rep(2 * PAGE - 1),
      read(contents, file, 0, 5 * PAGE))
    contents:punch(file, 10, 5) -- inside a page
    assert.equal("x\0\0\0\0\0x", read(contents, file, 9, 7))
    assert.equal(3, file.pages)
    contents:punch(file, 0, 100 * 2 ^ 30)
    assert.equal(0, file.pages)
    assert.equal(5 * PAGE, file.size)
  end)

  it("are allocated wholly or not at all", function()
    assert.is_true(contents:allocate(file, PAGE / 2, 2 * PAGE))
    assert.equal(3, file.pages)
    assert.equal(0, file.size)
    local ok, err = contents:allocate(file, 0, 65 * PAGE)
    assert.is_nil(ok)
    assert.equal(E.NOSPC, err)
    assert.equal(3, file.pages)
    contents:truncate(file, 0) -- gives back what lies behind the end, too
    assert.equal(0, file.pages)
  end)

  it("are zeroed in place", function()
    write(contents, file, 0, ("x"):rep(2 * PAGE))
    assert.is_true(contents:zero(file, PAGE - 2, 4))
    assert.equal("x\0\0\0\0x", read(contents, file, PAGE - 3, 6))
    assert.is_true(contents:zero(file, 2 * PAGE, 2 * PAGE))
    assert.equal(4, file.pages)
  end)

  it("tell data from holes", function()
    write(contents, file, 2 * PAGE + 5, "data")
    write(contents, file, 4 * PAGE, ("x"):rep(PAGE))
    contents:truncate(file, 7 * PAGE)
    assert.equal(2 * PAGE, contents:seek_data(file, 0))
    assert.equal(2 * PAGE + 9, contents:seek_data(file, 2 * PAGE + 9))
    assert.equal(4 * PAGE, contents:seek_data(file, 3 * PAGE))
    assert.equal(1, contents:seek_hole(file, 1))
    assert.equal(3 * PAGE, contents:seek_hole(file, 2 * PAGE + 1))
    assert.equal(5 * PAGE, contents:seek_hole(file, 4 * PAGE))
    assert.same({ nil, E.NXIO }, { contents:seek_data(file, 5 * PAGE) })
    assert.same({ nil, E.NXIO }, { contents:seek_data(file, 7 * PAGE) })
    assert.same({ nil, E.NXIO }, { contents:seek_hole(file, 7 * PAGE) })
    contents:truncate(file, 4 * PAGE + 100)
    assert.equal(4 * PAGE + 100, contents:seek_hole(file, 4 * PAGE))
    contents:truncate(file, 2 ^ 50) -- a wide hole is not walked through
    assert.same({ nil, E.NXIO }, { contents:seek_data(file, 5 * PAGE) })
    write(contents, file, 2 ^ 49, "far")
    assert.equal(2 ^ 49, contents:seek_data(file, 5 * PAGE))
  end)

  it("are copied between files, holes as holes", function()
    local target = new_file(8)
    write(contents, file, 0, "head")
    write(contents, file, 5 * PAGE, ("tail"):rep(100))
    assert.equal(file.size, contents:copy(file, 0, target, 10, 1e9))
    assert.equal(file.size + 10, target.size)
    assert.equal(read(contents, file, 0, file.size), read(contents, target, 10, file.size))
    assert.equal(3, target.pages) -- the source's first page lies across two of the target
    write(contents, target, 2 * PAGE, ("old"):rep(100))
    contents:copy(file, 2 * PAGE, target, 2 * PAGE, 300) -- a hole over data
    assert.equal(("\0"):rep(300), read(contents, target, 2 * PAGE, 300))
    assert.equal(0, contents:copy(file, file.size, target, 0, 10))
  end)
end)

describe("memoryfs directory", function()
  -- Reads the names from an offset on, at most n of them; returns them and the offset behind.
  local function read_names(dir, offset, n)
    local names = {}
    for position = dir:seek(offset), dir.last do
      if #names == n then
        break
      end
      if dir.names[position] then
        names[#names + 1] = dir.names[position]
        offset = dir:offset(position)
      end
    end
    return names, offset
  end

  local function filled(count)
    local dir = directory.new(1)
    for i = 1, count do
      dir:add("n" .. i, 100 + i)
    end
    return dir
  end

  it("finds, replaces and removes names", function()
    local dir = filled(3)
    assert.equal(102, dir:find("n2"))
    dir:replace("n2", 55)
    assert.equal(55, dir:find("n2"))
    dir:remove("n2")
    assert.is_nil(dir:find("n2"))
    assert.same({ "n1", "n3" }, (read_names(dir, directory.FIRST_COOKIE)))
    assert.equal(2, dir.count)
  end)

  it("shows each lasting entry once to a reader while others come and go", function()
    local lasting = {}
    local dir = directory.new(1)
    for i = 1, 3000 do
      dir:add("n" .. i, i)
      lasting["n" .. i] = i % 7 == 0 or nil
    end
    local seen, offset, added = {}, directory.FIRST_COOKIE, 0
    local doomed = 1
    repeat
      local names
      names, offset = read_names(dir, offset, 50)
      for _, name in ipairs(names) do
        assert.is_nil(seen[name], name)
        seen[name] = true
      end
      for _ = 1, 60 do -- removes all over the directory, which closes gaps meanwhile
        while doomed <= 3000 and doomed % 7 == 0 do
          doomed = doomed + 1
        end
        if doomed <= 3000 then
          dir:remove("n" .. doomed)
          doomed = doomed + 1
        end
      end
      if added < 20 then
        added = added + 1
        dir:add("later" .. added, 5000)
      end
    until #names == 0
    for name in pairs(lasting) do
      assert.is_true(seen[name], name)
      assert.equal(tonumber(name:sub(2)), dir:find(name))
    end
  end)

  it("goes on at a place whose entry is gone", function()
    local dir = filled(500)
    local names, offset = read_names(dir, directory.FIRST_COOKIE, 200)
    assert.equal("n200", names[200])
    for i = 50, 350 do
      dir:remove("n" .. i)
    end
    assert.is_not_nil(dir.cookies) -- gaps were closed
    names, offset = read_names(dir, offset, 1)
    assert.same({ "n351" }, names)
    dir:add("new", 9)
    names = read_names(dir, offset)
    assert.equal("n352", names[1])
    assert.equal("new", names[#names])
    dir:remove("n352")
    assert.equal("n353", read_names(dir, offset, 1)[1])
  end)

  it("keeps no more than it holds, whatever went through it", function()
    local dir = filled(10)
    for i = 1, 100000 do
      dir:add("churn" .. i, i)
      dir:remove("churn" .. i)
    end
    assert.is_true(#dir.names <= 200)
    assert.equal(10, dir.count)
    dir:begin_reading()
    assert.is_nil(dir.cookies)
    assert.equal(10, dir.last)
    assert.equal(10, #read_names(dir, directory.FIRST_COOKIE))
    assert.equal(105, dir:find("n5"))
  end)

  it("takes a name again after its removal", function()
    local dir = filled(2)
    dir:remove("n1")
    dir:add("n1", 77)
    assert.equal(77, dir:find("n1"))
    assert.same({ "n2", "n1" }, (read_names(dir, directory.FIRST_COOKIE)))
  end)
end)

describe("memoryfs inodes", function()
  local FILE, DIR = inodes.S_IFREG + 420, inodes.S_IFDIR + 493
  local store, root

  before_each(function()
    store = inodes.new { pages = 100, inodes = 5 }
    root = store:create_root(493, 0, 0)
  end)

  local function add(dir, name, mode)
    local node = assert(store:create(mode, 1, 2, 0))
    store:add_name(dir, name, node)
    return node
  end

  it("count their names", function()
    local file = add(root, "a", FILE)
    store:add_name(root, "b", file)
    assert.equal(2, file.nlink)
    local dir = add(root, "d", DIR)
    assert.equal(2, dir.nlink)
    assert.equal(3, root.nlink)
    store:move_name(root, "a", file, dir, "c")
    assert.equal(2, file.nlink)
    store:remove_name(dir, "c", file)
    store:remove_directory(root, "d", dir)
    assert.equal(0, dir.nlink)
    assert.equal(2, root.nlink)
  end)

  it("swap names, and the parents of directories", function()
    local dir, other, file = add(root, "dir", DIR), add(root, "other", DIR), add(root, "file", FILE)
    local inner = add(dir, "inner", DIR)
    store:exchange_names(dir, "inner", inner, root, "file", file)
    assert.equal(root.ino, store.directories[inner.ino].parent)
    assert.equal(file.ino, store.directories[dir.ino]:find("inner"))
    assert.equal(2, dir.nlink)
    assert.equal(5, root.nlink)
    assert.equal(1, file.nlink)
    assert.equal(2, other.nlink)
  end)

  it("are limited in number, and freed with the last reference", function()
    local files = {}
    for i = 1, 4 do
      files[i] = add(root, "f" .. i, FILE)
    end
    assert.same({ nil, E.NOSPC }, { store:create(FILE, 0, 0, 0) })
    local file = files[1]
    local ino, generation = file.ino, file.generation
    file.lookups, file.opens = 2, 1
    assert.equal(1, store.data:write(file, ffi.cast("const uint8_t *", "x"), 5 * PAGE, 1))
    store:remove_name(root, "f1", file)
    store:release_unused(file)
    assert.equal(5, store.count)
    file.lookups = 0
    store:release_unused(file)
    assert.equal(1, store.data.pages.used)
    file.opens = 0
    store:release_unused(file)
    assert.equal(4, store.count)
    assert.equal(0, store.data.pages.used)
    assert.is_nil(store.nodes[ino])

    local again = add(root, "again", FILE)
    assert.equal(ino, again.ino)
    assert.is_true(again.generation > generation)
    assert.equal(0, again.pages)
    store:release_unused(file) -- the old inode: must not touch the new one of its number
    assert.equal(again, store.nodes[ino])
  end)

  it("keep access times as relatime does", function()
    local file = add(root, "f", FILE)
    file.atime_sec, file.atime_nsec = 1000, 5
    inodes.accessed(file)
    assert.is_true(file.atime_sec > 1000)
    local now = file.mtime_sec
    file.mtime_sec, file.ctime_sec = now - 100, now - 100
    file.atime_sec, file.atime_nsec = now - 50, 7
    inodes.accessed(file)
    assert.equal(now - 50, file.atime_sec) -- later than both changes, younger than a day
    file.mtime_sec, file.ctime_sec, file.atime_sec = now - 300000, now - 300000, now - 200000
    inodes.accessed(file)
    assert.is_true(file.atime_sec >= now)
  end)

  it("hold a million", function()
    local many = inodes.new { pages = 1, inodes = 2 ^ 20 }
    local top = many:create_root(493, 0, 0)
    for i = 1, 1000000 do
      many:add_name(top, "file" .. i, (many:create(FILE, 0, 0, 0)))
    end
    assert.equal(1000001, many.count)
    assert.equal(777778, many.directories[1]:find("file777777"))
    assert.is_true(collectgarbage("count") < 600 * 1024) -- KiB: fewer than 600 bytes for each with its name
  end)
end)

describe("memoryfs extended attributes", function()
  local store

  before_each(function()
    store = {}
  end)

  it("know their namespaces", function()
    for _, name in ipairs { "user.a", "trusted.b", "security.capability" } do
      assert.is_true(xattr.check_name(name, false))
    end
    assert.same({ nil, E.INVAL }, { xattr.check_name("user.", false) })
    for _, name in ipairs { "a", "user", "other.a", "system.x", acl.ACCESS } do
      assert.same({ nil, E.OPNOTSUPP }, { xattr.check_name(name, false) })
    end
    assert.is_true(xattr.check_name(acl.DEFAULT, true))
  end)

  it("are created, replaced and removed", function()
    assert.same({ nil, E.NODATA }, { xattr.set(store, 1, "user.a", "x", 2) })
    assert.is_true(xattr.set(store, 1, "user.a", "", 1))
    assert.equal("", xattr.get(store, 1, "user.a"))
    assert.same({ nil, E.EXIST }, { xattr.set(store, 1, "user.a", "x", 1) })
    assert.is_true(xattr.set(store, 1, "user.a", "y", 2))
    assert.equal("y", xattr.get(store, 1, "user.a"))
    assert.is_true(xattr.remove(store, 1, "user.a"))
    assert.same({ nil, E.NODATA }, { xattr.get(store, 1, "user.a") })
    assert.same({ nil, E.NODATA }, { xattr.remove(store, 1, "user.a") })
    assert.same({}, store)
  end)

  it("hide trusted.* from users", function()
    xattr.set(store, 1, "trusted.t", "x", 0)
    xattr.set(store, 1, "user.u", "x", 0)
    assert.same({ "user.u" }, xattr.list(store, 1, false))
    assert.equal(2, #xattr.list(store, 1, true))
    assert.same({}, xattr.list(store, 2, true))
  end)

  it("are as many as a list can tell", function()
    local count, err = 0
    repeat
      count = count + 1
      local name = ("user.%s%05d"):format(("n"):rep(244), count)
      local _
      _, err = xattr.set(store, 1, name, "x", 0)
    until err
    assert.equal(E.NOSPC, err)
    assert.equal(math.floor(65536 / 255) + 1, count)
  end)
end)

describe("memoryfs access control lists", function()
  local NO_ID = "\255\255\255\255"

  local function entry(tag, perm, id)
    return { tag = tag, perm = perm, id = id or NO_ID }
  end

  local function minimal()
    return { entry(1, 7), entry(4, 5), entry(0x20, 4) }
  end

  local function extended()
    return { entry(1, 7), entry(2, 6, "\1\0\0\0"), entry(4, 5), entry(0x10, 6), entry(0x20, 0) }
  end

  local function octal(text)
    return tonumber(text, 8)
  end

  it("survive their attribute's form", function()
    local value = acl.encode(extended())
    assert.equal(4 + 5 * 8, #value)
    assert.same(extended(), acl.decode(value))
    assert.is_nil(acl.decode("\1\0\0\0"))
    assert.is_nil(acl.decode(value .. "x"))
  end)

  it("tell the mode", function()
    assert.is_false(acl.is_extended(minimal()))
    assert.is_true(acl.is_extended(extended()))
    assert.equal(octal("100754"), acl.to_mode(minimal(), octal("100000")))
    assert.equal(octal("104760"), acl.to_mode(extended(), octal("104777"))) -- the mask is the group class
  end)

  it("follow the mode", function()
    local list = extended()
    acl.from_mode(list, octal("100421"))
    assert.same({ entry(1, 4), entry(2, 6, "\1\0\0\0"), entry(4, 5), entry(0x10, 2), entry(0x20, 1) }, list)
    list = minimal()
    acl.from_mode(list, octal("640"))
    assert.same({ entry(1, 6), entry(4, 4), entry(0x20, 0) }, list)
  end)

  it("pass to what is made in a directory", function()
    local list = extended()
    assert.equal(octal("100640"), acl.inherit(list, octal("100644")))
    assert.same({ entry(1, 6), entry(2, 6, "\1\0\0\0"), entry(4, 5), entry(0x10, 4), entry(0x20, 0) }, list)
  end)
end)

describe("memoryfs options", function()
  it("have defaults like those of tmpfs", function()
    local limits = options.parse {}
    assert.equal(math.floor(pages.physical / 2), limits.pages)
    assert.equal(math.floor(pages.physical / 2), limits.inodes)
    assert.equal(tonumber("1777", 8), limits.mode)
  end)

  it("are read with their suffixes", function()
    local limits = options.parse { size = "3m", nr_inodes = "2k", mode = "750", uid = "5", gid = 6 }
    assert.same({ pages = 3 * 2 ^ 20 / PAGE, inodes = 2048, mode = tonumber("750", 8), uid = 5, gid = 6 }, limits)
    assert.equal(math.floor(pages.physical / 4), options.parse({ size = "25%" }).pages)
    assert.equal(1, options.parse({ size = 1 }).pages)
    assert.is_true(options.parse({ size = "0" }).pages > 2 ^ 32)
  end)

  it("are refused with a sentence", function()
    for name, value in pairs { size = "1x", nr_inodes = "-1", mode = "999", uid = "root", gid = "1.5" } do
      local limits, reason = options.parse { [name] = value }
      assert.is_nil(limits)
      assert.matches(("option %s=%s: expected "):format(name, value), reason, 1, true)
    end
  end)
end)
