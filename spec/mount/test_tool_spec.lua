-- `fractal-lua test`: what it tries, what it says, its exit status.
-- unsanitized: a tool in Lua

local helper = require "spec.helper"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"

local HELLO = [[
local fractal = require "fractal"
return fractal.tree { hello = "Hello!\n", ["sub/link"] = { target = "../hello" } }
]]

local function contains(text, part)
  assert.truthy(text:find(part, 1, true), text)
end

describe("fractal-lua test", function()
  local base, release

  setup(function() release = helper.hold_switch() end)
  teardown(function() release() end)
  before_each(function() base = helper.directory() end)
  after_each(helper.teardown)

  -- Runs the tool on myfs.lua, whose text is given, and perhaps its spec's; returns status, output and messages.
  local function test(text, arguments, spec, env)
    helper.write_file(base .. "/myfs.lua", text)
    if spec then
      helper.write_file(base .. "/myfs_spec.lua", spec)
    end
    local result = helper.run({ "test", "myfs.lua", unpack(arguments or {}) }, 120, { cwd = base, env = env })
    return result.status, result.out, result.err
  end

  it("checks, mounts over each transport, runs suite and spec, and adds up", function()
    local status, out, err = test(HELLO, {}, [[
      local testing = require "fractal.testing"
      describe("myfs", function()
        after_each(testing.teardown)
        it("says hello", function()
          local m = testing.mount { script = "myfs.lua" }
          assert.equal(os.getenv("FRACTAL_TRANSPORT"), m.transport)
          assert.equal("Hello!\n", m:sh "cat $MNT/sub/link")
        end)
      end)
    ]])
    assert.same({ 0, "" }, { status, err }, out)
    contains(out, "check of myfs.lua\n  7 handlers: ")
    for _, transport in ipairs(helper.transports()) do
      contains(out, ("\nmount over %s\n  mounted /"):format(transport))
      contains(out, ("\nmyfs_spec.lua over %s\n  ok  myfs says hello ("):format(transport))
    end
    contains(out, "\n  POSIX suite, the part that changes nothing (mkdir gives ")
    local count = #helper.transports()
    local each = tonumber(out:match("changes nothing %([^\n]*%): (%d+) passed, 0 failed"))
    assert.is_true(each >= 18, out)
    assert.equal(("%d passed, 0 failed"):format(1 + count * (each + 3)), out:match("\n([^\n]+)\n$"))
  end)

  it("names what fails, with the call, and shows the log of a handler's error", function()
    local status, out = test([[
      local fractal = require "fractal"
      local fs = fractal.tree { hello = "Hello!\n", other = "text" }
      local readdir, readlink = fs.readdir, fs.readlink
      function fs.readdir(path) return { "hello", "hello", "gone" } end
      function fs.statfs() error("no statfs today") end
      return fs
    ]], { "--transport=dev" })
    assert.equal(1, status)
    contains(out, 'failed  reading/no name is listed twice, is empty or has a slash: ')
    contains(out, '. lists "hello" twice')
    contains(out, 'lstat("./gone"): expected success, got ENOENT')
    contains(out, "the mount's log")
    contains(out, "no statfs today")
    assert.is_nil(out:find("mount over uring", 1, true))
    assert.truthy(out:find("\n%d+ passed, [1-9]%d* failed\n$"), out)
  end)

  it("runs the whole suite where files can be made, but for what has no handler", function()
    local status, out = test([[
      local fs = require "fractal.memoryfs" {}
      fs.symlink = nil
      return fs
    ]], { "--transport", "dev", "--filter", "links/", "-o", "max_write=64K" })
    assert.equal(0, status, out)
    assert.truthy(out:find("\n  skipped %d+ cases: there is no handler symlink\n"), out)
    assert.truthy(out:find("POSIX suite: [1-9]%d* passed, 0 failed, %d+ skipped"), out)
  end)

  it("ends with a server that dies, and says in which case", function()
    local status, out = test([[
      local fs = require "fractal.memoryfs" {}
      require "fractal.testing".faults.crash(fs, "link", { nth = 5 })
      return fs
    ]], { "--transport=dev", "--filter=^links/" })
    assert.equal(1, status)
    assert.truthy(out:find("failed  links/[^\n]+: the server ended in this case; those behind it were not run\n"), out)
    contains(out, "failed: the server ended with status 137")
    assert.truthy(out:find("\n%d+ passed, 2 failed\n$"), out)
    local dir = out:match("mounted (/%S+):")
    assert.is_true(helper.eventually(10, function() return not helper.is_mounted(dir) end))
  end)

  it("fails with the spec", function()
    local status, out = test(HELLO, { "--no-posix", "--transport=dev", "--spec", "other_spec.lua" })
    assert.same({ 1, "" }, { status, out })
    helper.write_file(base .. "/other_spec.lua", [[
      local testing = require "fractal.testing"
      after_each(testing.teardown)
      it("fails", function()
        testing.mount { script = "myfs.lua" }
        assert.equal(1, 2)
      end)
    ]])
    status, out = test(HELLO, { "--no-posix", "--transport=dev", "--spec", "other_spec.lua" })
    assert.equal(1, status)
    contains(out, "not ok  fails")
    assert.truthy(out:find("\n  a test failed that uses /[^\n]+\n  the mount's log:\n  mounted [^\n]+\n"), out)
    contains(out, "Expected objects to be equal")
    assert.is_nil(out:find("POSIX", 1, true))
    contains(out, "\n3 passed, 1 failed\n")
  end)

  it("says that busted is missing", function()
    local programs = helper.directory()
    for _, name in ipairs { "env", "bash", "umount", "fusermount3" } do
      local path = process.run({ "sh", "-c", "command -v " .. name }, 10).out:gsub("\n", "")
      sys.symlink(path, programs .. "/" .. name)
    end
    local status, out = test(HELLO, { "--no-posix", "--transport=dev" }, "", { PATH = programs })
    assert.equal(1, status)
    contains(out, "failed: there is no busted in PATH to run it: luarocks install busted")
  end)

  it("says what is wrong with a script that cannot be mounted", function()
    local status, out = test("return 1")
    assert.equal(1, status)
    contains(out, "failed: ")
    contains(out, "returned a number: end it with `return fs`")
    contains(out, "\n0 passed, 1 failed\n")
    status, out = test([[local fs = require "fractal".pathfs {} function fs.raed() end return fs]],
      { "--transport=dev" })
    assert.equal(1, status)
    contains(out, "failed: see above")
    contains(out, "no getattr: nothing in the mount can be reached without it")
    contains(out, "failed: myfs.lua cannot be mounted: ")
  end)

  it("refuses what it cannot do with a sentence", function()
    local result = helper.run({ "test", "nowhere.lua" }, 20, { cwd = base })
    assert.same({ 1, "fractal-lua: error: the script nowhere.lua cannot be read\n" }, { result.status, result.err })
    local status, _, err = test(HELLO, { "--spec", "nowhere.lua" })
    assert.same({ 1, "fractal-lua: error: the spec nowhere.lua cannot be read\n" }, { status, err })
    status, _, err = test(HELLO, { "--transport=tcp" })
    assert.equal(2, status)
    contains(err, "--transport tcp: choose one of uring, dev")
  end)

  it("leaves nothing mounted and no directory behind", function()
    local temporary = helper.directory()
    test(HELLO, { "--transport=dev" }, "", { TMPDIR = temporary })
    assert.same({}, sys.list(temporary))
  end)

  -- What a signal meets. Each makes the file that REACHED names when it is there.
  local interrupted = {
    { "a handler that never returns", signal = "int", status = 130, arguments = { "--transport=dev" }, text = [[
      local fs = require "fractal.memoryfs" {}
      function fs.mkdir()
        io.open(os.getenv "REACHED", "w"):close()
        while true do end
      end
      return fs
    ]] },
    { "a server that is stopped", signal = "term", status = 143, arguments = { "--transport=dev" }, text = [[
      local ffi = require "ffi"
      ffi.cdef "int raise(int);"
      local fs = require "fractal.memoryfs" {}
      function fs.mkdir()
        io.open(os.getenv "REACHED", "w"):close()
        ffi.C.raise(19)
      end
      return fs
    ]] },
    { "a spec", signal = "int", status = 130, arguments = { "--transport=dev", "--no-posix" }, text = HELLO, spec = [[
      it("works", function()
        local m = require "fractal.testing".mount { script = "myfs.lua" }
        m:sh("cat $MNT/hello; touch $REACHED; sleep 60", 60)
      end)
    ]] },
  }
  for _, case in ipairs(interrupted) do
    it("leaves nothing when a signal ends it in " .. case[1], function()
      local temporary, other = helper.directory(), helper.directory()
      helper.write_file(base .. "/myfs.lua", case.text)
      helper.write_file(base .. "/myfs_spec.lua", case.spec or "")
      local tool = process.start({ helper.binary, "test", "myfs.lua", unpack(case.arguments) }, {
        cwd = base, out = other .. "/out", env = { TMPDIR = temporary, REACHED = other .. "/reached" },
      })
      assert.truthy(helper.eventually(60, function() return sys.access(other .. "/reached", "f") or tool:poll() end))
      local mounted = helper.read_file("/proc/self/mountinfo")
      assert.truthy(mounted:find(temporary, 1, true), helper.read_file(other .. "/out"))
      sys.kill(-tool.pid, case.signal) -- as a terminal does
      assert.equal(case.status, tool:wait(30), helper.read_file(other .. "/out"))
      assert.same({}, sys.list(temporary))
      assert.is_nil(helper.read_file("/proc/self/mountinfo"):find(temporary, 1, true))
      assert.equal("", process.run({ "pgrep", "-f", temporary }, 10).out)
    end)
  end
end)
