-- How mounts end: killed, unmounted from outside, stopped by signals, aborted, with callers in the middle of their
-- work. No caller hangs, and nothing is left behind. Handlers that never return have a spec of their own.

local client = require "spec.client"
local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- A client that works in $MNT/work until a call fails, and prints that call's errno.
local worker = [[
  local name = MNT .. "/work/" .. arg[1]
  local function step()
    local fd, err = sys.open(name, "rdwr creat trunc", "644")
    if not fd then return err end
    for i = 1, 20 do
      local n
      n, err = sys.pwrite(fd, ("x"):rep(20000), i * 20000)
      if not n then sys.close(fd) return err end
    end
    err = select(2, sys.pread(fd, 1000, 20000)) or select(2, sys.fstat(fd)) or select(2, sys.close(fd))
      or select(2, sys.unlink(name))
    if err then return err end
  end
  local err
  repeat err = step() until err
  io.write(err)]]

-- What a caller may meet at the end of a mount. The kernel cancels what a killed server's ring had not yet fetched.
local endings = { ENOENT = true, ENOTCONN = true, ECONNABORTED = true }
local killed_endings = { ENOENT = true, ENOTCONN = true, ECONNABORTED = true, ECANCELED = true }

-- Starts clients on both CPUs and lets them work for a while.
local function start_load(m)
  local clients = {}
  assert.is_true(m:sh("mkdir $MNT/work", 5))
  for i = 1, 4 do
    clients[i] = client.start(m, worker, { i })
  end
  sys.sleep(0.5)
  for _, one in ipairs(clients) do
    assert.is_nil(one:poll(), one.output())
  end
  return clients
end

-- Each client ends soon, and with one of the expected errors.
local function assert_clients_end(clients, expected)
  for _, one in ipairs(clients) do
    assert.equal(0, one:wait(5) or "a client that hangs", one.output())
    assert.is_true((expected or endings)[one.output()], "the client ended with " .. one.output())
  end
end

local function assert_unmounted(m)
  assert.is_false(helper.is_mounted(m.dir))
end

local function assert_in_log(m, text)
  assert.truthy(m.log():find(text, 1, true), m.log())
end

helper.each_transport(function(transport)
  local function memfs(settings)
    settings = settings or {}
    settings.script, settings.transport = "examples/memfs.lua", transport
    return helper.mount(settings)
  end

  describe("kill -9", function()
    after_each(helper.teardown)

    it("leaves no mount", function()
      local m = memfs()
      m:kill("kill")
      assert.equal(128 + 9, m:wait(5))
      assert.is_true(helper.eventually(5, function() return not helper.is_mounted(m.dir) end))
    end)

    it("leaves a dead mount with noauto_unmount, which the next mount takes off", function()
      local first = memfs { options = { "noauto_unmount" } }
      assert.is_true(first:sh("echo one >$MNT/file", 5))
      first:kill("kill")
      assert.equal(128 + 9, first:wait(5))
      local _, out
      helper.eventually(5, function()
        _, out = first:sh("cat $MNT/file", 5)
        return out:find("Transport endpoint is not connected", 1, true)
      end)
      assert.equal(("cat: %s/file: Transport endpoint is not connected\n"):format(first.dir), out)
      local second = memfs { dir = first.dir }
      assert_in_log(second, ("fractal-lua: cleared a dead mount from %s\n"):format(first.dir))
      assert.is_true(second:sh("test ! -e $MNT/file && echo two >$MNT/file && test $(cat $MNT/file) = two", 5))
      assert.equal(0, second:unmount())
      assert_unmounted(first)
    end)

    it("under load ends every caller with an error", function()
      local m = memfs()
      local clients = start_load(m)
      m:kill("kill")
      assert_clients_end(clients, killed_endings)
    end)

    it("in the middle of a write ends the writer with an error", function()
      local m = helper.mount {
        source = script.one_file [[
          function fs.write(req, ino, data)
            fractal.log.info("writing")
            while true do end
          end]],
        transport = transport,
      }
      local writer = client.start(m, [[
        local fd = must.open(MNT .. "/file", "wronly")
        print(select(2, sys.write(fd, "text")))]])
      assert.truthy(helper.eventually(5, function() return m.log():find("writing") end))
      m:kill("kill")
      assert.equal(0, writer:wait(5) or "a writer that hangs")
      assert.equal("ECONNABORTED\n", writer.output())
    end)
  end)

  describe("an unmount from outside", function()
    after_each(helper.teardown)

    it("under load ends the server with status 0", function()
      local m = memfs()
      local clients = start_load(m)
      local ok, out = m:sh("umount -l $MNT", 5)
      assert.is_true(ok, out)
      assert_clients_end(clients)
      assert.equal(0, m:wait(5))
    end)

    it("is refused while a file is open, and the mount goes on", function()
      local m = memfs()
      local holder = m:start "exec 3>$MNT/file; echo open; exec sleep 20"
      assert.truthy(helper.eventually(5, function() return holder.output() == "open\n" end))
      local ok, out = m:sh("umount $MNT", 5)
      assert.is_false(ok)
      assert.truthy(out:find("busy", 1, true), out)
      assert.is_true(m:sh("echo more >$MNT/other", 5))
      holder:destroy()
      assert.equal(0, m:unmount())
    end)

    it("that is lazy leaves open files working until they are closed", function()
      local m = memfs()
      local holder = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdwr creat", "644")
        print "open"
        io.stdout:flush()
        while sys.access(MNT .. "/file", "f") do sys.sleep(0.01) end
        assert(must.pwrite(fd, "still there", 100) == 11)
        assert(must.pread(fd, 100, 100) == "still there")
        must.close(fd)
        print "done"]])
      assert.truthy(helper.eventually(5, function() return holder.output() == "open\n" end))
      assert.is_true(m:sh("umount -l $MNT", 5))
      assert.equal(0, holder:wait(5), holder.output())
      assert.equal("open\ndone\n", holder.output())
      assert.equal(0, m:wait(5))
    end)
  end)

  describe("a signal", function()
    after_each(helper.teardown)

    for _, signal in ipairs { "int", "term" } do
      it(signal .. " ends an idle mount with status 0", function()
        local m = memfs()
        m:kill(signal)
        assert.equal(0, m:wait(5))
        assert_unmounted(m)
      end)
    end

    for _, signal in ipairs { "int", "term" } do
      it(signal .. " under load ends the mount with status 0, and no caller hangs", function()
        local m = memfs()
        local clients = start_load(m)
        m:kill(signal)
        assert.equal(0, m:wait(8), m.log())
        assert_unmounted(m)
        assert_clients_end(clients)
      end)
    end

    it("ends a mount whose files are held open: it is detached, the holders get errors", function()
      local m = memfs()
      local holder = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdwr creat", "644")
        print "open"
        io.stdout:flush()
        local n, err
        repeat
          n, err = sys.pwrite(fd, "x", 0)
          sys.sleep(0.3) -- seldom, so that nothing is under way for a while
        until not n
        print(err)]])
      assert.truthy(helper.eventually(5, function() return holder.output() == "open\n" end))
      m:kill("term")
      assert.truthy(helper.eventually(5, function() return not helper.is_mounted(m.dir) end))
      assert.equal(0, m:wait(12), m.log())
      assert_in_log(m, ("warning: %s is busy: detached, it ends when nothing is under way"):format(m.dir))
      assert.equal(0, holder:wait(5), holder.output())
      local err = holder.output():match("^open\n(%u+)\n$")
      assert.is_true(err == "ENOTCONN" or err == "ECONNABORTED", holder.output())
    end)
  end)

  describe("an aborted connection", function()
    after_each(helper.teardown)

    it("ends the server with status 1 and its callers with errors", function()
      local m = memfs()
      local clients = start_load(m)
      local control = helper.directory()
      local result = process.run({ "bash", "-c", ([[
        mount -t fusectl none %s && echo 1 >%s/%s/abort; umount %s]]):format(control, control, m.connection, control) },
        5)
      assert.same({ 0, "" }, { result.status, result.err })
      assert.equal(1, m:wait(5))
      m.signalled = true
      assert_in_log(m, ("error: the connection of %s was aborted"):format(m.dir))
      assert_unmounted(m)
      assert_clients_end(clients)
    end)
  end)

  describe("memory", function()
    after_each(helper.teardown)

    local function memory_of(m, field)
      return tonumber(helper.read_file(("/proc/%d/status"):format(m.pid)):match(field .. ":%s*(%d+) kB")) / 1024
    end

    -- A sanitizer's own memory is not the command's: then only the growth is limited.
    local sanitized = helper.binary:find("-asan", 1, true)

    it("is given back within 10 s after a burst of 1 MiB writes", function()
      local m = helper.mount {
        source = script.one_file "function fs.write(req, ino, data) return #data end", transport = transport,
      }
      local limit = sanitized and memory_of(m, "VmRSS") + 8 or 16 + 2
      assert.is_true(memory_of(m, "VmRSS") <= limit, ("%.1f MiB when idle"):format(memory_of(m, "VmRSS")))
      local before = memory_of(m, "VmRSS")
      local ok, out = m:sh([[
        for i in {1..24}; do
          dd if=/dev/zero of=$MNT/file bs=1M count=20 conv=notrunc status=none & pids="$pids $!"
        done
        wait $pids]], 20)
      assert.is_true(ok, out)
      local peak = memory_of(m, "VmHWM")
      assert.is_true(peak > before + 1, ("%.1f MiB at most: the burst did not reach the server"):format(peak))
      helper.eventually(10, function() return memory_of(m, "VmRSS") <= limit end)
      local after = memory_of(m, "VmRSS")
      assert.is_true(after <= limit, ("%.1f MiB, %.1f before, %.1f at most"):format(after, before, peak))
    end)
  end)
end)

describe("100 mounts one after the other", function()
  after_each(helper.teardown)

  -- What could be left behind: entries of the mount table, and processes (their threads go with them) that were started
  -- with this directory.
  local function remains(dir)
    local _, mounts = helper.read_file("/proc/self/mountinfo"):gsub((dir:gsub("%p", "%%%0")), "")
    local processes = 0
    for _, name in ipairs(sys.list("/proc")) do
      if name:find("^%d") and helper.read_file("/proc/" .. name .. "/cmdline"):find(dir, 1, true) then
        processes = processes + 1
      end
    end
    return { mounts = mounts, processes = processes }
  end

  -- What a server has open and how many threads it is.
  local function held(m)
    local own = ("/proc/%d"):format(m.pid)
    return ("%d descriptors, %d threads"):format(#sys.list(own .. "/fd"), #sys.list(own .. "/task"))
  end

  -- What it holds once that has not changed for half a second: what only the start needs is closed then.
  local function settled(m)
    local now = held(m)
    helper.eventually(10, function()
      local before = now
      sys.sleep(0.5)
      now = held(m)
      return now == before
    end)
    return now
  end

  it("leave no mount, process or thread behind", function()
    local script_path = helper.directory() .. "/script.lua"
    helper.write_file(script_path, script.one_file "")
    local dir = helper.directory()
    local transports = helper.transports()
    local first = {}
    for i = 1, 100 do
      local transport = transports[i % #transports + 1]
      local m = helper.mount { script = script_path, dir = dir, transport = transport }
      assert.is_true(m:sh("test $(stat -c %s $MNT/file) = 100", 5))
      if i == 1 then
        assert.same({ mounts = 1, processes = 2 }, remains(dir)) -- the server and its guardian
      end
      if not first[transport] then
        first[transport] = settled(m)
      end
      helper.eventually(5, function() return held(m) == first[transport] end)
      assert.equal(first[transport], held(m))
      if i % 2 == 0 then
        assert.equal(0, m:unmount())
      else
        m:kill("int")
        assert.equal(0, m:wait(5))
      end
      assert.is_false(helper.is_mounted(dir))
    end
    assert.same({ mounts = 0, processes = 0 }, remains(dir))
  end)
end)
