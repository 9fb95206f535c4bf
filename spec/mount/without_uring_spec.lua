-- Where io_uring is forbidden fractal.io and timers say so; tasks, queues and the rest of a filesystem work.

local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file [[
  local io = fractal.io
  local seen = {}
  local function note(what, result, err)
    seen[#seen + 1] = ("%s %s %s"):format(what, tostring(result), tostring(err))
  end
  function fs.init() note("init", io.open("/etc/passwd")) end
  function fs.read(req, ino, buf, offset)
    if offset > 0 then return "" end
    note("open", io.open("/etc/passwd"))
    note("sleep", io.sleep(0.01))
    note("timeout", fractal.queue():get(0.01))
    return table.concat(seen, "\n")
  end
  local box = fractal.queue()
  function fs.getxattr(req, ino, name)
    fractal.spawn(function() box:put("from a task") end)
    return box:get()
  end]]

describe("without io_uring", function()
  local binary = helper.binary

  after_each(function()
    helper.binary = binary
    helper.teardown()
  end)

  it("operations return E.NOSYS, and the log says why", function()
    local wrapper = helper.directory() .. "/fractal-lua"
    helper.write_file(wrapper, ("#!/bin/sh\nexec python3 %s/spec/without_uring.py %s \"$@\"\n"):format(sys.getcwd(),
      binary))
    assert(sys.chmod(wrapper, "755"))
    helper.binary = wrapper
    local m = helper.mount { source = source }
    assert.truthy(m.ready:find("transport dev", 1, true), m.ready)
    local ok, out = m:sh("getfattr --absolute-names --only-values -n user.task $MNT", 5)
    assert.is_true(ok, m.log())
    assert.equal("from a task", out)
    ok, out = m:sh("cat $MNT/file", 5)
    assert.is_true(ok, out .. m.log())
    assert.equal("init nil 38\nopen nil 38\nsleep nil 38\ntimeout nil 38", out)
    local _, times = m.log():gsub("fractal%.io and timers need io_uring, which is not allowed here", "")
    assert.equal(1, times, m.log())
    assert.equal(0, m:unmount())
  end)
end)
