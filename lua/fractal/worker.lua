--- `fractal.worker`: which worker this is, and calls of functions in other workers' states.
--
--     fractal.worker.id                       number of the worker that runs this code, from 0; nil outside the mount
--     fractal.worker.count                    how many there are
--     fractal.worker.register(name, fn)       in the script: makes fn known to calls, in every state
--     fractal.worker.call(id, name, …)        runs it as a task of that worker and waits for its results
--
-- Arguments and results are plain values, tables by value (nested, no functions). With a single state the function
-- runs in the same state, on the other worker's thread. An error in it is raised in the caller. Where the wait ends
-- early the call returns nil and E.INTR or E.CANCELED; the function runs on. From handlers and tasks, once the mount
-- answers.

local ffi = require "ffi"
local buffer = require "string.buffer"
require "fractal.cdef"
local log = require "fractal.log"
local session = require "fractal.session"
local task = require "fractal.task"

local C = ffi.C

local functions = {} -- name → function
local calls = {} -- number of a call → { io = what its caller waits for, answer = … }
local last_call = 0

local worker = {}

function worker.register(name, fn)
  if type(name) ~= "string" or type(fn) ~= "function" then
    error("fractal.worker.register takes a name and a function", 2)
  end
  functions[name] = fn
end

--- The script runs once more and registers its functions anew; until all have done so, those of before count, too.
-- Returns a function that goes back to them.
function worker.begin()
  local before = functions
  functions = setmetatable({}, { __index = before })
  return function()
    functions = before
  end
end

--- What is not registered any more goes.
function worker.keep()
  setmetatable(functions, nil)
end

local function send(to, message)
  local text = buffer.encode(message)
  return C.fractal_worker_send(to, text, #text)
end

function worker.call(id, name, ...)
  local here = C.fractal_worker_current()
  if here == nil or not session.pointer then
    error("fractal.worker.call is possible in handlers and tasks, once the mount answers", 2)
  end
  local target = type(id) == "number" and C.fractal_session_worker(session.pointer, id) or nil
  if target == nil then
    error(("there is no worker %s: they are 0 to %d"):format(tostring(id), worker.count - 1), 2)
  end
  last_call = last_call + 1
  local number, call = last_call, { io = task.new("fractal.worker.call") }
  local ok, rc = pcall(send, target, {
    call = number, from = worker.id, name = name, n = select("#", ...), values = { ... },
  })
  if not ok or rc < 0 then
    C.fractal_io_free(call.io)
    error(ok and "out of memory" or ("arguments of fractal.worker.call are plain values: " .. rc), 2)
  end
  calls[number] = call
  local result = task.wait(call.io)
  calls[number] = nil
  if result < 0 then
    return nil, -result
  elseif call.answer.err then
    error(call.answer.err, 0)
  end
  return unpack(call.answer.values, 1, call.answer.n)
end

local function pack(ok, ...)
  if not ok then
    return { err = tostring((...)) }
  end
  return { n = select("#", ...), values = { ... } }
end

--- Runs what another worker asked for and sends what came of it.
local function serve(message)
  local fn = functions[message.name]
  local answer
  if fn then
    answer = pack(xpcall(fn, debug.traceback, unpack(message.values, 1, message.n)))
  else
    answer = { err = ("no function %q: register it with fractal.worker.register where the script begins"):format(
      tostring(message.name)) }
  end
  answer.answer_to = message.call
  local target = C.fractal_session_worker(session.pointer, message.from)
  if not pcall(send, target, answer) then
    send(target, { answer_to = message.call, err = ("results of %q are no plain values"):format(message.name) })
  end
end

local function settle(message)
  local call = calls[message.answer_to]
  if call then -- else its caller has stopped waiting
    call.answer = message
    C.fractal_io_complete(call.io, 0)
  end
end

--- Takes the messages that came to this worker: calls, answers, and steps of a reload. Called by its drain loop.
function worker.deliver(pointer)
  local mail = C.fractal_worker_receive(pointer)
  while mail ~= nil do
    local ok, message = pcall(buffer.decode, ffi.string(mail.data, mail.len))
    local next_mail = mail.next
    C.fractal_mail_free(mail)
    if not ok then
      log.error("a message to this worker makes no sense: %s", message)
    elseif message.answer_to then
      settle(message)
    elseif message.order then
      task.spawn(require("fractal.reload").obey, message.order)
    else
      task.spawn(serve, message)
    end
    mail = next_mail
  end
end

return setmetatable(worker, {
  __index = function(_, name)
    local here = C.fractal_worker_current()
    if here == nil then
      return nil
    elseif name == "id" then
      return C.fractal_worker_id(here)
    elseif name == "count" then
      return C.fractal_session_workers(C.fractal_worker_session(here))
    end
  end,
})
