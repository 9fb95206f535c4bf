-- A handler or task that holds its worker for more than a second is named in the log, once; one that waits is not.

local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file [[
  ffi.cdef "int usleep(unsigned);"
  local function block(ms)
    for _ = 1, ms / 50 do ffi.C.usleep(50000) end
  end
  function fs.read(req, ino, buf)
    block(1900)
    return 0
  end
  function fs.getxattr(req, ino, name)
    if name == "user.waits" then
      fractal.io.sleep(2)
    elseif name == "user.task" then
      fractal.spawn(block, 1900)
    end
    return ""
  end]]

helper.matrix({ transport = helper.transports(), state = { "single", "per-worker" } }, function(settings)
  describe("the watchdog", function()
    after_each(helper.teardown)

    it("names what holds a worker", function()
      local m = helper.mount { source = source, transport = settings.transport, state = settings.state }
      local _, out = m:sh("taskset -c 0 getfattr --absolute-names -n user.waits $MNT", 8)
      assert.falsy(m.log():find("held", 1, true), out .. m.log())
      local ok = m:sh("taskset -c 0 cat $MNT/file", 5)
      assert.is_true(ok)
      local sentence = "handler read of inode 2 has held its worker for more than a second; other requests wait\n"
      local _, times = m.log():gsub(sentence, "")
      assert.equal(1, times, m.log())
      m:start("taskset -c 0 getfattr --absolute-names -n user.task $MNT")
      sys.sleep(2.1)
      local task = "a task has held its worker for more than a second; requests wait\n"
      assert.truthy(m.log():find(task, 1, true), m.log())
      assert.truthy(helper.eventually(5, function() return m:sh("stat $MNT", 3) end))
    end)
  end)
end)
