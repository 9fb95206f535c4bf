--- What `fractal-lua top` shows: rows computed from two snapshots of a mount (fractal.top.mounts), and lines of text
-- made from them.

local view = {}

-- ---- figures ---------------------------------------------------------------------------------------------------

-- The latencies that came between two snapshots, as a sorted list of { bound (ns), count }, and their number.
local function new_latencies(before, now)
  local list, total = {}, 0
  for bound, count in pairs(now.buckets) do
    local more = count - (before and before.buckets[bound] or 0)
    if more > 0 then
      list[#list + 1] = { bound, more }
      total = total + more
    end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list, total
end

local function percentile(latencies, total, percent, max)
  local rank, seen = total * percent / 100, 0
  for _, bucket in ipairs(latencies) do
    seen = seen + bucket[2]
    if seen >= rank then
      return math.min(bucket[1], max)
    end
  end
end

local nothing = { requests = 0, errors = 0, bytes_in = 0, bytes_out = 0, buckets = {} }

local function operation_row(name, before, now, seconds)
  local latencies, total = new_latencies(before, now)
  before = before or nothing
  return {
    name = name, count = now.requests, errors = now.errors,
    rate = (now.requests - before.requests) / seconds,
    error_rate = (now.errors - before.errors) / seconds,
    bytes_in = (now.bytes_in - before.bytes_in) / seconds,
    bytes_out = (now.bytes_out - before.bytes_out) / seconds,
    p50 = percentile(latencies, total, 50, now.max), -- nil where nothing came, or was measured
    p99 = percentile(latencies, total, 99, now.max),
    max = percentile(latencies, total, 100, now.max),
  }
end

--- One row for each operation that ever came: rates and latencies (ns) are those between the two snapshots.
function view.rows(before, now)
  local rows, seconds = {}, math.max(now.uptime - before.uptime, 0.001)
  for name, operation in pairs(now.ops) do
    rows[#rows + 1] = operation_row(name, before.ops[name], operation, seconds)
  end
  return rows
end

-- ---- order -----------------------------------------------------------------------------------------------------

--- What rows can be sorted by: { key to press, name, field of a row }.
view.orders = {
  { "r", "rate", "rate" }, { "c", "count", "count" }, { "e", "errors", "errors" }, { "l", "latency", "p99" },
}

--- Sorts rows by one of the orders; the busier, then the name, decides between equal ones.
function view.sort(rows, order)
  local field = order[3]
  table.sort(rows, function(a, b)
    local left, right = a[field] or -1, b[field] or -1
    if left ~= right then
      return left > right
    elseif a.count ~= b.count then
      return a.count > b.count
    end
    return a.name < b.name
  end)
end

-- ---- cells -----------------------------------------------------------------------------------------------------

-- At most three figures and a unit; each unit is `step` times the one before it.
local function scaled(value, step, units)
  local i = 1
  while value >= step * 0.9995 and units[i + 1] do
    value, i = value / step, i + 1
  end
  return ("%." .. (value < 9.995 and 2 or value < 99.95 and 1 or 0) .. "f%s"):format(value, units[i])
end

local function number_cell(value)
  return value < 1000 and ("%d"):format(value) or scaled(value / 1000, 1000, { "k", "M", "G", "T" })
end

local function rate_cell(value)
  return value < 999.5 and ("%.1f"):format(value) or scaled(value / 1000, 1000, { "k", "M", "G" })
end

local function bytes_cell(value)
  return value < 1000 and ("%dB"):format(value) or scaled(value / 1024, 1024, { "K", "M", "G", "T", "P" })
end

local function time_cell(ns)
  return ns and scaled(ns / 1000, 1000, { "us", "ms", "s" }) or "-"
end

local function uptime_cell(seconds)
  local days = math.floor(seconds / 86400)
  local clock = ("%d:%02d:%02d"):format(seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
  return days > 0 and ("%d d %s"):format(days, clock) or clock
end

-- A level for each half of a decade from 1 us on.
local BLOCKS = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }
local LETTERS = { "_", ".", ":", "-", "=", "+", "*", "#" }

--- The last `width` latencies (ns, false where there is none), as one character each.
function view.sparkline(history, width, utf8)
  local out, levels = {}, utf8 and BLOCKS or LETTERS
  for i = math.max(1, #history - width + 1), #history do
    local level = history[i] and math.floor(math.log10(math.max(history[i], 1) / 1000) * 2) + 2
    out[#out + 1] = level and levels[math.max(1, math.min(#levels, level))] or " "
  end
  return table.concat(out)
end

-- Text without control characters, at most so many characters (not bytes) long.
local function cut(text, width)
  text = text:gsub("%c", "?")
  local out = {}
  for character in text:gmatch("[^\128-\191][\128-\191]*") do
    out[#out + 1] = character
  end
  if #out <= width then
    return table.concat(out), #out
  end
  return table.concat(out, "", 1, math.max(0, width)), math.max(0, width)
end

-- Where the n-th character begins.
local function utf8_offset(text, n)
  for at in text:gmatch("()[^\128-\191]") do
    n = n - 1
    if n == 0 then
      return at
    end
  end
  return #text + 1
end

-- The mount and its name. Where a screen is too narrow the beginning of the path goes, which says least.
local function heading(now, width)
  local name = (": %s"):format(now.name)
  local path, used = cut(now.mountpoint, math.huge)
  local _, name_used = cut(name, math.huge)
  local over = used + name_used - width
  if over > 0 then
    path = "…" .. path:sub(utf8_offset(path, over + 2))
  end
  return cut(path .. name, width)
end

-- ---- lines -----------------------------------------------------------------------------------------------------

local BESIDE_HEADING = 60 -- columns for the transport, workers and time

--- How wide a table is in which nothing has to be cut: at least `width`.
function view.natural_width(now, width)
  return math.max(width, #now.mountpoint + #now.name + BESIDE_HEADING)
end

local function head_lines(now, rows, width)
  local sum = { rate = 0, error_rate = 0, bytes_in = 0, bytes_out = 0 }
  for _, row in ipairs(rows) do
    for field in pairs(sum) do
      sum[field] = sum[field] + row[field]
    end
  end
  local right = ("%s, %d worker%s, up %s"):format(now.transport, now.workers, now.workers == 1 and "" or "s",
    uptime_cell(now.uptime))
  local left, used = heading(now, width - #right - 2)
  local lua = now.lua
  return left .. (" "):rep(width - used - #right) .. right,
    ("%s/s, %s errors/s   in %s/s, out %s/s   in hand %d, most %d of %d"):format(rate_cell(sum.rate),
      rate_cell(sum.error_rate), bytes_cell(sum.bytes_in), bytes_cell(sum.bytes_out), now.held, now.most, now.depth),
    ("Lua %s in %d state%s, %s collections   JIT %s traces, %s aborts, %s flushes"):format(bytes_cell(lua.bytes),
      lua.states, lua.states == 1 and "" or "s", number_cell(lua.collections), number_cell(lua.traces),
      number_cell(lua.aborts), number_cell(lua.flushes))
end

-- What keys do; the order in use stands out where there is room for all.
local function key_line(current, width, style)
  local plain, styled = "q quit   sort by:", "q quit   sort by:"
  for _, order in ipairs(view.orders) do
    local word = ("%s %s"):format(order[1], order[2])
    plain, styled = plain .. "  " .. word, styled .. "  " .. (order == current and style("7", word) or word)
  end
  return #plain <= width and styled or (cut(plain, width))
end

local ROW = "%-18s %8s %8s %7s %8s %8s %8s"

--- The lines of the whole screen. state: { now = snapshot, rows (sorted), history = name → list, order, utf8, styled };
-- height: how many lines at most, nil for all, which leaves the line about keys out.
function view.lines(state, width, height)
  local style = function(code, text) return state.styled and ("\27[%sm%s\27[0m"):format(code, text) or text end
  local lines = { head_lines(state.now, state.rows, width) }
  for i = 1, #lines do
    lines[i] = cut(lines[i], width)
  end
  lines[1] = style("1", lines[1])
  lines[#lines + 1] = ""
  local title = cut(ROW:format("operation", "rate/s", "count", "errors", "p50", "p99", "max"), width)
  lines[#lines + 1] = state.styled and style("7", title .. (" "):rep(width - #title)) or title
  local room = height and height - #lines - 1 or math.huge
  for i = 1, math.min(#state.rows, room) do
    local row = state.rows[i]
    local text = ROW:format(row.name, rate_cell(row.rate), number_cell(row.count), number_cell(row.errors),
      time_cell(row.p50), time_cell(row.p99), time_cell(row.max))
    local line = cut(text, width)
    local history = state.history[row.name]
    if history and width > #text + 1 then
      line = line .. " " .. view.sparkline(history, width - #text - 1, state.utf8)
    end
    lines[#lines + 1] = row.rate > 0 and line or style("2", line)
  end
  if height then
    for i = #lines + 1, height - 1 do
      lines[i] = ""
    end
    lines[height] = key_line(state.order, width, style)
    for i = height + 1, #lines do
      lines[i] = nil
    end
  end
  return lines
end

return view
