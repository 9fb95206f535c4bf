-- fractal.io: every operation in handlers, in init and in tasks; time-outs, interrupts, the mount's end; waits that
-- overlap; buffers of requests read and written straight; what there is without io_uring.

local client = require "spec.client"
local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- A filesystem that runs a named exercise when the attribute user.NAME of its root is read, and returns "ok" or what
-- went wrong. user.task.NAME runs it in a task, user.init tells what all of them gave in init.
local function exercises(text)
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

local function xattr(m, name, seconds)
  local ok, out = m:sh("getfattr --absolute-names --only-values -n user." .. name .. " $MNT", seconds or 10)
  assert.is_true(ok, out .. m.log())
  return out
end

local operations = exercises [==[
  local function path(name) return fs.options.dir .. "/" .. name end
  local runs = 0

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

  local function port()
    runs = runs + 1
    return 20000 + (ffi.C.getpid() * 37 + runs * 101) % 30000
  end

  function exercise.tcp4() talk("127.0.0.1:" .. port()) end
  function exercise.tcp6() talk("[::1]:" .. port()) end
  function exercise.unix()
    local name = path("socket" .. port())
    talk("unix:" .. name)
    io.unlink(name)
  end

  function exercise.addresses()
    for _, text in ipairs { "nonsense", "1.2.3.4", "1.2.3.4:99999", "[::1", "unix:", "name.example:80" } do
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

  local function settled_descriptors()
    local count
    repeat
      count = open_descriptors()
      io.sleep(0.2)
    until count == open_descriptors()
    return count
  end

  function exercise.leaks()
    local before = settled_descriptors() -- what earlier exercises left to tasks is closed
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
    is(before, settled_descriptors(), "open descriptors")
  end
]==]

helper.each_transport(function(transport)
  describe("fractal.io", function()
    after_each(helper.teardown)

    local function mount(source, options, more)
      local settings = { source = source, transport = transport, options = options or {} }
      for name, value in pairs(more or {}) do settings[name] = value end
      return helper.mount(settings)
    end

    it("does every operation in handlers, tasks and init", function()
      local m = mount(operations, { dir = helper.directory() })
      local names = {
        "addresses", "directories", "files", "leaks", "poll_and_splice", "send_deadline", "sleep", "tcp4", "tcp6",
        "timeouts", "unix",
      }
      for _, name in ipairs(names) do
        assert.equal("ok", xattr(m, name), name)
        assert.equal("ok", xattr(m, "task." .. name), name .. " in a task")
      end
      local all = {}
      for i, name in ipairs(names) do all[i] = name .. ": ok" end
      assert.equal(table.concat(all, "\n"), xattr(m, "init"))
      assert.equal(0, m:unmount())
    end)

    it("reads into and writes from a request's own buffer, O_DIRECT too", function()
      local dir = helper.directory()
      local m = mount(script.one_file([[
        local io = fractal.io
        local file
        function fs.init()
          file = assert(io.open(fs.options.dir .. "/below", io.O_RDWR + io.O_CREAT + io.O_DIRECT))
        end
        function fs.read(req, ino, buf, offset) return io.read(file, buf, offset) end
        function fs.write(req, ino, data, offset) return io.write(file, data, offset) end]],
        'options = { dir = "where to work" }'), { dir = dir })
      local out = client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        -- In one request each: longer ones the kernel splits where its buffer crosses a page.
        local block = ("0123456789abcdef"):rep(8192)
        assert(must.pwrite(fd, block, 4096) == #block)
        assert(must.pread(fd, #block, 4096) == block)
        assert(must.pread(fd, 4096, 0) == ("\0"):rep(4096))
        print(select(2, sys.pwrite(fd, "not aligned", 1)))]], 10)
      assert.equal("EINVAL\n", out)
      assert.equal(("0123456789abcdef"):rep(8192), helper.read_file(dir .. "/below"):sub(4097))
    end)

    it("keeps the buffer of a waiting handler while others use thousands", function()
      local m = mount(script.one_file [[
        function fs.read(req, ino, buf, offset)
          if offset == 4096 then
            fractal.io.sleep(1.5)
            buf:put("slow")
            return 4
          end
          buf:put("fast")
          return 4
        end]], nil, { workers = 1 })
      client.output(m, [[
        local child = must.fork()
        local fd = must.open(MNT .. "/file", "rdwr")
        if child == 0 then
          sys.exit(must.pread(fd, 100, 4096) == "slow" and 0 or 1)
        end
        for i = 1, 5000 do assert(must.pread(fd, 100, 0) == "fast") end
        local _, status = must.waitpid(child)
        assert(status == 0, "the slow reader got something else")]], 20)
    end)

    it("gives a caller's signal to what its handler waits for", function()
      local m = mount(script.one_file [[
        ffi.cdef "int pipe(int *);"
        local io = fractal.io
        local ends = ffi.new("int[2]")
        ffi.C.pipe(ends)
        local lock = fractal.mutex()
        local waits = {
          [0] = function() return io.sleep(100) end,
          function() return io.read(ends[0], 10) end,
          function() return io.poll(ends[0], io.POLLIN, 100) end,
          function() return fractal.queue():get() end,
          function() return lock:lock() end,
          function() return fractal.wait_all { function() io.sleep(3) end } end,
        }
        function fs.read(req, ino, buf, offset)
          lock.place.free = 0
          fractal.log.info("waiting")
          local fd = io.open("/proc/self/status")
          local result, err = waits[offset / 4096]()
          fractal.log.info("ended with %s", tostring(err))
          -- Cleaning up: a later wait ends at once, a close does not.
          local _, again = io.sleep(100)
          fractal.log.info("again %s, close %s", tostring(again), tostring(io.close(fd)))
          return nil, err
        end]])
      for i = 0, 5 do
        local _, before = m.log():gsub("waiting", "")
        local caller = client.start(m, [==[
          local ffi = require "ffi"
          ffi.cdef [=[ int abs(int); void *spec_signal(int, void *) __asm__("signal"); int siginterrupt(int, int); ]=]
          ffi.C.spec_signal(14, ffi.cast("void *", ffi.C.abs))
          ffi.C.siginterrupt(14, 1)
          local fd = must.open(MNT .. "/file", "rdonly")
          print(select(2, sys.pread(fd, 100, arg[1] * 4096)))]==], { i })
        assert.truthy(helper.eventually(5, function() return select(2, m.log():gsub("waiting", "")) > before end))
        sys.sleep(0.05)
        caller:kill("alrm")
        assert.equal(0, caller:wait(3) or "a caller that hangs", m.log())
        assert.equal("EINTR\n", caller.output())
      end
      assert.equal(6, select(2, m.log():gsub("ended with 4\n", "")), m.log())
      assert.equal(6, select(2, m.log():gsub("again 4, close true\n", "")), m.log())
      assert.equal(0, m:unmount())
    end)

    it("ends waits of tasks with E.CANCELED when the mount ends", function()
      local out = helper.directory() .. "/out"
      local m = mount(script.one_file([[
        ffi.cdef "int pipe(int *);"
        local io = fractal.io
        local ends = ffi.new("int[2]")
        ffi.C.pipe(ends)
        function fs.init()
          for i, wait in ipairs {
            function() return io.sleep(1000) end,
            function() return fractal.queue():get() end,
            function() return io.poll(ends[0], io.POLLIN) end,
          } do
            fractal.spawn(function()
              local fd = io.open("/proc/self/status")
              local _, err = wait()
              local file = _G.io.open(fs.options.out, "a")
              file:write(("%d %s %s\n"):format(i, tostring(err), tostring(io.close(fd))))
              file:close()
              while true do io.sleep(1) end
            end)
          end
        end]], 'options = { out = "file" }'), { out = out })
      local begun = sys.clock("monotonic")
      assert.equal(0, m:unmount())
      assert.is_true(sys.clock("monotonic") - begun < 5)
      local lines = {}
      for line in helper.read_file(out):gmatch("[^\n]+") do lines[#lines + 1] = line end
      table.sort(lines)
      assert.same({ "1 125 true", "2 125 true", "3 125 true" }, lines)
    end)

    it("ends waits of handlers with E.CANCELED when the connection is cut", function()
      local m = mount(script.one_file [[
        function fs.read()
          fractal.log.info("waiting")
          local ok, err = fractal.io.sleep(1000)
          fractal.log.info("ended with %s", tostring(err))
          return nil, err
        end]])
      local readers = {}
      for i = 1, 3 do readers[i] = m:start("cat $MNT/file") end
      assert.truthy(helper.eventually(5, function() return select(2, m.log():gsub("waiting", "")) == 3 end))
      m:kill("term")
      sys.sleep(0.3)
      m:kill("term")
      assert.truthy(m:wait(10), m.log())
      for i = 1, 3 do assert.is_true((readers[i]:wait(5) or 0) > 0) end
      assert.equal(3, select(2, m.log():gsub("ended with 125", "")), m.log())
      assert.is_false(helper.is_mounted(m.dir))
    end)

    it("ends an init that waits when the command is told to stop", function()
      local base = helper.directory()
      helper.write_file(base .. "/script.lua", script.one_file [[
        function fs.init() return fractal.io.sleep(1000) end]])
      assert(sys.mkdir(base .. "/mnt", "755"))
      helper.write_file(base .. "/log", "")
      local server = process.start({ helper.binary, "-o", "transport=" .. transport, base .. "/script.lua",
        base .. "/mnt" }, { out = base .. "/log" })
      assert.truthy(helper.eventually(5, function() return helper.is_mounted(base .. "/mnt") end))
      sys.sleep(0.3)
      server:kill("term")
      assert.equal(1, server:wait(5) or "a command that hangs", helper.read_file(base .. "/log"))
      assert.truthy(helper.read_file(base .. "/log"):find("init returned Operation canceled: not mounted", 1, true))
      assert.is_false(helper.is_mounted(base .. "/mnt"))
    end)

    it("lets 64 waits of one worker overlap", function()
      local m = mount(script.one_file [[
        function fs.read(req, ino, buf)
          fractal.io.sleep(0.01)
          return buf:put("x")
        end]], { queue_depth = 128 }, { workers = 1 })
      local took = tonumber(client.output(m, [[
        local go = sys.clock "monotonic" + 0.5
        for i = 1, 64 do
          if must.fork() == 0 then
            local fd = must.open(MNT .. "/file", "rdonly")
            while sys.clock "monotonic" < go do sys.sleep(0.002) end
            for _ = 1, 10 do assert(must.pread(fd, 4096, 0) == "x") end
            sys.exit(0)
          end
        end
        for i = 1, 64 do
          local _, status = must.waitpid(-1)
          assert(status == 0)
        end
        print(sys.clock "monotonic" - go)]], 20))
      -- One after the other they would take 6.4 s.
      assert.is_true(took < 2, "10 rounds of 64 reads took " .. took .. " s")
    end)
  end)
end)
