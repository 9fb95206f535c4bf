-- What `fractal-lua top` computes and draws, without a mount.

local view = require "fractal.top.view"

local function operation(requests, errors, max, buckets)
  return { requests = requests, errors = errors, bytes_in = 0, bytes_out = 0, max = max, buckets = buckets }
end

local function snapshot(uptime, ops)
  return {
    mountpoint = "/mnt", name = "name", transport = "uring", workers = 2, uptime = uptime,
    held = 0, most = 3, depth = 32,
    lua = { states = 1, bytes = 1e6, collections = 1, traces = 2, aborts = 3, flushes = 0 }, ops = ops,
  }
end

local before = snapshot(10, { read = operation(100, 5, 2000, { [1024] = 100 }) })
local now = snapshot(12, {
  read = operation(300, 6, 4000, { [1024] = 101, [2048] = 197, [4096] = 1, [1e9] = 1 }),
  lookup = operation(8, 8, 500, {}),
})

local function row_of(rows, name)
  for _, row in ipairs(rows) do
    if row.name == name then
      return row
    end
  end
end

describe("rows", function()
  it("tell what came between two snapshots", function()
    local read = row_of(view.rows(before, now), "read")
    assert.same({ 300, 6, 100, 0.5 }, { read.count, read.errors, read.rate, read.error_rate })
    -- 1 at 1024, 197 at 2048, one at 4096 and one above all that ever took as long: no more than the highest.
    assert.same({ 2048, 2048, 4000 }, { read.p50, read.p99, read.max })
  end)

  it("have no latencies where nothing was measured", function()
    local lookup = row_of(view.rows(before, now), "lookup")
    assert.same({ 8, 4 }, { lookup.count, lookup.rate })
    assert.is_nil(lookup.p50)
    assert.is_nil(row_of(view.rows(now, now), "read").p99)
  end)

  it("are sorted by what was asked for", function()
    local rows = view.rows(before, now)
    for _, case in ipairs { { "rate", "read" }, { "count", "read" }, { "errors", "lookup" }, { "latency", "read" } } do
      for _, order in ipairs(view.orders) do
        if order[2] == case[1] then
          view.sort(rows, order)
          assert.equal(case[2], rows[1].name, case[1])
        end
      end
    end
  end)
end)

describe("a sparkline", function()
  it("has a level for each half of a decade, and the newest at its end", function()
    local history = { 10, 1000, 3200, 10000, 32000, 100000, 320000, 1e6, 1e9, false, 1000 }
    assert.equal("▁▂▃▄▅▆▇██ ▂", view.sparkline(history, 20, true))
    assert.equal("_.:-=+*## .", view.sparkline(history, 20, false))
    assert.equal("# .", view.sparkline(history, 3, false))
  end)
end)

describe("the screen", function()
  local function lines(width, height, styled)
    local state = {
      now = now, rows = view.rows(before, now), order = view.orders[1], utf8 = true, styled = styled,
      history = { read = { 1000, 2000, 3000 } },
    }
    view.sort(state.rows, state.order)
    return view.lines(state, width, height)
  end

  it("fits into terminals of any size", function()
    for _, size in ipairs { { 80, 24 }, { 200, 60 }, { 79, 7 }, { 40, 10 }, { 20, 4 }, { 1, 1 } } do
      local width, height = unpack(size)
      local list = lines(width, height, true)
      assert.equal(height, #list)
      for _, line in ipairs(list) do
        local _, characters = line:gsub("\27%[%d*m", ""):gsub("[^\128-\191]", "")
        assert.is_true(characters <= width, ("%d columns: %s"):format(width, line))
      end
    end
  end)

  it("is plain text of all rows where nobody types", function()
    local text = table.concat(lines(80), "\n")
    assert.falsy(text:find("\27", 1, true))
    assert.truthy(text:find("\nread +100.0 +300 +6 +2.05us +2.05us +4.00us ▂▂▂"), text)
    assert.truthy(text:find("\nlookup +4.0 +8 +8 +%- +%- +%-$"), text)
    assert.falsy(text:find("sort by", 1, true))
  end)
end)
