-- `make install DESTDIR=`: everything is below the prefix, and what names the command names it there. The rockspec.

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
  local rockspec = "packaging/fractal-lua-scm-1.rockspec"
  local reason = not staged.has "luarocks" and "luarocks is not installed" or nil

  after_each(helper.teardown)

  local function luarocks(directory, seconds, env, ...)
    env.HOME = helper.directory()
    return process.run({ "luarocks", "--lua-version", "5.1", ... }, seconds, { cwd = directory, env = env })
  end

  -- A copy of the source tree, without what was built in it.
  local function copy_of_tree()
    local directory = helper.directory()
    local copy = 'set -o pipefail; tar -c --exclude=./build* --exclude=./.git . | tar -x -C "$1"'
    local result = process.run({ "bash", "-c", copy, "bash", directory }, 30, { cwd = sys.getcwd() })
    assert.equal(0, result.status, result.err)
    return directory
  end

  it("is one", function()
    if reason then
      return pending(reason)
    end
    local result = luarocks(sys.getcwd(), 30, {}, "lint", rockspec)
    assert.same({ 0, "" }, { result.status, result.err })
  end)

  it("builds and installs a command that mounts", function()
    if reason then
      return pending(reason)
    end
    local tree, quick = helper.directory(), helper.directory() .. "/quick"
    helper.write_file(quick, '#!/bin/sh\nexec "$@" -O0\n') -- whether it builds is asked here, not how fast it is
    sys.chmod(quick, "755")
    local result = luarocks(copy_of_tree(), 150, {
      CMAKE_C_COMPILER_LAUNCHER = quick, CMAKE_BUILD_PARALLEL_LEVEL = "2",
    }, "make", "--tree", tree, rockspec)
    assert.equal(0, result.status, result.out .. result.err)
    assert.same({ "fractal-lua" }, sys.list(tree .. "/bin"))
    local command = tree .. "/bin/fractal-lua"
    assert.truthy(process.run({ command, "--version" }, 20).out:find "^fractal%-lua %d")
    local m = helper.mount { binary = command, script = "examples/hello.lua" }
    local ok, out = m:sh("cat $MNT/hello", 10)
    assert.is_true(ok, out)
    assert.equal("Hello, world!\n", out)
    assert.equal(0, m:unmount())
  end)
end)
