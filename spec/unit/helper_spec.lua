-- The specs' own helper, with ordinary programs in place of the command and without a mount.

local helper = require "spec.helper"
local process = require "spec.process"

describe("process.run", function()
  it("returns status and both outputs", function()
    local result = process.run({ "sh", "-c", "echo out; echo err >&2; exit 3" }, 5)
    assert.same({ status = 3, out = "out\n", err = "err\n", stuck = false }, result)
  end)

  it("passes arguments as they are", function()
    assert.equal("a b|$HOME|'\"|\n", process.run({ "printf", "%s|%s|%s|\n", "a b", "$HOME", "'\"" }, 5).out)
  end)

  it("sets environment and working directory", function()
    local result = process.run({ "sh", "-c", "echo $NAME; pwd" }, 5, { env = { NAME = "x y" }, cwd = "/usr" })
    assert.equal("x y\n/usr\n", result.out)
  end)

  it("ends what takes too long, children included", function()
    local result = process.run({ "sh", "-c", "echo begun; sleep 60 & sleep 60" }, 0.3)
    assert.equal(124, result.status)
    assert.equal("begun\n", result.out)
    assert.is_false(result.stuck)
  end)

  it("tells a signal from a status", function()
    assert.equal(128 + 15, process.run({ "sh", "-c", "kill -TERM $$" }, 5).status)
  end)
end)

describe("process.start", function()
  it("leaves the process running until it is asked to end", function()
    local out = process.directory() .. "/out"
    local child = process.start({ "sleep", "60" }, { out = out })
    assert.is_nil(child:poll())
    assert.is_nil(child:wait(0.05))
    child:kill("term")
    assert.equal(128 + 15, child:wait(5))
    os.remove(out)
    os.remove(out:match("(.*)/"))
  end)

  it("gives reap_all what is still there", function()
    local child = process.start({ "sleep", "60" }, { out = "/dev/null" })
    assert.same({}, process.reap_all())
    assert.equal(128 + 9, child.status)
  end)
end)

describe("process.adopt", function()
  it("finds a daemon by its command line", function()
    process.collect_orphans()
    local mark = tostring(61.0625)
    process.run({ "sh", "-c", ("(sleep %s &)"):format(mark) }, 5)
    local daemon = process.eventually(2, function() return process.adopt(mark) end)
    assert.is_nil(process.adopt(mark))
    daemon:kill("kill")
    assert.equal(128 + 9, daemon:wait(5))
  end)
end)

describe("process.eventually", function()
  it("returns the condition's value", function()
    local calls = 0
    assert.equal("yes", process.eventually(5, function()
      calls = calls + 1
      return calls == 3 and "yes"
    end))
    assert.equal(3, calls)
  end)

  it("gives up", function()
    assert.is_nil(process.eventually(0.02, function() return false end))
  end)
end)

describe("helper.sanitizer_report", function()
  it("finds a report behind other output", function()
    local report = helper.sanitizer_report("mounted x\n=== ERROR: AddressSanitizer: heap-use-after-free\n#0 f\n")
    assert.equal("ERROR: AddressSanitizer: heap-use-after-free\n#0 f\n", report)
  end)

  it("finds undefined behaviour", function()
    assert.truthy(helper.sanitizer_report("src/request.c:5:1: runtime error: signed integer overflow\n"))
  end)

  it("says nothing of an ordinary log", function()
    assert.is_nil(helper.sanitizer_report("mounted /mnt: memfs, transport uring\nerror: lookup failed\n"))
  end)
end)

describe("helper.matrix", function()
  it("combines all values, the last axis fastest", function()
    assert.same({
      { state = "single", transport = "uring" },
      { state = "single", transport = "dev" },
      { state = "per-worker", transport = "uring" },
      { state = "per-worker", transport = "dev" },
    }, helper.matrix { transport = { "uring", "dev" }, state = { "single", "per-worker" } })
  end)
end)

describe("helper.tmpfs", function()
  it("is empty, writable and gone after teardown", function()
    local directory = helper.tmpfs()
    helper.write_file(directory .. "/file", "text")
    assert.equal("text", helper.read_file(directory .. "/file"))
    helper.teardown()
    assert.equal("", helper.read_file(directory .. "/file"))
    assert.is_false(helper.is_mounted(directory))
    assert.not_equal(0, process.run({ "test", "-e", directory }, 5).status)
  end)
end)

describe("helper.mount", function()
  local binary = helper.binary
  local stand_in = process.directory() .. "/stand-in"

  after_each(function()
    helper.binary = binary
    helper.teardown()
  end)

  teardown(function()
    os.remove(stand_in)
    os.remove(stand_in:match("(.*)/"))
  end)

  -- A program in place of the command: the shell text gets the same arguments.
  local function use(text)
    helper.write_file(stand_in, "#!/bin/sh\n" .. text)
    assert.equal(0, process.run({ "chmod", "755", stand_in }, 5).status)
    helper.binary = stand_in
  end

  it("waits for the ready line and passes the settings on", function()
    use 'echo "arguments: $*"; sleep 0.1; echo "mounted here: x, transport dev"; exec sleep 60'
    local m = helper.mount {
      source = "return 1", transport = "dev", workers = 2, options = { "ro", fsname = "x" }, args = { "-d" },
    }
    assert.equal("mounted here: x, transport dev", m.ready)
    local options, script, dir = m.log():match("^arguments: %-o (%S+) %-d (%S+) (%S+)\n")
    assert.equal("transport=dev,workers=2,ro,fsname=x", options)
    assert.equal("return 1", helper.read_file(script))
    assert.equal(m.dir, dir)
    m:kill("term")
    assert.equal(128 + 15, m:wait(5))
  end)

  it("fails with the log when the command ends", function()
    use 'echo "no such option" >&2; exit 2'
    assert.error_matches(function() helper.mount { source = "" } end,
      "ended with status 2; its log:\nno such option", nil, false)
  end)

  it("finds the daemon of a background mount", function()
    use 'if [ "$1" = -b ]; then shift; "$0" "$@" & exit 0; fi; sleep 60'
    local m = helper.mount { source = "", background = true }
    assert.is_nil(m.process:poll())
    m:kill("kill")
    assert.equal(128 + 9, m:wait(5))
  end)

  it("fails the spec when a sanitizer reported the server", function()
    use 'echo "mounted x"; echo "ERROR: AddressSanitizer: boom" >&2; exec sleep 60'
    local m = helper.mount { source = "" }
    m:kill("kill")
    m:wait(5)
    assert.error_matches(helper.teardown, "ERROR: AddressSanitizer: boom")
  end)

  it("fails the spec when the server crashed", function()
    use 'echo "mounted x"; kill -SEGV $$'
    helper.mount { source = "" }:wait(5)
    assert.error_matches(helper.teardown, "ended by signal 11")
  end)

  it("runs clients under a time limit", function()
    use 'echo "mounted x"; exec sleep 60'
    local m = helper.mount { source = "" }
    local ok, output = m:sh("echo $MNT; echo oops >&2", 5)
    assert.is_true(ok)
    assert.equal(m.dir .. "\noops\n", output)
    local status
    ok, output, status = m:sh("echo slow; sleep 60", 0.3)
    assert.is_false(ok)
    assert.equal(124, status)
    assert.equal("slow\n\n(still running after 0.3 s)", output)
    m:kill("kill")
  end)
end)
