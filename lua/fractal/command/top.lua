--- `fractal-lua top`: what a running mount does, as a table that is drawn again and again.

local ffi = require "ffi"
local libc = require "fractal.libc"
local mounts = require "fractal.top.mounts"
local terminal = require "fractal.terminal"
local tool = require "fractal.tool"
local view = require "fractal.top.view"

local MAX_HISTORY = 500
local MIN_INTERVAL, MAX_INTERVAL = 0.1, 30 -- the server measures for a minute after each look
local CLOCK_MONOTONIC = 1
local CTRL_C = "\3"

local function clock()
  local t = ffi.new("struct fractal_libc_timespec")
  libc.C.clock_gettime(CLOCK_MONOTONIC, t)
  return tonumber(t.sec) + tonumber(t.nsec) / 1e9
end

local function pause(seconds)
  libc.C.poll(nil, 0, seconds * 1000)
end

-- The mount that was named, or the only one there is.
local function choose(path)
  if path then
    local mount, why = mounts.find(path)
    return mount or tool.fail("%s", why)
  end
  local list = mounts.list()
  if #list == 0 then
    tool.fail("no fractal-lua of this user serves a mount")
  elseif #list > 1 then
    local names = {}
    for i, mount in ipairs(list) do
      names[i] = mount.mountpoint
    end
    tool.refuse("there are several mounts, name one: %s", table.concat(names, " "))
  end
  return list[1]
end

-- Takes the next snapshot into the state; false when the mount does not answer any more.
local function look(state, mount)
  local before = state.now
  state.now = mounts.read(mount)
  if not state.now then
    return false
  end
  state.rows = view.rows(before or state.now, state.now)
  view.sort(state.rows, state.order)
  for _, row in ipairs(state.rows) do
    local history = state.history[row.name] or {}
    for i = #history + 1, state.looks do -- when it had not come yet
      history[i] = false
    end
    history[#history + 1] = row.p99 or false
    if #history > MAX_HISTORY then
      table.remove(history, 1)
    end
    state.history[row.name] = history
  end
  state.looks = math.min(state.looks + 1, MAX_HISTORY - 1)
  return true
end

-- Acts on a key; false when it ends the program.
local function take_key(state, key)
  for _, order in ipairs(view.orders) do
    if key == order[1] then
      state.order = order
      view.sort(state.rows, order)
    end
  end
  return not (key == "q" or key == "end" or key == CTRL_C)
end

-- Draws until a key or a signal ends it, or the mount. Returns whether the mount is still there.
local function live(state, mount, screen, interval)
  local due = clock()
  while true do
    if clock() >= due then
      if not look(state, mount) then
        return false
      end
      due = clock() + interval
    end
    local columns, rows = screen:size()
    screen:draw(view.lines(state, columns, rows))
    local key = screen:wait(due - clock())
    if key and not take_key(state, key) then
      return true
    end
  end
end

local function once(state, mount, interval)
  if not look(state, mount) then
    tool.fail("the mount at %s does not answer", mount.mountpoint)
  end
  pause(interval)
  if not look(state, mount) then
    tool.fail("the mount at %s has ended", mount.mountpoint)
  end
  state.history = {}
  io.write(table.concat(view.lines(state, view.natural_width(state.now, 80)), "\n"), "\n")
end

local function run(options, words)
  local interval = options.interval
  if not (interval >= MIN_INTERVAL and interval <= MAX_INTERVAL) then
    tool.refuse("--interval %s: choose %g to %g seconds", interval, MIN_INTERVAL, MAX_INTERVAL)
  end
  local mount = choose(words[1])
  local state = { order = view.orders[1], looks = 0, history = {}, utf8 = terminal.is_utf8() }
  if options.once then
    return once(state, mount, interval)
  end
  local screen = terminal.open() or tool.fail("standard input and output are no terminal: use --once")
  state.styled = true
  local ok, result = xpcall(live, debug.traceback, state, mount, screen, interval)
  screen:close()
  if not ok then
    error(result, 0)
  elseif not result then
    io.write(("the mount at %s has ended\n"):format(mount.mountpoint))
  end
end

return {
  summary = "watch a running mount: rates, errors and latencies of its operations",
  usage = "[MOUNTPOINT] [options]",
  text = "Shows what a running mount of this user does. Without MOUNTPOINT, the only one there is.\n" ..
    "Keys: q ends it; r, c, e, l sort by rate, count, errors, latency.",
  options = {
    { "interval", short = "i", value = "SECONDS", number = true, default = 1, help = "between two looks" },
    { "once", short = "1", help = "look twice, print one table, and end" },
  },
  words = { 0, 1 },
  run = run,
}
