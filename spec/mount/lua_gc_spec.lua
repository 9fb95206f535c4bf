-- The steady path of the Lua layer makes no garbage, and its traces compile: bench/null.lua, with the collector
-- stopped and the heap's size shown by statfs.
-- unsanitized: looks at the garbage of Lua alone

local client = require "spec.client"
local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

-- statfs: bfree is the number of bytes on the Lua heap. An extended attribute of the root, user.aborts, lists the
-- traces that were given up since the first statfs, and why.
local measured = ([[
  package.path = %q .. package.path
  local fs = require "null"
  local util = require "jit.util"
  local aborts
  local function on_trace(what, _, fn, pc, code, extra)
    if what == "abort" and aborts then
      aborts[#aborts + 1] = ("%%s: %%d (%%s)"):format(util.funcinfo(fn, pc).loc or "?", code, tostring(extra))
    end
  end
  jit.attach(on_trace, "trace")
  function fs.init()
    collectgarbage()
    collectgarbage("stop")
  end
  function fs.statfs(_, _, st)
    aborts = aborts or {}
    st.bsize, st.frsize = 1, 1
    st.bfree = collectgarbage("count") * 1024
  end
  function fs.getxattr(_, ino, name)
    if name ~= "user.aborts" then return nil, require("fractal").errno.NODATA end
    return table.concat(aborts, "\n")
  end
  return fs]]):format(sys.getcwd() .. "/bench/?.lua;")

local operations = [[
  local fd = must.open(MNT .. "/file", "rdwr")
  local data = ("x"):rep(4096)
  local operations = {
    getattr = function() must.fstat(fd) end,
    read = function() must.pread(fd, 4096, 8192) end,
    write = function() must.pwrite(fd, data, 8192) end,
  }
  local function heap() return must.fstatvfs(fd).bfree end
]]

-- Prints for each operation the least number of bytes that 2,000 calls of it left on the heap, once warm.
local rounds = operations .. [[
  local ROUNDS, WARM, CALLS = 10, 5, 2000
  local least = {}
  for round = 1, ROUNDS do
    for name, call in pairs(operations) do
      local before = heap()
      for i = 1, CALLS do call() end
      local bytes = heap() - before
      if round > WARM then least[name] = math.min(least[name] or bytes, bytes) end
    end
  end
  for name, bytes in pairs(least) do print(name, bytes) end]]

-- Calls all operations in turn, arg[1] times.
local mixed = operations .. "for i = 1, arg[1] do for _, call in pairs(operations) do call() end end"

local function messages(aborts)
  local text = require("jit.vmdef").traceerr
  return (aborts:gsub(": (%d+) ", function(code) return (": %s "):format(text[tonumber(code)]) end))
end

-- No trace was given up for an operation that LuaJIT cannot compile, and none is blacklisted.
local function assert_compiled(m)
  local text = messages(client.output(m, "io.write((must.getxattr(MNT, 'user.aborts')))", 5))
  assert.is_nil(text:match("[^\n]*NYI[^\n]*"), text)
  assert.is_nil(text:match("[^\n]*blacklisted[^\n]*"), text)
end

-- Bytes that may be left once, not with each call: a way out of a trace that is too seldom taken to be compiled makes a
-- box of 24 bytes. The statfs that measures is such a one; /dev/fuse also wakes workers that then find nothing to read.
local once = { uring = 24, dev = 10 * 24 }

helper.each_transport(function(transport)
  describe("the Lua heap", function()
    after_each(helper.teardown)

    for _, case in ipairs {
      { what = "a client on one CPU, the single state", cpus = "0", state = "single", workers = 2 },
      { what = "a client on both CPUs, the single state", cpus = "0,1", state = "single", workers = 2 },
      { what = "one worker with its own state", cpus = "0,1", state = "per-worker", workers = 1 },
    } do
      it("does not grow with getattr, read and write: " .. case.what, function()
        local m = helper.mount {
          source = measured, transport = transport, state = case.state, workers = case.workers,
        }
        local ok, out = m:sh(("taskset -c %s %s"):format(case.cpus, client.command(rounds)), 30)
        assert.is_true(ok, out)
        local seen = 0
        for name, bytes in out:gmatch("(%w+)%s+(%d+)\n") do
          seen = seen + 1
          assert.is_true(tonumber(bytes) <= once[transport], ("%s bytes for 2000 calls of %s"):format(bytes, name))
        end
        assert.equal(3, seen)
        assert_compiled(m)
      end)
    end

    it("does not grow with requests of several clients at once", function()
      local m = helper.mount { source = measured, transport = transport }
      local calls, clients = 2000, 4
      local function heap()
        return tonumber(client.output(m, "io.write(('%.0f'):format(must.statvfs(MNT).bfree))", 10))
      end
      local function run_clients()
        local running = {}
        for i = 1, clients do
          running[i] = client.start(m, mixed, { calls })
        end
        for _, one in ipairs(running) do
          assert.equal(0, one:wait(30), one.output())
        end
      end
      run_clients()
      local grown
      helper.eventually(20, function()
        local before = heap()
        run_clients()
        grown = heap() - before
        return grown < calls
      end)
      -- A client opens and closes a file; 1 byte for each request would be 24,000.
      assert.is_true(grown < calls, ("%d bytes for %d requests"):format(grown, calls * clients * 3))
      assert_compiled(m)
    end)
  end)
end)
