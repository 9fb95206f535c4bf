-- Locks as handlers keep them (getlk, setlk, flock), and waiting for one.

local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

local function eventually(fn, what)
  assert.truthy(helper.eventually(5, fn), what)
end

-- A lock table: POSIX locks of byte ranges by owner, flock locks by owner. Who waits looks again every 10 ms.
local locking = [[
  local held = {}
  seen.held = held
  local function conflict(lock)
    local last = lock.length == 0 and math.huge or lock.start + lock.length - 1
    for _, other in ipairs(held) do
      local other_last = other.length == 0 and math.huge or other.start + other.length - 1
      if other.owner ~= lock.owner and (other.type == fractal.F_WRLCK or lock.type == fractal.F_WRLCK)
        and other.start <= last and lock.start <= other_last then
        return other
      end
    end
  end
  local function drop(owner)
    for i = #held, 1, -1 do
      if held[i].owner == owner then table.remove(held, i) end
    end
  end
  function fs.getlk(req, ino, lock)
    seen.getlk = ("%d %d %d %s"):format(lock.type, lock.start, lock.length, tostring(lock.owner == req.lock_owner))
    local other = conflict(lock)
    if other then return other end
    lock.type = fractal.F_UNLCK
  end
  function fs.setlk(req, ino, lock, fh, wait)
    if lock.type == fractal.F_UNLCK then return drop(lock.owner) end
    while conflict(lock) do
      if not wait then return nil, E.AGAIN end
      seen.waiting = true
      local ok, err = fractal.io.sleep(0.01)
      if not ok then
        seen.ended = fractal.strerror(err)
        return nil, err
      end
    end
    held[#held + 1] = lock
  end
  local flocks = {}
  function fs.flock(req, ino, op, fh)
    local kind, now = op % 4, op >= 4 and op ~= 8
    seen.op = op
    if op == 8 then
      flocks[req.lock_owner] = nil
      return
    end
    local function taken()
      for owner, other in pairs(flocks) do
        if owner ~= req.lock_owner and (other == 2 or kind == 2) then return true end
      end
    end
    while taken() do
      if now then return nil, E.AGAIN end
      seen.waiting = true
      local ok, err = fractal.io.sleep(0.01)
      if not ok then return nil, err end
    end
    flocks[req.lock_owner] = kind
  end
  function fs.flush(req, ino, fh) drop(req.lock_owner) end
  function fs.release(req, ino, fh)
    seen.release_flags = req.release_flags
    if bit.band(req.release_flags, 2) ~= 0 then flocks[req.lock_owner] = nil end
  end
]]

helper.each_transport(function(transport)
  describe("the operation", function()
    after_each(helper.teardown)

    local function mount(body)
      return helper.mount { source = probe.source(body), transport = transport }
    end

    -- Starts a client that says "begun" and goes on at a later line of its text.
    local function begin(m, text)
      local started = client.start(m, text)
      eventually(function() return started.output():find "begun" end, started.output())
      return started
    end

    local begun = [[ print "begun" io.stdout:flush() ]]

    it("getlk and setlk: POSIX locks by owner and range", function()
      local m = mount(locking)
      local holder = begin(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        must.lock(fd, "setlk", "wr", 10, 5)]] .. begun .. [[
        while sys.getxattr(MNT, "user.result") ~= "go" do sys.sleep(0.02) end
        must.close(fd)
        print "closed"
        io.stdout:flush()
        sys.sleep(10)]])
      assert.equal("wr 10 5 EAGAIN EAGAIN true true un\n", client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        local lock = must.lock(fd, "getlk", "rd", 14, 0)
        local _, one = sys.lock(fd, "setlk", "wr", 0, 11)
        local _, two = sys.lock(fd, "setlk", "rd", 14, 1)
        print(table.concat({ lock.type, lock.start, lock.len, one, two, tostring(sys.lock(fd, "setlk", "wr", 15, 0)),
          tostring(sys.lock(fd, "setlk", "rd", 0, 10)), must.lock(fd, "getlk", "wr", 5, 2).type }, " "))]], 5))
      assert.equal("1 5 2 true", probe.run(m, "return seen.getlk"))
      probe.run(m, "return 'go'")
      -- The holder's lock goes with the file it closed: flush says whose.
      eventually(function() return holder.output():find "closed" end)
      assert.equal("true\n", client.output(m, [[
        print((must.lock(must.open(MNT .. "/file", "rdwr"), "setlk", "wr", 0, 0)))]], 5))
      holder:kill "kill"
    end)

    it("setlk with wait: the caller gets the lock when it is free", function()
      local m = mount(locking)
      local holder = begin(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        must.lock(fd, "setlk", "wr")]] .. begun .. [[
        while sys.getxattr(MNT, "user.result") ~= "go" do sys.sleep(0.02) end
        must.lock(fd, "setlk", "un")
        sys.sleep(10)]])
      local waiter = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        print((must.lock(fd, "setlkw", "wr")))]])
      eventually(function() return probe.run(m, "return seen.waiting") == "true" end)
      assert.is_nil(waiter:wait(0.2))
      probe.run(m, "return 'go'")
      assert.equal(0, waiter:wait(5), waiter.output())
      assert.equal("true\n", waiter.output())
      holder:kill "kill"
    end)

    it("setlk with wait: a signal ends it with EINTR", function()
      local m = mount(locking)
      local holder = begin(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        must.lock(fd, "setlk", "wr")]] .. begun .. "sys.sleep(10)")
      local waiter = client.start(m, [[
        local ffi = require "ffi"
        ffi.cdef "int abs(int); void *signal(int, void *); int siginterrupt(int, int);"
        ffi.C.signal(14, ffi.cast("void *", ffi.C.abs))
        ffi.C.siginterrupt(14, 1)
        local fd = must.open(MNT .. "/file", "rdwr")
        print(select(2, sys.lock(fd, "setlkw", "wr")))]])
      eventually(function() return probe.run(m, "return seen.waiting") == "true" end)
      waiter:kill "alrm"
      assert.equal(0, waiter:wait(5) or "a caller that hangs", waiter.output())
      assert.equal("EINTR\n", waiter.output())
      assert.equal("Interrupted system call", probe.run(m, "return seen.ended"))
      assert.equal("1", probe.run(m, "return #seen.held"))
      holder:kill "kill"
    end)

    it("flock: shared and exclusive, at once or waiting, dropped with the last close", function()
      local m = mount(locking)
      assert.equal("true true EAGAIN true\n", client.output(m, [[
        local a, b, c = must.open(MNT .. "/file", "rdwr"), must.open(MNT .. "/file", "rdwr"), must.open(MNT .. "/file")
        local one, two = sys.flock(a, "sh"), sys.flock(b, "sh, nb")
        local _, three = sys.flock(c, "ex, nb")
        must.close(a)
        must.flock(b, "un")
        print(one, two, three, (sys.flock(c, "ex")))]], 5):gsub("\t", " ") .. "")
      assert.equal("2", probe.run(m, "return seen.op"))
      eventually(function() return probe.run(m, "return bit.band(seen.release_flags or 0, 2)") == "2" end)
      local holder = begin(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        must.flock(fd, "ex")]] .. begun .. "sys.sleep(10)")
      local waiter = client.start(m, [[print((must.flock(must.open(MNT .. "/file"), "sh")))]])
      eventually(function() return probe.run(m, "return seen.waiting") == "true" end)
      assert.is_nil(waiter:poll())
      holder:kill "kill"
      assert.equal(0, waiter:wait(5), waiter.output())
    end)

    it("getlk, setlk and flock without handlers: the kernel keeps the locks", function()
      local m = mount()
      assert.equal("EAGAIN EWOULDBLOCK\n", client.output(m, [[
        local a, b = must.open(MNT .. "/file", "rdwr"), must.open(MNT .. "/file", "rdwr")
        must.lock(a, "ofd_setlk", "wr", 0, 10)
        must.flock(a, "ex")
        local _, one = sys.lock(b, "ofd_setlk", "wr", 5, 10)
        local _, two = sys.flock(b, "ex, nb")
        print(one .. " " .. two:gsub("EAGAIN", "EWOULDBLOCK"))]], 5))
    end)
  end)
end)
