-- The scheduling policy of the serving threads: SCHED_IDLE where it was asked for, or costs nothing.

local helper = require "spec.helper"
local script = require "spec.script"

local SCHED_OTHER, SCHED_IDLE = "0", "5" -- sched(7)

-- Is every session a scheduling group, and this process in none of a cgroup's?
local function autogroups()
  local switch = io.open("/proc/sys/kernel/sched_autogroup_enabled")
  local on = switch and switch:read(1) == "1"
  if switch then
    switch:close()
  end
  local groups = helper.read_file("/proc/self/cgroup")
  return on and not groups:find(":[%w,]*cpu[,:][^\n]*/[^\n]") and not groups:find("0::/[^\n]")
end

-- The policies of all threads, each once: field 41 of proc_pid_stat(5), the 39th behind the name.
local function policies(m)
  local command = "sed 's/.*) //' /proc/%d/task/*/stat | cut -d' ' -f39 | sort -u | tr '\\n' ' '"
  local _, out = m:sh(command:format(m.pid), 5)
  return (out:gsub(" $", ""))
end

describe("the scheduling policy", function()
  after_each(helper.teardown)

  it("stays as it was with sched=other", function()
    local m = helper.mount { source = script.one_file "", background = true, options = { sched = "other" } }
    assert.equal(SCHED_OTHER, policies(m))
  end)

  it("is SCHED_IDLE with sched=idle, and the mount serves beside busy neighbours", function()
    local m = helper.mount { source = script.one_file "", options = { sched = "idle" } }
    assert.equal(SCHED_IDLE, policies(m))
    local ok, out = m:sh([[
      for i in 1 2; do timeout 2 sh -c 'while :; do :; done' & done
      for i in 1 2 3 4 5; do stat $MNT/file || exit 1; done
      kill %1 %2]], 15)
    assert.is_true(ok, out)
  end)

  it("is SCHED_IDLE in the background, where that is a scheduling group of its own", function()
    local m = helper.mount { source = script.one_file "", background = true }
    assert.equal(autogroups() and SCHED_IDLE or SCHED_OTHER, policies(m))
  end)

  it("refuses other words", function()
    local result = helper.run({ "-o", "sched=fast", "x.lua", "/nowhere" }, 5)
    assert.equal(2, result.status)
    assert.truthy(result.err:find("-o sched=fast: choose one of auto|idle|other", 1, true), result.err)
  end)
end)
