-- The POSIX suite on this project's filesystems. Every pair of filesystem, transport, kind of Lua state and user is
-- there at least once, and so is each way of passthrough to cache. memoryfs keeps its files in Lua tables, which states
-- of their own would not share, so it runs in a single state only. Each case counts in the totals.

local busted = require "busted"
local filesystems = require "spec.filesystems"
local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local NOBODY = 65534
local SECONDS = 400 -- for one run, which takes ten on an idle machine

-- What a filesystem may lack because what lies below it does (nothing for ext4 and memoryfs) …
local LACKING = { ["passthrough/tmpfs"] = "zero_range" }
-- … and what takes root, or a mount that root made.
local FOR_ROOT = "root,two_users,rename_whiteout,trusted_xattr,security_xattr,devices,open_devices,suid"

-- who: "root"; "user": all of it is an ordinary user's; "guest": an ordinary user on root's mount. quick: run even
-- where there is little time.
local runs = {
  { kind = "memoryfs", transport = "uring", state = "single", who = "root", quick = true },
  { kind = "memoryfs", transport = "dev", state = "single", who = "user" },
  { kind = "memoryfs", transport = "dev", state = "single", who = "root" },
  { kind = "passthrough/tmpfs", transport = "uring", state = "per-worker", who = "root", quick = true },
  { kind = "passthrough/tmpfs", transport = "dev", state = "single", who = "root", cache = "never" },
  { kind = "passthrough/tmpfs", transport = "dev", state = "per-worker", who = "user" },
  { kind = "passthrough/ext4", transport = "uring", state = "single", who = "user" },
  { kind = "passthrough/ext4", transport = "dev", state = "per-worker", who = "root", cache = "always" },
  { kind = "passthrough/ext4", transport = "uring", state = "per-worker", who = "root", passthrough = "on" },
  { kind = "passthrough/ext4", transport = "uring", state = "per-worker", who = "guest" },
}

-- The transports of this machine, whether this user can do a run, and whether there is time.
local function is_possible(run)
  local transport = run.transport == "dev" or helper.has_uring()
  return transport and (run.quick or not helper.quick) and (helper.is_root or run.who == "user")
end

local function title(run)
  local words = { run.kind, run.transport, run.state, run.who }
  for _, name in ipairs { "cache", "passthrough" } do
    words[#words + 1] = run[name] and ("%s=%s"):format(name, run[name])
  end
  return table.concat(words, " ")
end

-- Runs the suite in a process of its own; returns its exit status and report.
local function suite(directory, run)
  local skips = { LACKING[run.kind] }
  if run.who ~= "root" then
    skips[#skips + 1] = FOR_ROOT
  end
  local words = { "luajit", "spec/mount/posix_run.lua", directory, "--timeout", "30", "--expect-skip",
    #skips > 0 and table.concat(skips, ",") or "none" }
  local user
  if run.who == "guest" then
    words[#words + 1], words[#words + 2] = "--user", NOBODY
  elseif helper.is_root and run.who == "user" then
    user = NOBODY
  end
  local result = process.run(words, SECONDS, { cwd = sys.getcwd(), user = user })
  return result.status, result.out .. result.err
end

describe("the POSIX suite", function()
  after_each(helper.teardown)

  for _, run in ipairs(runs) do
    if is_possible(run) then
      it("passes: " .. title(run), function()
        local m, reason = filesystems.mount {
          kind = run.kind, transport = run.transport, state = run.state,
          user = helper.is_root and run.who == "user" and NOBODY or nil,
          options = { cache = run.cache, passthrough = run.passthrough },
        }
        if not m then
          return pending(reason)
        end
        local status, out = suite(m.dir, run)
        local passed, failed = out:match("(%d+) passed, (%d+) failed")
        assert.truthy(passed, out)
        print(("  %s: %s"):format(title(run), out:match("%d+ passed[^\n]*")))
        busted.publish({ "cases" }, tonumber(passed), tonumber(failed))
        assert.equal(0, status, out)
        assert.is_true(tonumber(passed) >= 400, out)
        assert.equal(0, m:unmount())
      end)
    end
  end
end)
