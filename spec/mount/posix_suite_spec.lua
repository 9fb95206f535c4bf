-- The POSIX suite and the random streams themselves: they pass on the oracle (tmpfs), and a hang, a crash, a failure
-- or a difference is reported as what it is. The filesystems of this project are put through them elsewhere.
-- unsanitized: looks at the suite itself, on a tmpfs

local helper = require "spec.helper"
local process = require "spec.process"
local posix = require "fractal.testing.posix"
local sys = require "fractal.testing.sys"

local function luajit(arguments, seconds)
  local result = process.run({ "luajit", unpack(arguments) }, seconds, { cwd = sys.getcwd() })
  return result.status, result.out .. result.err
end

describe("the POSIX suite", function()
  after_each(helper.teardown)

  it("has at least 400 cases", function()
    assert.is_true(#posix.names() >= 400)
  end)

  if not helper.is_root then
    it("passes on tmpfs", function()
      local status, out = luajit({ "spec/mount/posix_run.lua", helper.tmpfs() }, 120)
      assert.equal(0, status, out)
    end)
  else
    it("passes on tmpfs and skips, as root, only what tmpfs lacks", function()
      local status, out = luajit({ "spec/mount/posix_run.lua", helper.tmpfs(), "--expect-skip", "zero_range" }, 120)
      assert.equal(0, status, out)
      assert.truthy(out:find("%d+ passed, 0 failed"), out)
    end)

    it("passes on tmpfs for an ordinary user", function()
      local status, out = luajit({ "spec/mount/posix_run.lua", helper.tmpfs(), "--user", "65534" }, 120)
      assert.equal(0, status, out)
      assert.truthy(out:find("needs root to become other users", 1, true), out)
    end)
  end

  it("names an unknown option and exits 2", function()
    local status, out = luajit({ "spec/mount/posix_run.lua", "--no-such" }, 20)
    assert.equal(2, status)
    assert.truthy(out:find("unknown option --no-such", 1, true), out)
  end)

  it("has a part that changes nothing, for files that are there", function()
    local directory = helper.tmpfs()
    local made = process.run({ "sh", "-c", [[
      cd "$1" && mkdir -p a/b/c empty && seq 10000 > a/numbers && : > a/b/nothing && ln -s ../a/numbers empty/link &&
      mkfifo a/fifo && chmod 0 a/b/nothing && setfattr -n user.x -v y a/numbers; find . | xargs ls -ld --full-time]],
      "sh", directory }, 20)
    local result = posix.run(directory, { reading = true })
    assert.equal(0, result.failed, posix.format(result))
    assert.is_true(result.passed >= 19, posix.format(result))
    assert.equal(made.out, process.run({ "sh", "-c", 'cd "$1"; find . | xargs ls -ld --full-time', "sh",
      directory }, 20).out)
    assert.is_truthy(made.out:find("numbers", 1, true))
  end)

  describe("given cases that misbehave", function()
    local subjects = posix.subjects
    local result, directory

    local bad = {
      { name = "passes", run = function(t) t:file("f", "x") t:content("f", "x") end },
      { name = "hangs", run = function() sys.sleep(60) end },
      { name = "crashes", run = function() sys.kill(sys.getpid(), "segv") end },
      { name = "fails", run = function(t) t:expect("EEXIST", sys.unlink, "missing") end },
      { name = "fails in a child", run = function(t) t:fork(function() t:equal(1, 2, "number") end):wait() end },
      { name = "leaves closed directories", run = function(t)
        t:directory "a"
        t:directory "a/b"
        t:file "a/b/c"
        sys.must.chmod("a/b", "0")
        sys.must.chmod("a", "0")
        error("given up", 0)
      end },
      { name = "skips", run = function(t) t:skip "not today" end },
      { name = "lacks a call", run = function(t)
        error(('x.lua:7: rename("a", "b"): expected EEXIST, got %s'):format("ENOSYS"), 0)
      end },
    }

    setup(function()
      package.loaded["fractal.testing.posix.misbehaving"] = bad
      posix.subjects = { "misbehaving" }
      directory = helper.directory()
      result = posix.run(directory, { timeout = 1 })
    end)
    teardown(function() posix.subjects = subjects end)

    local function message(name)
      for _, outcome in ipairs(result.cases) do
        if outcome.name == "misbehaving/" .. name then return outcome.message end
      end
    end

    it("goes on after each and counts them", function()
      assert.equal("1 passed, 6 failed, 1 skipped", posix.counts(result))
    end)
    it("says what happened", function()
      assert.equal("timed out after 1 s", message "hangs")
      assert.equal("crashed with signal 11", message "crashes")
      assert.truthy(message("fails"):find('unlink("missing"): expected EEXIST, got ENOENT', 1, true))
      assert.truthy(message("fails in a child"):find("number: expected 2, got 1", 1, true))
      assert.equal("not today", message "skips")
    end)
    it("skips, when it is to be lenient, what is not implemented", function()
      local lenient = posix.run(helper.directory(), { lenient = true, filter = "a call$" })
      assert.equal("rename is not implemented", lenient.cases[1].message)
      assert.equal("0 passed, 0 failed, 1 skipped", posix.counts(lenient))
    end)
    it("tells of as many failures as are wanted", function()
      local lines = posix.details(result, 2)
      assert.same({ "failed  misbehaving/hangs: timed out after 1 s", "… and 4 more that failed",
        "skipped 1 case: not today" }, { lines[1], lines[3], lines[4] })
    end)
    it("turns a case into an assertion", function()
      assert.has_no.errors(function() posix.assert(result, "misbehaving/passes") end)
      assert.has.errors(function() posix.assert(result, "misbehaving/fails") end)
    end)
  end)
end)

describe("random streams", function()
  after_each(helper.teardown)

  it("agree on two tmpfs", function()
    local status, out = luajit({ "spec/mount/streams.lua", helper.tmpfs(), helper.tmpfs(), "--ops", "5000", "--procs",
      "3", "--seed", "7" }, 120)
    assert.equal(0, status, out)
    assert.truthy(out:find("5000 operations by 3 processes, seed 7: both sides agree", 1, true), out)
  end)

  if helper.is_root then
    -- On a noexec mount access(2) refuses what can be run elsewhere: a difference that every replay shows.
    it("shrink a difference to a script that shows it again", function()
      local other, oracle = helper.directory(), helper.tmpfs()
      assert.equal(0, process.run({ "mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", other }, 20).status)
      finally(function() sys.umount(other) end)
      local status, out = luajit({ "spec/mount/streams.lua", other, oracle, "--ops", "10000", "--seed", "4" }, 200)
      assert.equal(1, status, out)
      local script = out:match("\n(return {.-\n})")
      assert.truthy(script and script:find("{ \"", 1, true), out)
      local lines = select(2, script:gsub("\n", ""))
      assert.is_true(lines <= 12, out)
      local file = helper.directory() .. "/stream.lua"
      process.write_file(file, script)
      status, out = luajit({ "spec/mount/streams.lua", other, oracle, "--replay", file }, 60)
      assert.equal(1, status, out)
      assert.truthy(out:find("difference at operation", 1, true), out)
    end)
  end
end)
