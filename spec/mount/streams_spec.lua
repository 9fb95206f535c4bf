-- Random operation streams on this project's filesystems and on a tmpfs side by side: 100,000 operations in all, by
-- several processes, on every filesystem and transport. What differs is printed as a script that shows it again.

local filesystems = require "spec.filesystems"
local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local SECONDS = 300 -- for one run, which takes three on an idle machine; shrinking a difference takes longer

local runs = {
  { kind = "memoryfs", transport = "uring", state = "single", ops = 20000, procs = 2 },
  { kind = "memoryfs", transport = "dev", state = "single", ops = 15000, procs = 3 },
  { kind = "passthrough/tmpfs", transport = "uring", state = "per-worker", ops = 25000, procs = 2 },
  { kind = "passthrough/tmpfs", transport = "dev", state = "single", ops = 10000, procs = 3 },
  { kind = "passthrough/ext4", transport = "uring", state = "single", ops = 15000, procs = 3 },
  { kind = "passthrough/ext4", transport = "dev", state = "per-worker", ops = 15000, procs = 2 },
}

if helper.quick then
  for _, run in ipairs(runs) do
    run.ops = run.ops / 10
  end
end

describe("random streams", function()
  after_each(helper.teardown)

  for seed, run in ipairs(runs) do
    local transport = helper.has_uring() and run.transport or "dev"
    it(("of %d operations agree with a tmpfs: %s %s %s"):format(run.ops, run.kind, transport, run.state), function()
      local m, reason = filesystems.mount { kind = run.kind, transport = transport, state = run.state }
      if not m then
        return pending(reason)
      end
      local result = process.run({ "luajit", "spec/mount/streams.lua", m.dir, helper.tmpfs(), "--ops", run.ops,
        "--procs", run.procs, "--interval", "1000", "--seed", 100 + seed }, SECONDS, { cwd = sys.getcwd() })
      assert.equal(0, result.status, result.out .. result.err)
      local summary = result.out:match("%d+ operations by[^\n]*both sides agree[^\n]*")
      assert.truthy(summary, result.out)
      assert.equal(run.ops, tonumber(summary:match("^%d+")))
      assert.equal(0, m:unmount())
    end)
  end
end)
