-- What runs before and at the beginning of a mount: `prepare`, which may refuse it while nothing is mounted yet, and
-- the ttls that `init` may choose.

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- Runs the command on a script that is to be refused; returns exit status and messages.
local function refused(body)
  local base = helper.directory()
  helper.write_file(base .. "/script.lua", script.one_file(body))
  assert(sys.mkdir(base .. "/mnt", "755"))
  local result = helper.run({ base .. "/script.lua", base .. "/mnt" }, 20, { env = { MNT = base .. "/mnt" } })
  assert.is_false(helper.is_mounted(base .. "/mnt"))
  return result.status, result.err, base
end

describe("prepare", function()
  after_each(helper.teardown)

  it("runs once, in the first state, with the options and before the mount", function()
    local m = helper.mount {
      source = script.one_file([[
        local prepared = 0
        function fs.prepare()
          prepared = prepared + 1
          local mounts = io.open("/proc/self/mountinfo"):read("*a")
          io.stderr:write("prepared ", prepared, " ", fs.options.colour, " ",
            mounts:find("fractal-prepare", 1, true) and "mounted" or "not mounted", "\n")
        end
        function fs.init() io.stderr:write("init after ", prepared, "\n") end]],
        [[options = { colour = "a colour" }]]),
      options = { colour = "blue", fsname = "fractal-prepare" }, state = "per-worker", workers = 2,
    }
    local lines = {}
    for line in m.log():gmatch("[^\n]+") do
      if not line:find "^mounted" then
        lines[#lines + 1] = line
      end
    end
    assert.same({ "prepared 1 blue not mounted", "init after 1", "init after 0" }, lines)
  end)

  it("refuses the mount with its own words", function()
    local status, err = refused [[function fs.prepare() return nil, "the moon is not full" end]]
    assert.equal(1, status)
    assert.equal("fractal-lua: error: the moon is not full\n", err)
  end)

  it("refuses it with an errno", function()
    local status, err = refused [[function fs.prepare() return nil, E.ACCES end]]
    assert.equal(1, status)
    assert.equal("fractal-lua: error: prepare returned Permission denied\n", err)
  end)

  it("refuses it with an error, which is told with its place", function()
    local status, err = refused [[function fs.prepare() error "no such thing" end]]
    assert.equal(1, status)
    assert.truthy(err:find("^fractal%-lua: error: error in prepare\n  [^\n]*script.lua:%d+: no such thing\n"), err)
    assert.truthy(err:find("\n  at [^\n]*script.lua:%d+: in function"), err)
  end)
end)

helper.each_transport(function(transport)
  describe("ttls chosen in init", function()
    after_each(helper.teardown)

    -- The size grows with each getattr.
    local growing = [[
      local size = 0
      function fs.getattr(req, ino, attr)
        fill(ino, attr)
        size = size + 1
        if ino == 2 then attr.size = size end
      end]]

    it("are what replies say", function()
      local m = helper.mount { transport = transport, source = script.one_file(growing .. [[
        function fs.init(conn) conn.attr_ttl, conn.entry_ttl = 1000, 1000 end]]) }
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdonly")
        must.fstat(fd)
        local first = must.fstat(fd).size
        for _ = 1, 10 do assert(must.fstat(fd).size == first) end]], 10)
    end)

    it("are otherwise those of the settings", function()
      local m = helper.mount { transport = transport, source = script.one_file(growing) } -- ttls of 0
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdonly")
        local last = must.fstat(fd).size
        for _ = 1, 10 do
          local size = must.fstat(fd).size
          assert(size > last)
          last = size
        end]], 10)
    end)
  end)
end)
