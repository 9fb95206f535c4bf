-- Handlers that never return: their callers get an error at the second signal or after 10 s, and other workers go on.
-- alone: the time until a handler is given up

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

describe("a handler that never returns", function()
  after_each(helper.teardown)

  local endless = script.one_file [[
    function fs.read(req, ino, buf)
      fractal.log.info("reading")
      while true do end
    end]]

  -- A mount whose read handler is in an endless loop, and the process that waits for it.
  local function stuck_mount(transport, state)
    local m = helper.mount { source = endless, transport = transport, state = state }
    local reader = client.start(m, [[
      local fd = must.open(MNT .. "/file", "rdonly")
      print(select(2, sys.read(fd, 10)))]])
    assert.truthy(helper.eventually(5, function() return m.log():find("reading") end))
    return m, reader
  end

  local function assert_gave_up(m, reader, seconds)
    assert.equal(1, m:wait(seconds) or "a server that hangs", m.log())
    local sentence = "error: worker %d: handler read of inode 2 did not return; its caller gets an error\n"
    assert.truthy(m.log():match(sentence), m.log())
    assert.is_false(helper.is_mounted(m.dir))
    assert.equal(0, reader:wait(2) or "a reader that hangs")
    assert.equal("ECONNABORTED\n", reader.output())
  end

  it("is given up at the second signal", function()
    local all = {}
    for _, settings in ipairs(helper.matrix { transport = helper.transports(), state = { "single", "per-worker" } }) do
      all[#all + 1] = { stuck_mount(settings.transport, settings.state) }
    end
    for _, one in ipairs(all) do
      one[1]:kill("int")
    end
    sys.sleep(1.2)
    for _, one in ipairs(all) do
      local m, reader = one[1], one[2]
      assert.is_nil(m.process:poll())
      assert.is_nil(reader:poll())
      m:kill("int")
    end
    for _, one in ipairs(all) do
      assert_gave_up(one[1], one[2], 5)
    end
  end)

  it("is given up after 10 s", function()
    local all = {}
    for i, transport in ipairs(helper.transports()) do
      all[i] = { stuck_mount(transport) }
    end
    local begun = sys.clock "monotonic"
    for _, one in ipairs(all) do
      one[1]:kill("term")
    end
    sys.sleep(9)
    for _, one in ipairs(all) do
      assert.is_nil(one[1].process:poll())
    end
    for _, one in ipairs(all) do
      assert_gave_up(one[1], one[2], 4)
    end
    local took = sys.clock "monotonic" - begun
    assert.is_true(took > 9.9 and took < 13, ("it took %.1f s"):format(took))
  end)

  -- The ring's queue of a CPU has no other worker; /dev/fuse is read by all.
  for transport, expected in pairs { uring = 1, dev = 2 } do
    it("does not stop the other worker's state, transport " .. transport, function()
      local m, reader = stuck_mount(transport, "per-worker")
      local answered = 0
      for cpu = 0, 1 do
        local _, _, status = m:sh(("exec timeout 2 taskset -c %d stat $MNT"):format(cpu), 5)
        answered = answered + (status == 0 and 1 or 0)
      end
      assert.equal(expected, answered)
      m:kill("int")
      sys.sleep(0.2)
      m:kill("int")
      assert_gave_up(m, reader, 3)
    end)
  end
end)
