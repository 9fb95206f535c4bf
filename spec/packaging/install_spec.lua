-- `make install DESTDIR=`: everything is below the prefix, and what names the command names it there.

local helper = require "spec.helper"
local process = require "spec.process"
local staged = require "spec.packaging.staged"
local sys = require "fractal.testing.sys"

describe("make install", function()
  local stage

  setup(function()
    stage = process.directory()
    local make = { "make", "install", "BUILD=" .. staged.build, "PREFIX=/opt/fractal", "DESTDIR=" .. stage }
    local result = process.run(make, 120, { cwd = sys.getcwd() })
    assert.equal(0, result.status, result.out .. result.err)
  end)
  teardown(function() staged.remove(stage) end)
  after_each(helper.teardown)

  it("puts nothing outside DESTDIR and PREFIX", function()
    assert.equal("opt\n", process.run({ "ls", stage }, 10).out)
    assert.equal("fractal\n", process.run({ "ls", stage .. "/opt" }, 10).out)
  end)

  it("names the installed command in the mount helper and the unit", function()
    local command = "/opt/fractal/bin/fractal-lua"
    for path, line in pairs {
      ["sbin/mount.fractal-lua"] = "\ncommand=",
      ["lib/systemd/system/fractal-lua@.service"] = "\nExecStart=",
    } do
      assert.truthy(helper.read_file(stage .. "/opt/fractal/" .. path):find(line .. command, 1, true), path)
    end
  end)

  it("installs a command, libraries and manual pages that work there", function()
    local prefix = stage .. "/opt/fractal"
    local result = process.run({ prefix .. "/bin/fractal-lua", "--version" }, 10)
    assert.truthy(result.out:find "^fractal%-lua %d", result.err)
    for _, name in ipairs { "fractal-lua", "mount.fractal-lua", "mount.fuse.fractal-lua" } do
      local shown = process.run({ "man", "-M", prefix .. "/share/man", name }, 20, { env = { MANWIDTH = "200" } })
      assert.truthy(shown.out:find("mount a filesystem that a Lua script describes", 1, true), shown.err)
    end
  end)
end)

describe("the rockspec", function()
  after_each(helper.teardown)

  it("is one", function()
    if not staged.has "luarocks" then
      return pending "luarocks is not installed"
    end
    local rockspec = "packaging/fractal-lua-scm-1.rockspec"
    local result = process.run({ "luarocks", "--lua-version", "5.1", "lint", rockspec }, 30,
      { cwd = sys.getcwd(), env = { HOME = helper.directory() } })
    assert.same({ 0, "" }, { result.status, result.err })
  end)
end)
