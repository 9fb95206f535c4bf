-- fractal.testing: mounts for tests, their ends, what is said when something fails, faults, the POSIX suite.

local helper = require "spec.helper"
local mounts = require "fractal.testing.mounts"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"
local testing = require "fractal.testing"

local NOBODY = 65534
local MEMORY = [[return require "fractal.memoryfs" {}]]

-- The error that a call raises, as text.
local function failure(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return message
end

local function contains(text, part)
  assert.truthy(text:find(part, 1, true), text)
end

describe("fractal.testing", function()
  local release

  setup(function()
    release = helper.hold_switch()
    testing.command = helper.binary
  end)
  teardown(function() release() end)
  after_each(testing.teardown)

  it("knows whether mounts can be made, and over what", function()
    assert.is_true(testing.available())
    assert.same(helper.transports(), testing.transports())
  end)

  it("says why none can be made", function()
    testing.command = "/nowhere/fractal-lua"
    finally(function() testing.command = helper.binary end)
    local ok, reason = testing.available()
    assert.is_nil(ok)
    assert.equal("/nowhere/fractal-lua, which FRACTAL_LUA or testing.command names, is no program", reason)
    assert.same({}, testing.transports())
    contains(failure(testing.mount, { source = MEMORY }), "nothing can be mounted here: /nowhere/fractal-lua, which")
  end)

  it("takes the doctor's word for it", function()
    local stand_in = testing.directory() .. "/fractal-lua"
    testing.write_file(stand_in, [[#!/bin/sh
echo '{ "check": "mount", "status": "fail", "text": "there is no /dev/fuse", "fix": "" }']])
    sys.chmod(stand_in, "755")
    testing.command = stand_in
    finally(function() testing.command = helper.binary end)
    local ok, reason = testing.available()
    assert.is_nil(ok)
    assert.equal("there is no /dev/fuse", reason)
  end)

  for _, transport in ipairs(helper.transports()) do
    describe("over " .. transport, function()
      it("mounts a script, with options", function()
        local m = testing.mount {
          script = "examples/hello.lua", transport = transport, workers = 1, options = { "ro" },
        }
        assert.equal(transport, m.transport)
        contains(m.ready, "hello, transport " .. transport .. ", 1 worker,")
        assert.equal("Hello, world!\n", m:sh "cat $MNT/hello")
        assert.equal(0, m:unmount())
        assert.is_false(mounts.is_mounted(m.dir))
      end)

      it("mounts a filesystem that is written in the test", function()
        local m = testing.mount { source = MEMORY, transport = transport, state = "single" }
        assert.equal("text\n", m:sh "echo text > $MNT/file; cat $MNT/file")
      end)

      it("runs functions on it, with arguments and results", function()
        local m = testing.mount { source = MEMORY, transport = transport }
        local text, nothing, list = m:run(function(dir, name, content)
          local file = assert(io.open(dir .. "/" .. name, "w"))
          file:write(content)
          file:close()
          return assert(io.open(dir .. "/" .. name)):read("*a"), nil, { 1, two = true }
        end, 10, "file", "content")
        assert.same({ "content", nil, { 1, two = true } }, { text, nothing, list })
      end)
    end)
  end

  it("mounts over the transport that FRACTAL_TRANSPORT names", function()
    local result = process.run({ "luajit", "-e", [[
      package.path = "./lua/?.lua;" .. package.path
      require "fractal.testing".with({ script = "examples/hello.lua" }, function(m) print(m.transport) end)
    ]] }, 30, { cwd = sys.getcwd(), env = { FRACTAL_TRANSPORT = "dev", FRACTAL_LUA = helper.binary } })
    assert.same({ "dev\n", "", 0 }, { result.out, result.err, result.status })
  end)

  if helper.is_root then
    it("mounts as another user", function()
      local m = testing.mount { source = MEMORY, user = NOBODY }
      assert.equal("65534\n", m:sh("touch $MNT/file; stat -c %u $MNT/file", 10, { user = NOBODY }))
      local result = testing.posix(m, { filter = "^links/" })
      assert.equal(0, result.failed, result.report)
      assert.is_true(result.passed > 10, result.report)
    end)
  end

  describe("when something fails", function()
    it("shows the command, its output and the mount's log", function()
      local m = testing.mount { source = [[
        local fs = require "fractal.memoryfs" {}
        function fs.mkdir() error("no directories today") end
        return fs]] }
      local text = failure(m.sh, m, "echo begun; mkdir $MNT/dir")
      contains(text, "the command ended with status 1: echo begun; mkdir $MNT/dir\nbegun\nmkdir: ")
      contains(text, "the mount's log:\nmounted ")
      contains(text, "no directories today")
      local ok, out, status = m:try "echo begun; exit 3"
      assert.same({ false, "begun\n", 3 }, { ok, out, status })
    end)

    it("shows a function's error, with its place", function()
      local m = testing.mount { source = MEMORY }
      local text = failure(m.run, m, function() error("oops") end)
      local line = debug.getinfo(1, "l").currentline - 1
      contains(text, ("testing_spec.lua:%d: oops\nthe mount's log:\nmounted "):format(line))
      contains(failure(m.run, m, function() assert.equal(1, 2) end), "Expected objects to be equal")
      contains(failure(m.run, m, function() return print end), "return strings, numbers, booleans and tables")
      contains(failure(m.run, m, function() sys.exit(3) end), "the function ended its process")
      contains(failure(m.run, m, function() sys.kill(sys.getpid(), "segv") end), "the function crashed with signal 11")
    end)

    it("ends what takes too long, and the mount goes on", function()
      local m = testing.mount { source = MEMORY }
      contains(failure(m.run, m, function() sys.sleep(60) end, 1), "the function timed out after 1 s")
      contains(failure(m.sh, m, "sleep 60", 0.2), "still running after 0.2 s")
      assert.equal("", m:sh "ls $MNT")
    end)

    it("is a sentence for what cannot be mounted", function()
      contains(failure(testing.mount, { script = "/nowhere/fs.lua" }), "the script /nowhere/fs.lua cannot be read")
      contains(failure(testing.mount, { source = "return 1" }), "the script cannot be mounted: ")
      contains(failure(testing.mount, { source = MEMORY, options = { "zzzzz" } }),
        "the script cannot be mounted: unknown option -o zzzzz")
      contains(failure(testing.mount, { source = MEMORY, script = "x.lua" }), "takes either script, ")
      contains(failure(testing.mount, { source = MEMORY, scirpt = "x.lua" }), "testing.mount has no setting scirpt")
    end)
  end)

  describe("at the end", function()
    local program = [[
      package.path = "./lua/?.lua;" .. package.path
      local testing = require "fractal.testing"
      local m = testing.mount { script = "examples/hello.lua" }
      print(m.dir)
      io.stdout:flush()
    ]]

    local function run(text)
      return process.run({ "luajit", "-e", program .. text }, 30,
        { cwd = sys.getcwd(), env = { FRACTAL_LUA = helper.binary } })
    end

    for what, text in pairs {
      ["returns"] = "",
      ["raises an error"] = "error('given up')",
      ["exits and closes its state"] = "os.exit(3, true)",
    } do
      it("takes mounts off and removes directories: a program that " .. what, function()
        local dir = run(text).out:match("^(/[^\n]+)\n")
        assert.is_false(mounts.is_mounted(dir))
        assert.is_nil(sys.stat(dir:match("^(.*)/")))
      end)
    end

    it("takes mounts off: a program that is killed", function()
      local dir = run("require 'fractal.testing.sys'.kill(require 'fractal.testing.sys'.getpid(), 'kill')").out
        :match("^(/[^\n]+)\n")
      finally(function() sys.remove_tree(sys.FDCWD, dir:match("^(.*)/")) end)
      assert.is_true(testing.eventually(15, function() return not mounts.is_mounted(dir) end))
    end)

    it("with() takes the mount off and shows its log with the error", function()
      local dir
      local text = failure(testing.with, { source = MEMORY }, function(m)
        dir = m.dir
        error("oops")
      end)
      contains(text, ": oops\nstack traceback:")
      contains(text, "the mount's log:\nmounted " .. dir)
      assert.is_false(mounts.is_mounted(dir))
      assert.same({ 1, 2 }, { testing.with({ source = MEMORY }, function() return 1, 2 end) })
    end)

    it("teardown complains of a server that ended badly, unless the test or a fault had killed it", function()
      local m = testing.mount { source = MEMORY }
      process.run({ "kill", "-9", m.pid }, 10)
      assert.equal(128 + 9, m:wait())
      assert.is_true(testing.eventually(10, function() return not mounts.is_mounted(m.dir) end))
      contains(failure(testing.teardown), "the server was ended by signal 9; its log:\nmounted")
      m = testing.mount { source = MEMORY, faults = { { "crash", "mkdir" } } }
      assert.is_false(m:try "mkdir $MNT/x")
      assert.equal(128 + 9, m:wait())
      testing.teardown()
      m = testing.mount { source = MEMORY }
      m:kill "kill"
      testing.teardown()
      assert.is_false(mounts.is_mounted(m.dir))
    end)
  end)

  describe("faults", function()
    for _, transport in ipairs(helper.transports()) do
      it("fail the n-th call over " .. transport, function()
        local m = testing.mount {
          source = MEMORY, transport = transport, faults = { { "fail", "mkdir", nth = 2, errno = "ENOSPC" } },
        }
        local results = m:run(function(dir)
          local list = {}
          for i = 1, 3 do
            list[i] = select(2, sys.mkdir(dir .. "/" .. i)) or "made"
          end
          return list
        end)
        assert.same({ "made", "ENOSPC", "made" }, results)
      end)

      it("delay calls over " .. transport .. ", while others are served", function()
        local m = testing.mount {
          source = MEMORY, transport = transport, workers = 1, faults = { { "delay", "mkdir", seconds = 1 } },
        }
        local slow, quick = m:run(function(dir)
          local began = sys.clock "monotonic"
          local pid = sys.must.fork()
          if pid == 0 then
            sys.exit(sys.mkdir(dir .. "/slow") and 0 or 1)
          end
          sys.must.statvfs(dir)
          local quick = sys.clock "monotonic" - began
          assert(select(2, sys.must.waitpid(pid)) == 0)
          return sys.clock "monotonic" - began, quick
        end)
        assert.is_true(slow >= 1, tostring(slow))
        assert.is_true(quick < 0.9, tostring(quick))
      end)
    end

    it("meet paths, as often as they are told to, in a script that lies elsewhere", function()
      local m = testing.mount {
        script = "examples/hello.lua", options = { attr_ttl = 0, entry_ttl = 0 },
        faults = { { "fail", "getattr", path = "^/hel", times = 1, errno = "ACCES" } },
      }
      local out = m:sh "stat -c %s $MNT 2>&1 || true; for i in 1 2; do stat -c %s $MNT/hello 2>&1 || true; done"
      assert.truthy(out:find("^%d+\n[^\n]*Permission denied\n14\n$"), out)
    end)

    it("wait until they are armed, and end when they are disarmed", function()
      local m = testing.mount { source = MEMORY, faults = { { "fail", "mkdir", errno = "ENOSPC" } }, armed = false }
      m:sh "mkdir $MNT/before"
      m:arm()
      contains(select(2, m:try "mkdir $MNT/meanwhile"), "No space left on device")
      m:disarm()
      assert.equal("after\nbefore\n", m:sh "mkdir $MNT/after && ls $MNT")
      contains(failure(testing.mount({ source = MEMORY }).arm, { }), "the mount has no faults")
    end)

    it("can be put into a script by itself", function()
      local m = testing.mount { source = [[
        local fs, faults = require "fractal.memoryfs" {}, require "fractal.testing".faults
        faults.fail(fs, "mkdir", { errno = require "fractal".errno.DQUOT, times = 1 })
        return fs
      ]] }
      contains(select(2, m:try "mkdir $MNT/x"), "quota")
      m:sh "mkdir $MNT/x"
    end)

    it("raise errors in handlers", function()
      local m = testing.mount { source = MEMORY, faults = { { "raise", "mkdir", message = "as planned" } } }
      local ok, out = m:try "mkdir $MNT/x"
      assert.is_false(ok)
      contains(out, "Input/output error")
      contains(m.log(), "as planned")
    end)

    for sentence, rule in pairs {
      ["the filesystem has no handler raed: did you mean read?"] = { "fail", "raed" },
      ["there is no fault fial: choose fail, delay, raise or crash"] = { "fial", "read" },
      ["there is no errno ENOPE; see errno(3) for the names"] = { "fail", "read", errno = "ENOPE" },
      ["a fault has no setting nht"] = { "fail", "read", nht = 2 },
      ["a delay needs seconds, a number"] = { "delay", "read" },
    } do
      it("are refused with a sentence: " .. sentence, function()
        local text = failure(testing.mount, { script = "examples/hello.lua", faults = { rule } })
        assert.equal("examples/hello.lua cannot be mounted: " .. sentence, text:match("examples.*$"))
      end)
    end
  end)

  describe("a server", function()
    it("can be stalled for a while, and no longer", function()
      local m = testing.mount { source = MEMORY }
      m:stall(1.5)
      local ok, _, status = m:try("ls $MNT", 0.3)
      assert.same({ false, 124 }, { ok, status })
      assert.is_true(m:try("ls $MNT", 10))
      m:stall(60)
      m:resume()
      assert.is_true(m:try("ls $MNT", 10))
    end)

    it("can be killed, which leaves no mount behind", function()
      local m = testing.mount { source = MEMORY }
      m:kill "kill"
      assert.equal(128 + 9, m:wait())
      assert.is_true(testing.eventually(10, function() return not mounts.is_mounted(m.dir) end))
    end)
  end)
end)
