-- fractal.io with more operations than the ring has entries, and what operations leave behind that were given up: no
-- descriptor, no buffer.

local exercises = require "spec.io_exercises"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file([[
  ffi.cdef "int pipe(int *);"
  local io = fractal.io
  local function pipe()
    local ends = ffi.new("int[2]")
    assert(ffi.C.pipe(ends) == 0)
    return ends[0], ends[1]
  end
  local ask = {}

  -- Runs fn(i) for 1 to n, all at once; returns how many gave true.
  local function at_once(n, fn)
    local left, good, all = n, 0, fractal.queue()
    for i = 1, n do
      fractal.spawn(function()
        if fn(i) then good = good + 1 end
        left = left - 1
        if left == 0 then all:put(true) end
      end)
    end
    local ok, err = all:get(30)
    return ok and good or ("%d left, errno %s"):format(left, tostring(err))
  end

  function ask.sleeps()
    return at_once(5000, function() return io.sleep(0.3) end)
  end

  function ask.reads()
    local from, to = pipe()
    fractal.timeout(0.3, function() io.write(to, ("x"):rep(2000)) end)
    local n = at_once(2000, function() return io.read(from, 1) == "x" end)
    io.close(from)
    io.close(to)
    return n
  end

  function ask.file()
    local name = fs.options.dir .. "/xs"
    local fd = io.open(name, io.O_RDWR + io.O_CREAT)
    io.write(fd, ("x"):rep(1000000), 0)
    io.lseek(fd, 0)
    -- Without an offset nothing is copied out of the page cache beforehand.
    local n = at_once(2000, function() return io.read(fd, 100) == ("x"):rep(100) end)
    io.close(fd)
    return n
  end

  -- Each of these waits for what does not come.
  local from, to = pipe()
  local waits = {
    function(t) return io.read(from, 65536, nil, t) end,
    function(t) return io.poll(from, io.POLLIN, t) end,
    function(t, listener) return io.accept(listener, t) end,
    function(t, listener, client) return io.recv(client, 65536, t) end,
    function(t) return fractal.queue():get(t) end,
  }

  function ask.timeouts()
    local where = "unix:" .. fs.options.dir .. "/socket" .. io.now()
    local listener = assert(io.listen(where))
    local client = assert(io.connect(where))
    local served = assert(io.accept(listener))
    local n = at_once(300, function(i)
      local result, err = waits[i % #waits + 1](0.05, listener, client)
      return result == nil and err == E.TIMEDOUT
    end)
    for _, fd in ipairs { listener, client, served } do io.close(fd) end
    return n
  end

  function ask.memory()
    collectgarbage()
    collectgarbage()
    return math.floor(collectgarbage("count"))
  end

  function fs.read(req, ino, buf, offset)
    local fd = io.open("/proc/self/status")
    fractal.log.info("waiting")
    local result, err = io.read(from, 65536)
    io.close(fd)
    fractal.log.info("ended with %s", tostring(err))
    return nil, err
  end

  function fs.getxattr(req, ino, name)
    name = name:match("^user%.(.*)$")
    if not ask[name] then return nil, E.NODATA end
    return tostring(ask[name]())
  end]], 'options = { dir = "where to work" }')

local function descriptors(m)
  return #sys.list(("/proc/%d/fd"):format(m.pid))
end

helper.each_transport(function(transport)
  describe("fractal.io in numbers", function()
    after_each(helper.teardown)

    local function mount()
      return helper.mount {
        source = source, transport = transport, workers = 1, options = { dir = helper.directory() },
      }
    end

    it("has 5,000 tasks asleep, and 2,000 reads under way, on one worker", function()
      local m = mount()
      for name, expected in pairs { sleeps = "5000", reads = "2000", file = "2000" } do
        assert.equal(expected, exercises.xattr(m, name, 40), name)
      end
      assert.equal(m.ready .. "\n", m.log())
      assert.equal(0, m:unmount())
    end)

    it("leaves no descriptor and no buffer of what is given up", function()
      local m = mount()
      assert.equal("300", exercises.xattr(m, "timeouts", 40)) -- whatever is made once is there now
      local before, held = descriptors(m), tonumber(exercises.xattr(m, "memory", 10))
      for _ = 1, 4 do
        assert.equal("300", exercises.xattr(m, "timeouts", 40))
      end
      for i = 1, 10 do
        local reader = m:start "exec cat $MNT/file"
        assert.truthy(helper.eventually(10, function() return select(2, m.log():gsub("waiting", "")) >= i end), m.log())
        reader:kill("term")
        assert.truthy(reader:wait(10), "a reader that hangs")
      end
      assert.truthy(helper.eventually(10, function()
        return select(2, m.log():gsub("ended with 4\n", "")) == 10
      end), m.log())
      helper.eventually(10, function() return descriptors(m) == before end)
      assert.equal(before, descriptors(m))
      local now = tonumber(exercises.xattr(m, "memory", 10))
      -- One buffer of each would be 65 KiB.
      assert.is_true(now < held + 600, ("%d KiB held, %d before"):format(now, held))
      assert.equal(0, m:unmount())
    end)
  end)
end)
