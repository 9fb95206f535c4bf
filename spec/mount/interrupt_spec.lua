-- A caller that gets a signal: its handler learns of it and answers EINTR.

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- Handlers that wait for the caller's signal, for 10 s at most: read and write. Others:
--   fsync         sends the signal to its caller and waits for it
--   user.calm     an attribute whose handler takes 200 ms and tells whether there was a signal
--   listxattr     takes 1 s and does not look for signals
local waiting = script.one_file [[
  ffi.cdef "struct spec_time { int64_t sec, nsec; }; int clock_gettime(int, struct spec_time *);"
  ffi.cdef "int usleep(unsigned); int kill(int, int);"
  local SIGALRM = 14
  local now = ffi.new("struct spec_time")
  local function seconds()
    ffi.C.clock_gettime(1, now)
    return tonumber(now.sec) + tonumber(now.nsec) / 1e9
  end
  local function wait(req)
    local deadline = seconds() + 10
    while seconds() < deadline do
      if req:interrupted() then return nil, E.INTR end
    end
    return nil, E.TIMEDOUT
  end
  function fs.read(req)
    fractal.log.info("reading")
    return wait(req)
  end
  function fs.write(req)
    fractal.log.info("writing")
    return wait(req)
  end
  function fs.fsync(req)
    ffi.C.kill(req.pid, SIGALRM)
    return wait(req)
  end
  function fs.listxattr()
    fractal.log.info("sleeping")
    ffi.C.usleep(1000000)
    return {}
  end
  function fs.getxattr(req)
    for i = 1, 200 do
      ffi.C.usleep(1000)
      if req:interrupted() then return "interrupted" end
    end
    return "calm"
  end]]

-- SIGALRM gets a handler that does nothing and does not restart calls.
local with_handler = [==[
  local ffi = require "ffi"
  ffi.cdef [=[
    int abs(int);
    void *spec_signal(int, void *) __asm__("signal");
    int siginterrupt(int, int);
  ]=]
  ffi.C.spec_signal(14, ffi.cast("void *", ffi.C.abs))
  ffi.C.siginterrupt(14, 1)
  local fd = must.open(MNT .. "/file", "rdwr")
]==]

helper.matrix({ transport = helper.transports(), workers = { 1, 2 } }, function(settings)
  describe("a signal to the caller", function()
    after_each(helper.teardown)

    local function mount(state)
      return helper.mount {
        source = waiting, transport = settings.transport, workers = settings.workers, state = state,
      }
    end

    local function await_log(m, text)
      assert.truthy(helper.eventually(5, function() return m.log():find(text, 1, true) end), m.log())
    end

    it("ends its read and its write with EINTR", function()
      local m = mount()
      for _, case in ipairs { { "reading", "read(fd, 100)" }, { "writing", "write(fd, 'text')" } } do
        local caller = client.start(m, with_handler .. "print(select(2, sys." .. case[2] .. "))")
        await_log(m, case[1])
        assert.is_nil(caller:wait(0.1))
        caller:kill("alrm")
        assert.equal(0, caller:wait(3) or "a caller that hangs", caller.output())
        assert.equal("EINTR\n", caller.output())
      end
      assert.equal(0, m:unmount())
    end)

    it("reaches its own request only, again and again", function()
      local m = mount()
      client.output(m, with_handler .. [[
        for i = 1, 30 do
          local ok, err = sys.fsync(fd)
          assert(not ok and err == "EINTR", err)
        end
        assert(must.fgetxattr(fd, "user.calm", 100) == "calm")]], 15)
    end)

    it("that kills it ends its request", function()
      local m = mount()
      local caller = client.start(m, with_handler .. "sys.read(fd, 100)")
      await_log(m, "reading")
      caller:kill("kill")
      assert.equal(128 + 9, caller:wait(3) or "a caller that hangs")
      assert.equal("calm", client.output(m, with_handler .. "io.write((must.fgetxattr(fd, 'user.calm', 100)))", 5))
    end)

    -- Over the ring the kernel tells of a signal only when the request was handed over before it.
    if settings.transport == "dev" then
      it("is known to a request that was not taken up yet", function()
        local m = mount("per-worker") -- a single state runs one handler at a time
        local caller = client.start(m, with_handler .. [[
          print "ready"
          io.stdout:flush()
          while not sys.access(arg[1], "f") do sys.sleep(0.001) end
          print(select(2, sys.read(fd, 100)))]], { m.dir .. ".go" })
        assert.truthy(helper.eventually(5, function() return caller.output() == "ready\n" end), caller.output())
        -- All workers are busy when the caller's request comes.
        for cpu = 0, 1 do
          m:start(("taskset -c %d getfattr -d $MNT"):format(cpu))
        end
        await_log(m, ("fractal-lua: sleeping\n"):rep(settings.workers))
        helper.write_file(m.dir .. ".go", "")
        sys.sleep(0.3)
        assert.falsy(m.log():find("reading", 1, true))
        caller:kill("alrm")
        assert.equal(0, caller:wait(5) or "a caller that hangs", caller.output())
        assert.equal("ready\nEINTR\n", caller.output())
        assert.truthy(m.log():find("reading", 1, true))
      end)
    end
  end)
end)
