--- Waiting without blocking: coroutines that leave their worker to others until an operation is done.
--
--     fractal.spawn(fn, …)            runs fn as a task of its own
--     fractal.every(seconds, fn)      runs fn again and again; returns an object with :cancel()
--     fractal.timeout(seconds, fn)    runs fn once, later; returns an object with :cancel()
--     fractal.mutex()                 :lock() → true or nil, err · :unlock() · :with(fn, …)
--     fractal.semaphore(n)            :acquire() → true or nil, err · :release()
--     fractal.queue()                 :put(value) · :get([timeout]) → value or nil, err
--     fractal.wait_all { fn, … }      runs all at once, returns a list of their first results when all have ended
--
-- A handler runs in a coroutine of the library. When it waits, that coroutine, with the loop that called the handler,
-- yields to the worker, which takes another one for the next request. The table `waiting` tells the worker which
-- coroutine goes on when an operation is done.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"
local view = require "fractal.view"

ffi.cdef [[
struct fractal_timespec { int64_t sec, nsec; };
int fractal_clock_gettime(int clock, struct fractal_timespec *now) __asm__("clock_gettime");
]]

local C, running, yield = ffi.C, coroutine.running, coroutine.yield
local LATE_WAITS = 100 -- so often a task may still wait when its age is over, to clean up

local task = {}

local weak = { __mode = "k" }

--- An age lasts from one reload of the script to the next. What runs in it by itself (repeated timers, tasks and timers
-- of `init`) ends with it; what a request has begun belongs to no age, and ends when it is done.
local function new_age()
  return { over = false, timers = setmetatable({}, weak), waits = {}, late = setmetatable({}, weak) }
end

local REQUEST = new_age() -- never over
task.age = new_age() -- of the script that serves
task.new_age = new_age

local waiting = {} -- tag → coroutine
-- tag → what the kernel still reads or writes; kept here only to be kept
local anchors = {} -- luacheck: ignore 241
-- Coroutines that may wait, each with the age it belongs to: see task.age.
local own = setmetatable({}, { __mode = "k" })
local last_tag, spare_tags = 0, {}

task.waiting = waiting

local CLOCK_MONOTONIC = 1
local timespec = ffi.new("struct fractal_timespec")

--- Seconds on a clock that only goes forward.
function task.now()
  C.fractal_clock_gettime(CLOCK_MONOTONIC, timespec)
  return tonumber(timespec.sec) + tonumber(timespec.nsec) / 1e9
end

--- Marks the running coroutine as one that the worker resumes. Without an age: to serve requests.
function task.adopt(age)
  own[running()] = age or REQUEST
end

--- A tag that nobody waits with. Used ones come again first, which keeps the tables by tag small.
local function take_tag()
  local n = #spare_tags
  if n > 0 then
    local tag = spare_tags[n]
    spare_tags[n] = nil
    return tag
  end
  last_tag = last_tag + 1
  return last_tag
end

local function free_tag(tag)
  anchors[tag] = nil
  spare_tags[#spare_tags + 1] = tag
end

--- A new operation on the worker that runs this code. Raises where nothing may wait.
function task.new(what)
  local worker = C.fractal_worker_current()
  if worker == nil then
    error((what or "waiting") .. " is possible in handlers, init and tasks only", 3)
  elseif not own[running() or false] then
    error((what or "waiting") .. " is not possible inside a coroutine of your own: use fractal.spawn", 3)
  end
  local io = C.fractal_io_new(worker)
  if io == nil then
    error("out of memory", 3)
  end
  return io
end

--- A wait of a coroutine whose age is over ends at once; one that goes on waiting all the same is left for ever.
local function wait_late(co, age, io, tag)
  age.late[co] = (age.late[co] or 0) + 1
  if age.late[co] > LATE_WAITS then
    waiting[tag] = coroutine.create(function()
      free_tag(tag)
      C.fractal_io_free(io)
    end)
  end
  C.fractal_io_cancel(io, errno.E.CANCELED)
end

--- Notes what a task of an age waits for, or that it waits no more.
local function note_wait(co, io)
  local age = own[co]
  if age ~= REQUEST then
    age.waits[co] = io
  end
  return age
end

--- Waits until the operation is done and frees it. Returns what it ended with: >= 0, or -errno. `anchor` is kept alive
-- until then.
function task.wait(io, anchor)
  local tag, co = take_tag(), running()
  if io.req ~= nil then
    view.keep(io.req)
  end
  waiting[tag], anchors[tag] = co, anchor
  io.tag = tag
  C.fractal_io_wait(io)
  local age = note_wait(co, io)
  if age.over then
    wait_late(co, age, io, tag)
  end
  yield(true)
  note_wait(co, nil)
  free_tag(tag)
  local result = io.result
  C.fractal_io_free(io)
  return result
end

--- Waits for an operation that was started with this outcome; one that could not be started is freed.
function task.finish(io, rc, anchor)
  if rc < 0 then
    C.fractal_io_free(io)
    return rc
  end
  return task.wait(io, anchor)
end

-- tasks ---------------------------------------------------------------------------------------------------------

--- Runs fn(…) as a task of this age.
local function spawn_in(age, fn, ...)
  local worker = C.fractal_worker_current()
  if worker == nil then
    error("spawn is possible in handlers, init and tasks only", 3)
  end
  local n, args = select("#", ...), { ... }
  local io, tag = C.fractal_io_new(worker), take_tag()
  io.req = nil
  waiting[tag] = coroutine.create(function()
    free_tag(tag)
    C.fractal_io_free(io)
    return fn(unpack(args, 1, n))
  end)
  own[waiting[tag]] = age
  io.tag = tag
  C.fractal_io_complete(io, 0)
end

--- The age of what the running code begins.
local function age_here()
  return own[running() or false] or REQUEST
end

--- Runs fn(…) as a task on this worker, soon. An error in it is logged with its traceback.
function task.spawn(fn, ...)
  spawn_in(age_here(), fn, ...)
end

--- The same for a task of the library's own, which no reload of the script ends.
function task.spawn_apart(fn, ...)
  spawn_in(REQUEST, fn, ...)
end

--- Sleeps. Returns true, or nil and E.INTR, E.CANCELED.
function task.sleep(seconds)
  local io = task.new("sleep")
  local result = task.finish(io, C.fractal_io_sleep(io, seconds))
  if result < 0 then
    return nil, -result
  end
  return true
end

local timer = {}
timer.__index = timer

--- No further run of fn begins.
function timer:cancel()
  self.cancelled = true
  if self.io ~= nil then
    C.fractal_io_cancel(self.io, errno.E.CANCELED)
  end
end

local function timer_sleep(self, seconds)
  if self.cancelled then
    return false
  end
  local io = task.new("sleep")
  self.io = io
  local result = task.finish(io, C.fractal_io_sleep(io, seconds))
  self.io = nil
  return result >= 0 and not self.cancelled
end

--- Runs fn(…) and reports an error in it. Returns what xpcall does.
local function guarded(what, fn)
  local report = require "fractal.report" -- which needs this module for its own timer
  local ok, result = xpcall(fn, report.catch)
  if not ok then
    report.caught(what, result)
  end
  return ok, result
end

function task.timeout(seconds, fn)
  local self = setmetatable({}, timer)
  spawn_in(age_here(), function()
    if timer_sleep(self, seconds) then
      guarded("a function of fractal.timeout", fn)
    end
  end)
  return self
end

function task.every(seconds, fn)
  local self, age = setmetatable({}, timer), age_here()
  if age == REQUEST then
    age = task.age
  end
  age.timers[self] = true
  spawn_in(REQUEST, function()
    while timer_sleep(self, seconds) do
      guarded("a function of fractal.every", fn)
    end
  end)
  return self
end

--- Ends an age: its repeated timers begin no further run, and what its tasks wait for ends with E.CANCELED.
function task.retire(age)
  age.over = true
  for self in pairs(age.timers) do
    self:cancel()
  end
  for _, io in pairs(age.waits) do
    C.fractal_io_cancel(io, errno.E.CANCELED)
  end
end

-- ordering ------------------------------------------------------------------------------------------------------

-- What follows has no loops and makes no closures where tasks hand over to each other, so that this compiles with the
-- code around it.

local function ring_after(seconds, io)
  return task.timeout(seconds, function()
    C.fractal_io_complete(io, -errno.E.TIMEDOUT)
  end)
end

local function leave(list, io)
  for i, other in ipairs(list) do
    if other == io then
      table.remove(list, i)
      return
    end
  end
end

--- Waits in a list until another task wakes it. Returns the result it was woken with.
local function wait_in(list, seconds)
  local io = task.new("waiting")
  list[#list + 1] = io
  local alarm = seconds and ring_after(seconds, io)
  local result = task.wait(io)
  if alarm then
    alarm:cancel()
  end
  if result < 0 then
    leave(list, io)
  end
  return result
end

--- Wakes the first that still waits; one that an interrupt or time-out has ended is passed over.
local function wake_first(list)
  if not list[1] then
    return false
  end
  return C.fractal_io_complete(table.remove(list, 1), 0) or wake_first(list)
end

local semaphore = {}
semaphore.__index = semaphore

--- Takes one of n places, waiting for it in order. Returns true, or nil and E.INTR, E.CANCELED.
function semaphore:acquire()
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  local result = wait_in(self.waiters) -- then the place is handed over
  if result < 0 then
    return nil, -result
  end
  return true
end

function semaphore:release()
  if not wake_first(self.waiters) then
    self.free = self.free + 1
  end
end

function task.semaphore(n)
  return setmetatable({ free = n or 1, waiters = {} }, semaphore)
end

local mutex = {}
mutex.__index = mutex

function mutex:lock()
  return self.place:acquire()
end

function mutex:unlock()
  self.place:release()
end

--- Runs fn(…) under the lock, which is given back also when it raises.
function mutex:with(fn, ...)
  local ok, err = self:lock()
  if not ok then
    return nil, err
  end
  local results = { pcall(fn, ...) }
  self:unlock()
  if not results[1] then
    error(results[2], 0)
  end
  return unpack(results, 2, table.maxn(results))
end

function task.mutex()
  return setmetatable({ place = task.semaphore(1) }, mutex)
end

local queue = {}
queue.__index = queue

function queue:put(value)
  self.last = self.last + 1
  self.values[self.last] = value
  wake_first(self.waiters)
end

--- The oldest value, waiting for one. Returns nil and E.TIMEDOUT, E.INTR or E.CANCELED where none came.
function queue:get(seconds)
  local first = self.first
  if first > self.last then
    local result = wait_in(self.waiters, seconds)
    if result < 0 then
      return nil, -result
    end
    return self:get(seconds) -- another task may have been quicker
  end
  local value = self.values[first]
  self.values[first] = nil
  if first == self.last then
    self.first, self.last = 1, 0 -- small numbers keep the table an array
  else
    self.first = first + 1
  end
  return value
end

function task.queue()
  return setmetatable({ first = 1, last = 0, values = {}, waiters = {} }, queue)
end

function task.wait_all(list)
  local results, left, waiters = {}, #list, {}
  for i, fn in ipairs(list) do
    task.spawn(function()
      local ok, value = guarded("a function of fractal.wait_all", fn)
      if ok then
        results[i] = value
      end
      left = left - 1
      if left == 0 then
        wake_first(waiters)
      end
    end)
  end
  if left > 0 then
    local result = wait_in(waiters)
    if result < 0 then
      return nil, -result
    end
  end
  return results
end

return task
