-- fractal.io: every operation in handlers, in init and in tasks; time-outs, interrupts, the mount's end; waits that
-- overlap; buffers of requests read and written straight; what there is without io_uring.

local client = require "spec.client"
local exercises = require "spec.io_exercises"
local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

helper.each_transport(function(transport)
  describe("fractal.io", function()
    after_each(helper.teardown)

    local function mount(source, options, more)
      local settings = { source = source, transport = transport, options = options or {} }
      for name, value in pairs(more or {}) do settings[name] = value end
      return helper.mount(settings)
    end

    it("does every operation in handlers, tasks and init", function()
      local m = mount(exercises.source, { dir = helper.directory() })
      exercises.assert_all(m)
      assert.equal(0, m:unmount())
    end)

    it("waits in every handler", function()
      local m = mount [[
        local fractal = require "fractal"
        local fs = require "fractal.memoryfs" {}
        local called = {}
        for name, handler in pairs(fs) do
          if type(handler) == "function" and name ~= "init" and name ~= "destroy" and name ~= "prepare" then
            fs[name] = function(...)
              called[name] = (called[name] or 0) + 1
              local ok, err = fractal.io.sleep(0.0005)
              if not ok then return nil, err end
              return handler(...)
            end
          end
        end
        local getxattr = fs.getxattr
        function fs.getxattr(req, ino, name)
          if name ~= "user.called" then return getxattr(req, ino, name) end
          local names = {}
          for known in pairs(called) do names[#names + 1] = known end
          table.sort(names)
          return table.concat(names, " ")
        end
        return fs]]
      local ok, out = m:sh([[
        set -e; cd $MNT
        mkdir a a/b; echo one >a/f; echo two >>a/f; cat a/f; cp a/f a/g; mv a/g a/h; ln a/h a/i; ln -s f a/l
        readlink a/l
        chmod 600 a/f; touch -d @5 a/f; truncate -s 100000 a/f; fallocate -l 8192 a/h; cp --sparse=always a/f a/s
        setfattr -n user.x -v 1 a/f; getfattr --absolute-names --only-values -n user.x a/f
        getfattr -d -m - a/f >/dev/null
        setfattr -x user.x a/f; mkfifo a/p; ls -lR . >/dev/null; find . -ls >/dev/null; df . >/dev/null; sync a/f a
        ( for i in {1..20}; do echo $i >a/x$i & done; wait ); ls a | wc -l
        rm a/x*; rmdir a/b; rm -r a; ls | wc -l
        mount -i -o remount $MNT
        getfattr --absolute-names --only-values -n user.called .]], 30)
      assert.is_true(ok, out .. m.log())
      local head, called = out:match("^(.*)\n([^\n]*)$")
      assert.equal("one\ntwo\nf\n127\n0", head)
      for _, name in ipairs {
        "copy_file_range", "create", "fallocate", "forget", "getattr", "link", "listxattr", "lookup", "lseek", "mkdir",
        "mknod", "open", "opendir", "read", "readdir", "readlink", "release", "releasedir", "removexattr", "rename",
        "rmdir", "setattr", "setxattr", "statfs", "symlink", "unlink", "write",
      } do
        assert.truthy((" " .. called .. " "):find(" " .. name .. " ", 1, true), name .. " is not among " .. called)
      end
      assert.equal(m.ready .. "\n", m.log())
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

    it("reads into and writes from parts of a request's buffer, in another order", function()
      local dir = helper.directory()
      local m = mount(script.one_file([[
        local io = fractal.io
        local file
        function fs.init() file = assert(io.open(fs.options.dir .. "/below", io.O_RDWR + io.O_CREAT)) end
        local function halves(view) return view:sub(#view / 2), view:sub(0, #view / 2) end
        function fs.read(req, ino, buf, offset)
          local second, first = halves(buf)
          return io.readv(file, { second, first }, offset)
        end
        function fs.write(req, ino, data, offset)
          local second, first = halves(data)
          return io.writev(file, { second, first }, offset)
        end]], 'options = { dir = "where to work" }'), { dir = dir })
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        local a, b = ("a"):rep(4096), ("b"):rep(4096)
        assert(must.pwrite(fd, a .. b, 0) == 8192)
        assert(must.pread(fd, 8192, 0) == a .. b)]], 10)
      assert.equal(("b"):rep(4096) .. ("a"):rep(4096), helper.read_file(dir .. "/below"))
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
