-- What a running mount tells of itself: tables at the end, at intervals and at a signal, while handlers run and while
-- one holds its worker.

local client = require "spec.client"
local helper = require "spec.helper"
local observed = require "spec.observed"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file(observed.handlers .. [[
  function fs.getxattr(req, ino, name) fractal.io.sleep(name == "user.long" and 0.5 or 0.02) return "" end]])

local columns = { "requests", "rate", "errors", "p50", "p99", "p999", "max", "bytes_in", "bytes_out" }

-- The tables of a log, each as operation → { requests = "3", … } and whole = its last lines.
local function tables(log)
  local list, current = {}, nil
  for line in log:gmatch("fractal%-lua: ([^\n]*)\n") do
    local words = {}
    for word in line:gmatch("%S+") do
      words[#words + 1] = word
    end
    if line:find("^operation ") then
      current = { whole = "" }
      list[#list + 1] = current
    elseif current and #words == #columns + 1 then
      local row = {}
      for i, name in ipairs(columns) do
        row[name] = words[i + 1]
      end
      current[words[1]] = row
    elseif current then
      current.whole = current.whole .. line .. "\n"
    end
  end
  return list
end

-- Waits until the log has so many tables with their last lines; returns them.
local function await_tables(m, count)
  return helper.eventually(10, function()
    local list = tables(m.log())
    return #list >= count and list[count].whole:find("flushes", 1, true) and list
  end) or error("no table number " .. count .. ":\n" .. m.log(), 2)
end

-- "1.25ms" in microseconds.
local function microseconds(cell)
  local number, unit = cell:match("^([%d.]+)(%a+)$")
  return tonumber(number) * ({ us = 1, ms = 1e3, s = 1e6 })[unit]
end

local work = [[
  local fd = must.open(MNT .. "/file", "rdwr")
  for _ = 1, 20 do must.fstat(fd) end
  for _ = 1, 3 do assert(#must.pread(fd, 1000, 0) == 1000) end
  must.pwrite(fd, ("y"):rep(5000), 0)
  must.close(fd)
  assert(not sys.stat(MNT .. "/none"))]]

helper.each_transport(function(transport)
  describe("--stats", function()
    after_each(helper.teardown)

    it("ends with a table of what was served", function()
      local m = helper.mount { source = source, transport = transport, args = { "--stats" } }
      client.output(m, work, 10)
      m:sh("getfattr -n user.short $MNT/file", 5)
      assert.equal(0, #tables(m.log()))
      assert.equal(0, m:unmount())
      local list = tables(m.log())
      assert.equal(1, #list, m.log())
      local t = list[1]
      assert.equal("3", t.read.requests)
      assert.equal("2.93K", t.read.bytes_out)
      assert.equal("0B", t.read.bytes_in)
      assert.equal("1", t.write.requests)
      assert.equal("4.88K", t.write.bytes_in)
      assert.is_true(tonumber(t.getattr.requests) >= 20)
      assert.equal("0", t.getattr.errors)
      assert.equal("1", t.lookup.errors)
      assert.is_true(microseconds(t.getxattr.p50) >= 20000, t.getxattr.p50)
      assert.is_true(microseconds(t.getattr.p50) < 20000, t.getattr.p50)
      local sum = 0
      for operation, row in pairs(t) do
        if operation ~= "all" and operation ~= "whole" then
          sum = sum + row.requests
          assert.is_true(microseconds(row.p50) <= microseconds(row.p99), operation)
          assert.is_true(microseconds(row.p99) <= microseconds(row.max), operation)
        end
      end
      assert.equal(sum, tonumber(t.all.requests))
      assert.is_true(microseconds(t.all.max) >= microseconds(t.getxattr.max))
      assert.truthy(t.whole:find("in hand: 0 requests, at most [1-9]%d* of %d+ on one worker\n"), t.whole)
      assert.truthy(t.whole:find("Lua: [%d.]+[KM] in 1 state, %d+ collections; %d+ traces, %d+ aborts, 0 flushes\n"),
        t.whole)
    end)

  end)

  describe("SIGUSR1", function()
    after_each(helper.teardown)

    it("reports at once while a handler holds the Lua state, and from then on latencies", function()
      local m = helper.mount { source = source, transport = transport, workers = 1 }
      local release = observed.hold(m)
      sys.kill(m.pid, "usr1")
      local first = await_tables(m, 1)[1]
      assert.equal("-", first.lookup.p50)
      assert.truthy(first.whole:find("in hand: 1 requests", 1, true), first.whole)
      release()
      assert.truthy(m.log():find("latencies are measured from now on\n", 1, true))
      client.output(m, work, 10)
      sys.kill(m.pid, "usr1")
      local second = await_tables(m, 2)[2]
      assert.is_true(microseconds(second.lookup.p50) > 0)
      assert.equal("4", second.read.requests)
      local _, times = m.log():gsub("latencies are measured from now on", "")
      assert.equal(1, times)
    end)

    it("counts the requests that wait together", function()
      local m = helper.mount { source = source, transport = transport, args = { "--stats" } }
      local children = {}
      for i = 1, 3 do
        children[i] = m:start("taskset -c 0 getfattr -n user.long $MNT/file >/dev/null")
      end
      for _, child in ipairs(children) do
        assert.equal(0, child:wait(10), child.output())
      end
      sys.kill(m.pid, "usr1")
      assert.is_true(tonumber(await_tables(m, 1)[1].whole:match("at most (%d+) of")) >= 2, m.log())
    end)
  end)
end)

describe("SIGUSR1", function()
  after_each(helper.teardown)

  it("reports to the log of a background mount, and adds states up", function()
    local log = helper.directory() .. "/log"
    local m = helper.mount {
      source = source, background = true, state = "per-worker", workers = 2, args = { "--log", log },
    }
    client.output(m, work, 10)
    sys.kill(m.pid, "usr1")
    assert.truthy(helper.eventually(10, function()
      return helper.read_file(log):find("in 2 states, [^\n]* flushes\n")
    end), helper.read_file(log))
    assert.equal("3", tables(helper.read_file(log))[1].read.requests)
  end)

  it("before the mount is ready is answered when it is", function()
    local base = helper.directory()
    local m = helper.mount {
      env = { MARK = base .. "/mark" },
      source = script.one_file [[
        function fs.init()
          io.open(os.getenv "MARK", "w"):close()
          os.execute("kill -USR1 " .. io.open("/proc/self/stat"):read("*n"))
        end]],
    }
    assert.truthy(await_tables(m, 1))
  end)
end)

describe("--stats", function()
  after_each(helper.teardown)

  it("with seconds, has a table at each interval", function()
    local m = helper.mount { source = source, args = { "--stats=1" } }
    client.output(m, work, 10)
    local later = #tables(m.log()) + 2
    local row = await_tables(m, later)[later].read
    assert.equal("3", row.requests)
    assert.equal("0.0", row.rate)
    assert.equal(0, m:unmount())
  end)

  for _, seconds in ipairs { "", "0", "-1", "x", "1s", "86401", "99999999999999999999" } do
    it(("refuses %q seconds"):format(seconds), function()
      local result = helper.run { "--stats=" .. seconds, "script.lua", "/mnt" }
      assert.equal(2, result.status)
      assert.equal(("fractal-lua: error: --stats=%s: give whole seconds, 1 to 86400 " ..
        "(fractal-lua --help lists what there is)\n"):format(seconds), result.err)
    end)
  end
end)
