-- A handler or task that holds its worker for more than a second is named in the log, once; one that waits is not.
-- alone: whether a handler takes longer than a second

local helper = require "spec.helper"
local script = require "spec.script"

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

describe("the watchdog", function()
  after_each(helper.teardown)

  -- Every combination at once, since what each does is to take its time.
  it("names what holds a worker", function()
    local all = {}
    for i, settings in ipairs(helper.matrix { transport = helper.transports(), state = { "single", "per-worker" } }) do
      all[i] = helper.mount { source = source, transport = settings.transport, state = settings.state }
    end
    local function each_at_once(command)
      local clients = {}
      for i, m in ipairs(all) do
        clients[i] = m:start(command)
      end
      for i, one in ipairs(clients) do
        assert.equal(0, one:wait(20), one.output() .. all[i].log())
      end
    end
    each_at_once "taskset -c 0 getfattr --absolute-names -n user.waits $MNT"
    for _, m in ipairs(all) do
      assert.falsy(m.log():find("held", 1, true), m.log())
    end
    each_at_once "taskset -c 0 cat $MNT/file"
    local sentence = "handler read of inode 2 has held its worker for more than a second; other requests wait\n"
    for _, m in ipairs(all) do
      local _, times = m.log():gsub(sentence, "")
      assert.equal(1, times, m.log())
      m:start "taskset -c 0 getfattr --absolute-names -n user.task $MNT"
    end
    local task = "a task has held its worker for more than a second; requests wait\n"
    for _, m in ipairs(all) do
      assert.truthy(helper.eventually(10, function() return m.log():find(task, 1, true) end), m.log())
      assert.truthy(helper.eventually(10, function() return m:sh("stat $MNT", 3) end))
    end
  end)
end)
