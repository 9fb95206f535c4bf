-- bench/run measures: every row, once and for a moment. The figures say nothing here; that there are some does.
-- alone: a client and its server need the CPU that they are pinned to
-- unsanitized: measures

local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

-- Names of all rows that can be measured here, as --help lists them.
local function rows()
  local cpus = tonumber(process.run({ "nproc" }, 10).out)
  local help = process.run({ "bench/run", "--help" }, 20, { cwd = sys.getcwd(), env = { COLUMNS = "1000" } }).out
  local list = {}
  for name in help:match("%-%-rows NAMES +all or some of ([^\n]+)"):gmatch("[%w_]+") do
    list[#list + 1] = (name ~= "fstat2" or cpus > 1) and name or nil
  end
  return list
end

describe("bench/run", function()
  local release

  setup(function() release = helper.hold_switch() end)
  teardown(function() release() end)
  after_each(helper.teardown)

  local function bench(out, ...)
    return process.run({
      "bench/run", "--build", helper.binary:match "^(.*)/", "--peers=none", "--seconds=0.05", "--rest=0.1",
      "--rounds=1", "--out", out .. "/bench.json", "--csv", out .. "/bench.csv", ...,
    }, 60, { cwd = sys.getcwd(), env = { TMPDIR = out } })
  end

  local function why_not()
    return not helper.is_root and "the floor mounts by itself, which needs root"
      or not helper.has_uring() and "there is no FUSE over io_uring"
      or nil
  end

  it("measures every row, and leaves nothing mounted", function()
    if why_not() then
      return pending(why_not())
    end
    local out = helper.directory()
    local result = bench(out)
    assert.same({ 0, "" }, { result.status, result.err }, result.out)
    assert.truthy(result.out:find("\ngoals for lua\n", 1, true), result.out)
    local json, csv = helper.read_file(out .. "/bench.json"), helper.read_file(out .. "/bench.csv")
    local all = rows()
    assert.is_true(#all > 10)
    for _, name in ipairs(all) do
      assert.truthy(json:find(('"%s": {'):format(name), 1, true), name)
      assert.truthy(name == "memory" or csv:find(("\n%s,"):format(name), 1, true), name)
    end
    assert.same({ "bench.csv", "bench.json" }, sys.list(out))
  end)

  it("refuses what it does not know with a sentence, and leaves out what has nothing to be compared with", function()
    local out = helper.directory()
    local result = bench(out, "--rows=fstat,fstut")
    assert.equal(1, result.status)
    assert.truthy(result.err:find("^bench: no row named 'fstut'; there are: fstat, "), result.err)
    if why_not() then
      return
    end
    result = bench(out, "--ours=embed", "--rows=fstat,path")
    assert.same({ 0, "" }, { result.status, result.err }, result.out)
    assert.truthy(result.out:find("\nleft out: path: it is compared with lua, which is not measured\n", 1, true),
      result.out)
  end)
end)
