--- Exercises of fractal.io: every operation, in handlers, in tasks and in init, on whatever runs them.
--
--   local m = helper.mount { source = exercises.source, options = { dir = helper.directory() } }
--   exercises.assert_all(m)

local assert = require "luassert"
local script = require "spec.script"

local exercises = {}

-- A filesystem that runs a named exercise when the attribute user.NAME of its root is read, and returns "ok" or what
-- went wrong. user.task.NAME runs it in a task, user.init tells what all of them gave in init.
local function with_exercises(text)
  return script.one_file([[
  local io = fractal.io
  local exercise = {}
  local function is(expected, got, what)
    if expected ~= got then
      error(("%s: expected %s, got %s"):format(what, tostring(expected), tostring(got)), 2)
    end
  end
  local function fails(err, result, got, ...)
    is(nil, result, "a result")
    is(err, got, "errno")
  end
  local function open_descriptors()
    local n = 0
    local listing = assert(_G.io.popen("ls /proc/" .. ffi.C.getpid() .. "/fd | wc -l"))
    n = tonumber(listing:read("*l"))
    listing:close()
    return n
  end
  ffi.cdef "int getpid(void); int pipe(int *);"
  local function pipe()
    local ends = ffi.new("int[2]")
    assert(ffi.C.pipe(ends) == 0)
    return ends[0], ends[1]
  end
  local function must(result, err)
    if result == nil then error("errno " .. tostring(err), 2) end
    return result
  end
  EXERCISES
  local function outcome(name)
    local ok, err = xpcall(exercise[name], debug.traceback)
    return ok and "ok" or err
  end
  local in_init = {}
  function fs.init()
    for name in pairs(exercise) do
      in_init[#in_init + 1] = name .. ": " .. outcome(name)
    end
    table.sort(in_init)
  end
  function fs.getxattr(req, ino, name)
    name = name:match("^user%.(.*)$")
    if name == "init" then
      return table.concat(in_init, "\n")
    elseif not name then
      return nil, E.NODATA
    end
    local inner = name:match("^task%.(.*)$")
    if inner then
      local answers = fractal.queue()
      fractal.spawn(function() answers:put(outcome(inner)) end)
      return answers:get(20)
    end
    return exercise[name] and outcome(name) or nil, E.NODATA
  end]], 'options = { dir = "where to work" }'):gsub("EXERCISES", { EXERCISES = text })
end

exercises.source = with_exercises [==[
  local function path(name) return fs.options.dir .. "/" .. name end
  local runs = 0

  local function port()
    runs = runs + 1
    return 20000 + (ffi.C.getpid() * 37 + runs * 101) % 30000
  end

  function exercise.files()
    runs = runs + 1
    local name = path("file" .. runs)
    local fd = must(io.open(name, io.O_RDWR + io.O_CREAT + io.O_EXCL, 0x180))
    is(5, io.write(fd, "hello", 0), "write")
    is("ello", io.read(fd, 100, 1), "read at 1")
    is(1, io.write(fd, "!", 5), "write at 5")
    is("hello!", io.read(fd, 100), "read at the file's position")
    is("", io.read(fd, 100), "read at the end")
    is(true, io.fsync(fd), "fsync")
    is(true, io.fdatasync(fd), "fdatasync")
    is(true, io.fallocate(fd, 0, 0, 8192), "fallocate")
    is(8192, must(io.stat(fd)).size, "size after fallocate")
    is(true, io.ftruncate(fd, 3), "ftruncate")
    is(true, io.sync_file_range(fd, 0, 3, 7), "sync_file_range")
    local st = must(io.stat(name))
    is(3, st.size, "size")
    is(0x8180, st.mode, "mode")
    is(1, st.nlink, "nlink")
    is(true, math.abs(st.mtime - os.time()) < 60, "mtime")
    is(true, io.close(fd), "close")
    fails(E.BADF, io.close(fd))
    fails(E.EXIST, io.open(name, io.O_RDWR + io.O_CREAT + io.O_EXCL))
    is(true, io.linkat(nil, name, nil, name .. ".link"), "link")
    is(2, must(io.stat(name)).nlink, "nlink")
    is(true, io.rename(name .. ".link", name .. ".moved"), "rename")
    is(true, io.unlink(name .. ".moved"), "unlink")
    is(true, io.unlink(name), "unlink")
    fails(E.NOENT, io.stat(name))
    fails(E.NOENT, io.open(name))
    fails(E.NOENT, io.unlink(name))
  end

  function exercise.vectors()
    runs = runs + 1
    local name = path("vector" .. runs)
    local fd = must(io.open(name, io.O_RDWR + io.O_CREAT))
    is(9, io.writev(fd, { "one", "", "two", "six" }, 0), "writev")
    is("onetwosix", io.read(fd, 100, 0), "what writev wrote")
    is(4, io.writev(fd, { "ab", "cd" }), "writev at the file's position")
    is("abcdwosix", io.read(fd, 100, 0), "what writev wrote")
    fails(E.BADF, io.writev(12345, { "x" }))
    io.close(fd)
    io.unlink(name)
  end

  function exercise.threads()
    runs = runs + 1
    local name = path("thread" .. runs)
    is(true, io.mkdir(name), "mkdir")
    local file = name .. "/file"
    local fd = must(io.open(file, io.O_RDWR + io.O_CREAT, 0x180))
    is(true, io.mknodat(nil, name .. "/fifo", 0x1180), "mknodat")
    is(true, io.symlinkat("where to", nil, name .. "/link"), "symlinkat")
    is("where to", io.readlink(name .. "/link"), "readlink")
    local kinds = {}
    for _, entry in ipairs(must(io.readdir(name))) do
      kinds[entry.name] = entry.type
      is(true, entry.ino > 0, "ino")
    end
    is("file fifo symlink nil", ("%s %s %s %s"):format(kinds.file, kinds.fifo, kinds.link, kinds["."]), "readdir")
    fails(E.NOENT, io.readdir(name .. "/none"))
    fails(E.NOTDIR, io.readdir(file))
    is(true, io.fchmod(fd, 0x1a4), "fchmod")
    is(0x81a4, must(io.stat(fd)).mode, "mode")
    is(true, io.chmod(file, 0x180), "chmod")
    is(0x8180, must(io.stat(fd)).mode, "mode")
    local st = must(io.stat(fd))
    is(true, io.fchownat(nil, file, st.uid, nil), "fchownat")
    is(true, io.utimensat(nil, file, 100.5, nil), "utimensat")
    is(100.5, must(io.stat(fd)).atime, "atime")
    is(st.mtime, must(io.stat(fd)).mtime, "mtime")
    is(true, io.utimensat(fd, "", "now", -7, io.AT_EMPTY_PATH), "utimensat of a descriptor")
    is(-7, must(io.stat(fd)).mtime, "mtime")
    is(must(io.statvfs(name)).blocks, must(io.statvfs(fd)).blocks, "blocks")
    is(true, io.truncate(file, 5 * 2 ^ 30), "truncate")
    is(3, io.write(fd, "end", 5 * 2 ^ 30), "write")
    is(5 * 2 ^ 30 + 3, io.lseek(fd, 0, "end"), "lseek")
    is(true, must(io.lseek(fd, 0, "data")) > 4 * 2 ^ 30, "data")
    is(0, io.lseek(fd, 0, "hole"), "hole")
    fails(E.NXIO, io.lseek(fd, 6 * 2 ^ 30, "data"))
    is(3, io.copy_file_range(fd, 5 * 2 ^ 30, fd, 0, 3), "copy_file_range")
    is("end", io.read(fd, 3, 0), "copied")
    is(true, io.syncfs(fd), "syncfs")
    io.close(fd)
    for _, inner in ipairs { "file", "fifo", "link" } do io.unlink(name .. "/" .. inner) end
    is(true, io.rmdir(name), "rmdir")
  end

  function exercise.attributes()
    runs = runs + 1
    local name = path("attributes" .. runs)
    local fd = must(io.open(name, io.O_RDWR + io.O_CREAT))
    local ok, err = io.setxattr(name, "user.one", "1\0", io.XATTR_CREATE)
    if not ok then
      is(E.OPNOTSUPP, err, "errno of a filesystem without attributes")
      return
    end
    fails(E.EXIST, io.setxattr(fd, "user.one", "2", io.XATTR_CREATE))
    is(true, io.setxattr(fd, "user.long", ("x"):rep(2000)), "setxattr")
    is("1\0", io.getxattr(fd, "user.one"), "getxattr")
    is(("x"):rep(2000), io.getxattr(name, "user.long"), "a long value")
    fails(E.NODATA, io.getxattr(name, "user.none"))
    local names = must(io.listxattr(name))
    table.sort(names)
    is("user.long user.one", table.concat(names, " "), "names")
    is(true, io.removexattr(fd, "user.one"), "removexattr")
    is("user.long", table.concat(must(io.listxattr(fd)), " "), "names")
    io.close(fd)
    io.unlink(name)
  end

  function exercise.hosts()
    is("127.0.0.1", io.resolve("127.0.0.1")[1], "an address")
    local list = must(io.resolve("localhost", 10))
    is(true, list[1] == "127.0.0.1" or list[1] == "::1", tostring(list[1]))
    local _, err = io.resolve("name.invalid", 10)
    is(true, err == E.NOENT or err == E.AGAIN or err == E.TIMEDOUT, "errno " .. tostring(err))
    local address = "127.0.0.1:" .. port()
    local listener = must(io.listen(address))
    local fd = must(io.connect(address:gsub("127.0.0.1", "ip4-loopback.localhost"), 10)
      or io.connect(address, 10)) -- not every resolver knows names below localhost
    io.close(fd)
    io.close(listener)
  end

  function exercise.directories()
    runs = runs + 1
    local name = path("dir" .. runs)
    is(true, io.mkdir(name, 0x1c0), "mkdir")
    fails(E.EXIST, io.mkdir(name))
    local dir = must(io.open(name, io.O_DIRECTORY))
    is(true, io.mkdirat(dir, "inner"), "mkdirat")
    is(true, io.symlinkat("target", dir, "link"), "symlinkat")
    is(0xa000, bit.band(must(io.statx(dir, "link", io.AT_SYMLINK_NOFOLLOW)).mode, 0xf000), "a link's mode")
    fails(E.NOENT, io.statx(dir, "link"))
    fails(E.LOOP, io.openat2(dir, "link", { resolve = io.RESOLVE_NO_SYMLINKS }))
    fails(E.XDEV, io.openat2(dir, "../..", { resolve = io.RESOLVE_BENEATH }))
    is(true, io.renameat(dir, "link", dir, "other"), "renameat")
    is(true, io.unlinkat(dir, "other"), "unlinkat")
    fails(E.NOTEMPTY, io.rmdir(name))
    is(true, io.unlinkat(dir, "inner", io.AT_REMOVEDIR), "unlinkat of a directory")
    is(true, io.close(dir), "close")
    is(true, io.rmdir(name), "rmdir")
  end

  local function talk(address)
    local listener = must(io.listen(address))
    local heard = fractal.queue()
    fractal.spawn(function()
      local fd = must(io.accept(listener, 5))
      heard:put(io.recv(fd, 100, 5))
      is(6, io.send(fd, "answer", 5), "send")
      heard:put(io.recv(fd, 100, 5))
      io.close(fd)
    end)
    local fd = must(io.connect(address, 5))
    is(8, io.send(fd, "question", 5), "send")
    is("answer", io.recv(fd, 100, 5), "answer")
    is(true, io.shutdown(fd, io.SHUT_WR), "shutdown")
    is("question", heard:get(5), "heard")
    is("", heard:get(5), "heard at the end")
    is("", io.recv(fd, 100, 5), "received at the end")
    io.close(fd)
    io.close(listener)
    fails(E.CONNREFUSED, io.connect(address, 5))
  end

  function exercise.tcp4() talk("127.0.0.1:" .. port()) end
  function exercise.tcp6() talk("[::1]:" .. port()) end
  function exercise.unix()
    local name = path("socket" .. port())
    talk("unix:" .. name)
    io.unlink(name)
  end

  function exercise.addresses()
    for _, text in ipairs { "nonsense", "1.2.3.4", "1.2.3.4:99999", "[::1", "unix:", "name:99999" } do
      fails(E.INVAL, io.connect(text))
    end
  end

  function exercise.timeouts()
    local from, to = pipe()
    local begun = io.now()
    fails(E.TIMEDOUT, io.read(from, 10, nil, 0.02))
    fails(E.TIMEDOUT, io.poll(from, io.POLLIN, 0.02))
    local listener = must(io.listen("127.0.0.1:" .. port()))
    fails(E.TIMEDOUT, io.accept(listener, 0.02))
    local other, far = pipe()
    fails(E.TIMEDOUT, io.splice(from, nil, far, nil, 10, 0, 0.02))
    local took = io.now() - begun
    is(true, took > 0.075 and took < 5, "four time-outs in " .. took .. " s")
    for _, fd in ipairs { from, to, other, far, listener } do io.close(fd) end
  end

  function exercise.poll_and_splice()
    local from, to = pipe()
    is(io.POLLOUT, io.poll(to, io.POLLOUT, 1), "poll of the writing end")
    fractal.timeout(0.01, function() io.write(to, "through the pipe") end)
    is(io.POLLIN, io.poll(from, io.POLLIN, 5), "poll of the reading end")
    runs = runs + 1
    local name = path("spliced" .. runs)
    local fd = must(io.open(name, io.O_RDWR + io.O_CREAT))
    is(16, io.splice(from, nil, fd, 4, 100), "splice")
    is("\0\0\0\0through", io.read(fd, 11, 0), "spliced bytes")
    for _, one in ipairs { from, to, fd } do io.close(one) end
    io.unlink(name)
  end

  function exercise.sleep()
    local begun = io.now()
    is(true, io.sleep(0.03), "sleep")
    local took = io.now() - begun
    is(true, took >= 0.03 and took < 5, "sleep of 0.03 s took " .. took)
    is(true, io.sleep(0), "sleep of nothing")
  end

  function exercise.send_deadline()
    local address = "127.0.0.1:" .. port()
    local listener, fd = must(io.listen(address)), must(io.connect(address, 5))
    local begun = io.now()
    fails(E.TIMEDOUT, io.send(fd, ("x"):rep(64 * 1024 * 1024), 0.1))
    is(true, io.now() - begun < 3, "a bounded send")
    io.close(fd)
    io.close(listener)
  end

  function exercise.leaks()
    io.sleep(0.05) -- what earlier exercises left to tasks is closed, most of it
    local before = open_descriptors()
    for i = 1, 20 do
      local fd = must(io.open("/proc/self/status"))
      io.read(fd, 10, 0)
      io.close(fd)
      fails(E.CONNREFUSED, io.connect("127.0.0.1:1", 1))
      local from, to = pipe()
      fails(E.TIMEDOUT, io.poll(from, io.POLLIN, 0.0001))
      io.close(from)
      io.close(to)
    end
    local deadline = io.now() + 5 -- tasks close what was given up
    while open_descriptors() > before and io.now() < deadline do
      io.sleep(0.02)
    end
    local after = open_descriptors()
    is(true, after <= before, ("%d descriptors before, %d after"):format(before, after))
  end
]==]

local names = {
  "addresses", "attributes", "directories", "files", "hosts", "leaks", "poll_and_splice", "send_deadline", "sleep",
  "tcp4", "tcp6", "threads", "timeouts", "unix", "vectors",
}

--- The attribute user.NAME of the root of a mount.
function exercises.xattr(m, name, seconds)
  local ok, out = m:sh("getfattr --absolute-names --only-values -n user." .. name .. " $MNT", seconds or 10)
  assert.is_true(ok, out .. m.log())
  return out
end

--- Every exercise passes in a handler and in a task, and has passed in init.
function exercises.assert_all(m)
  local all = {}
  for i, name in ipairs(names) do
    assert.equal("ok", exercises.xattr(m, name, 20), name)
    assert.equal("ok", exercises.xattr(m, "task." .. name, 20), name .. " in a task")
    all[i] = name .. ": ok"
  end
  assert.equal(table.concat(all, "\n"), exercises.xattr(m, "init"))
end

return exercises
