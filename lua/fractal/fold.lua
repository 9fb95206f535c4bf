--- Messages that come again and again are written once and counted: "… the same 812 times more".
--
--     if not fold.again(key) then
--       fold.begin(key, "read at fs.lua:12")
--       log.error(…)
--     end
--
-- The count is written after a second without the message, every 10 s while it goes on, and at the end of the mount.
-- After a minute without it the message is new again. Each Lua state counts on its own.

local ffi = require "ffi"
require "fractal.cdef"
local log = require "fractal.log"
local task = require "fractal.task"

local C = ffi.C

local fold = {}

local QUIET = 1 -- seconds without the message, after which its count is written
local PERIOD = 10 -- seconds between counts while it goes on
local FORGET = 60 -- seconds without the message, after which it is new
local LIMIT = 256 -- different messages that are kept in mind

local kept, size = {}, 0 -- key → { label, count, since, last }
local timing = false -- does a task write the counts?

local function write_count(entry, now)
  log.error("… the same %d time%s more: %s", entry.count, entry.count == 1 and "" or "s", entry.label)
  entry.count, entry.since = 0, now
end

--- Writes the counts that are due. Returns whether any is left.
local function write_due(now)
  local left = false
  for key, entry in pairs(kept) do
    if entry.count > 0 and (now - entry.last >= QUIET or now - entry.since >= PERIOD) then
      write_count(entry, now)
    elseif now - entry.last >= FORGET then
      kept[key], size = nil, size - 1
    end
    left = left or entry.count > 0
  end
  return left
end

--- Waits on the worker's ring. False where that is not possible, or the mount ends.
local function pause(seconds)
  local io = task.new("sleep")
  local rc = C.fractal_io_sleep(io, seconds)
  if rc < 0 then
    C.fractal_io_free(io)
    return false
  end
  return task.wait(io) >= 0
end

local function write_in_time()
  while pause(QUIET) do
    if not write_due(task.now()) then
      timing = false
      return
    end
  end
  -- `timing` stays set where nothing can wait: counts are then written when the message comes again, and at the end.
end

--- Was this message written before? Then it is counted.
function fold.again(key)
  local entry = kept[key]
  if not entry then
    return false
  end
  local now = task.now()
  if now - entry.last >= FORGET then
    return false
  end
  entry.count, entry.last = entry.count + 1, now
  if now - entry.since >= PERIOD then
    write_count(entry, now)
  elseif not timing and C.fractal_worker_current() ~= nil then
    timing = true
    task.spawn_apart(write_in_time)
  end
  return true
end

--- The message is about to be written. `label` names it beside its count.
function fold.begin(key, label)
  local now = task.now()
  if size >= LIMIT then
    fold.flush()
  end
  if not kept[key] then
    size = size + 1
  elseif kept[key].count > 0 then
    write_count(kept[key], now)
  end
  kept[key] = { label = label, count = 0, since = now, last = now }
end

--- Writes every count and forgets all messages.
function fold.flush()
  for _, entry in pairs(kept) do
    if entry.count > 0 then
      write_count(entry, 0)
    end
  end
  kept, size = {}, 0
end

return fold
