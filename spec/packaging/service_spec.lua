-- The systemd unit, and what the command tells whoever watches it (sd_notify(3)).

local helper = require "spec.helper"
local process = require "spec.process"
local staged = require "spec.packaging.staged"
local sys = require "fractal.testing.sys"

describe("the command under a service manager", function()
  after_each(helper.teardown)

  for name, address_of in pairs {
    ["a path"] = function(base) return base .. "/notify" end,
    ["an abstract address"] = function(base) return "@fractal-spec" .. base end,
  } do
    helper.each_transport(function(transport)
      it(("says READY=1 once mounted, and STOPPING=1, to %s"):format(name), function()
        local base = helper.directory()
        sys.mkdir(base .. "/mnt", "755")
        local result = process.run({ "python3", "spec/packaging/notified.py", address_of(base), base .. "/mnt",
          helper.binary, "-o", "transport=" .. transport, "examples/hello.lua", base .. "/mnt" }, 60,
          { cwd = sys.getcwd() })
        assert.equal("", result.err)
        assert.equal("READY=1 mounted\nSTOPPING=1 not mounted\nstatus 0\n", result.out)
      end)
    end)
  end
end)

describe("the unit", function()
  local stage, unit

  setup(function()
    stage = staged.install()
    unit = process.read_file(stage .. "/usr/lib/systemd/system/fractal-lua@.service")
  end)
  teardown(function() staged.remove(stage) end)
  after_each(helper.teardown)

  it("waits for the command's message and runs the installed command", function()
    assert.truthy(unit:find("\nType=notify\n", 1, true))
    assert.truthy(unit:find("\nExecStart=/usr/bin/fractal-lua ", 1, true))
  end)

  it("has nothing that systemd complains about", function()
    if not staged.has "systemd-analyze" then
      return pending "systemd-analyze is not installed"
    end
    local path = helper.directory() .. "/fractal-lua@hello.service"
    -- The command where it was installed for this spec.
    helper.write_file(path, (unit:gsub("ExecStart=", "%0" .. stage)))
    local result = process.run({ "systemd-analyze", "verify", "--man=no", path }, 30)
    assert.same({ 0, "", "" }, { result.status, result.out, result.err })
  end)

  it("starts a mount with its settings", function()
    -- What systemd makes of ExecStart: $OPTIONS is split at spaces, ${MOUNTPOINT} is not; %i is the instance.
    local command = unit:match "\nExecStart=(%S+ [^\n]+)"
    local base = helper.directory()
    sys.mkdir(base .. "/mnt", "755")
    helper.write_file(base .. "/hello.lua", helper.read_file "examples/hello.lua")
    command = command:gsub("^/usr/bin/fractal%-lua", helper.binary):gsub("/etc/fractal%-lua/%%i", base .. "/hello")
    local result = process.run({ "python3", sys.getcwd() .. "/spec/packaging/notified.py", base .. "/notify",
      base .. "/mnt", "sh", "-c", "exec " .. command:gsub("${MOUNTPOINT}", '"%0"') }, 60,
      { env = { OPTIONS = "-o ro,fsname=unit", MOUNTPOINT = base .. "/mnt" } })
    assert.equal("READY=1 mounted\nSTOPPING=1 not mounted\nstatus 0\n", result.out, result.err)
  end)
end)
