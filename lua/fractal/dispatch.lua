--- The drain loop: pulls requests until none waits, and gives each to its operation's serve function.
--
-- The loop, the pull, the handler and the reply compile to machine code together; nothing here allocates on the steady
-- path. No protected call surrounds a handler, since side traces would not compile through its return: an error ends
-- the coroutine, the worker reports it and goes on with a fresh one.

local ffi = require "ffi"
local lowlevel = require "fractal.lowlevel"
local notify = require "fractal.notify"
local report = require "fractal.report"
local session = require "fractal.session"
local task = require "fractal.task"
local types = require "fractal.types"
local view = require "fractal.view"
local messages = require "fractal.worker"

local C, yield, tobit = ffi.C, coroutine.yield, require("bit").tobit
local next_slot = C.fractal_next_slot -- the loop's first constant: what it loads from then on is loaded once

local dispatch = {}

--- The operation has no handler: the documented answer, and a hint once per mount.
local function without_handler(row)
  local default = C.fractal_op_default(row.opcode)
  return function(_, _, req)
    report.without_handler(row, req, default) -- first: it may look at the request
    C.fractal_reply(req, default)
  end
end

--- serve function by opcode; where there is no handler the default answers.
local function serve_table(fs)
  local by_opcode = {}
  for opcode, row in pairs(types.rows) do
    local serve, default = lowlevel.serve[row.name], without_handler(row)
    local present = serve and lowlevel.has_handler(fs, row.name)
    by_opcode[opcode] = present and serve or default
  end
  return by_opcode
end
dispatch.serve_table = serve_table

local contexts = {} -- worker's id → what its drains share

--- What every drain of this state serves with, read for each request.
local current = { fs = nil, serve = nil }

--- From the next request on, of every worker, these low-level handlers serve. Returns those that did so far.
function dispatch.use(fs)
  local before = current.fs
  current.fs, current.serve = fs, serve_table(fs)
  return before
end

--- Reusable objects of a worker's requests. `lane` goes to the serve functions.
local function context_of(worker)
  local id = C.fractal_worker_id(worker)
  if not contexts[id] then
    local slots = {}
    for i = 0, C.fractal_worker_slots(worker) - 1 do
      slots[i] = lowlevel.slot(C.fractal_worker_request(worker, i))
    end
    contexts[id] = { slots = slots, lane = { view = view.ring(worker) } }
  end
  return contexts[id]
end

--- Runs for ever in a coroutine of a worker; yields once it is ready, and whenever no request waits. Where a handler
-- waits, the loop waits with it, and another one serves meanwhile.
function dispatch.drain(pointer)
  local worker = ffi.cast("struct fractal_worker *", pointer)
  local context = context_of(worker)
  local slots, lane = context.slots, context.lane
  local retrieved, mail = C.fractal_worker_retrieved(worker), C.fractal_worker_mail(worker)
  session.attach(worker)
  task.adopt()
  yield()
  -- One loop, in which no pointer lives from one round to the next: the first round that is compiled closes it,
  -- whatever operation that is, and handing over to another trace allocates nothing.
  while true do
    local index = next_slot(worker)
    if index >= 0 then
      local slot = slots[index]
      local req = slot.req
      current.serve[tobit(req.opcode)](current.fs, slot, req, lane) -- as an integer, where a uint32_t would be a double
    -- Both are looked at behind fractal_next_slot(), which takes the wake-ups that told of them.
    elseif retrieved[0] ~= nil then
      notify.deliver(worker)
    elseif mail[0] ~= nil then
      messages.deliver(worker)
    else
      yield()
    end
  end
end

return dispatch
