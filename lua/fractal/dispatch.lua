--- The drain loop: pulls requests until none waits, and gives each to its operation's serve function.
--
-- The loop, the pull, the handler and the reply compile to machine code together; nothing here allocates on the steady
-- path. No protected call surrounds a handler, since side traces would not compile through its return: an error ends
-- the coroutine, the worker reports it and goes on with a fresh one.

local ffi = require "ffi"
local errno = require "fractal.errno"
local log = require "fractal.log"
local lowlevel = require "fractal.lowlevel"
local notify = require "fractal.notify"
local session = require "fractal.session"
local task = require "fractal.task"
local types = require "fractal.types"
local view = require "fractal.view"
local messages = require "fractal.worker"

local C, yield = ffi.C, coroutine.yield

local dispatch = {}

--- What a user tried that failed for want of a handler, by operation.
local wanted_by = {
  lookup = "any access by name needs `lookup`",
  getattr = "stat and ls need `getattr`",
  setattr = "chmod, chown, truncate and touch on an existing file need `setattr`",
  readlink = "reading a symbolic link needs `readlink`",
  symlink = "ln -s needs `symlink`",
  mknod = "touch and creating a file need `create` or `mknod`",
  mkdir = "mkdir needs `mkdir`",
  unlink = "rm needs `unlink`",
  rmdir = "rmdir needs `rmdir`",
  rename2 = "mv needs `rename`",
  link = "ln needs `link`",
  read = "reading a file needs `read`",
  write = "writing a file needs `write`",
  readdir = "listing a directory needs `readdir`",
  setxattr = "setting extended attributes needs `setxattr`",
  fallocate = "fallocate needs `fallocate`",
}

-- No tail call: this function's own frame is the one that level 2 leaves out.
--- The operation has no handler: the documented answer, and a hint once per mount.
local function without_handler(row)
  local default = C.fractal_op_default(row.opcode)
  return function(_, _, req)
    C.fractal_reply(req, default)
    if default ~= 0 and wanted_by[row.name]
      and C.fractal_session_first(C.fractal_worker_session(req.worker), row.opcode) then
      log.warn("%s; the caller got %s", wanted_by[row.name], errno.name(-default))
    end
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

--- A handler raised an error, which ended its coroutine: logs the traceback, and the caller gets EIO.
function dispatch.failed(pointer, traceback)
  local req = ffi.cast("struct fractal_request *", pointer)
  log.error("error in %s (pid %d):\n%s", log.request(req), req.pid, traceback)
  C.fractal_reply(req, -errno.E.IO)
end

local contexts = {} -- worker's id → what its drains share

--- Reusable objects of a worker's requests, and the serve functions. `lane` goes to the serve functions.
local function context_of(fs, worker)
  local id = C.fractal_worker_id(worker)
  if not contexts[id] then
    local slots = {}
    for i = 0, C.fractal_worker_slots(worker) - 1 do
      slots[i] = lowlevel.slot(C.fractal_worker_request(worker, i))
    end
    contexts[id] = { slots = slots, serve = serve_table(fs), lane = { view = view.ring(worker) } }
  end
  return contexts[id]
end

--- Runs for ever in a coroutine of a worker; yields once it is ready, and whenever no request waits. Where a handler
-- waits, the loop waits with it, and another one serves meanwhile.
function dispatch.drain(fs, pointer)
  local worker = ffi.cast("struct fractal_worker *", pointer)
  local context = context_of(fs, worker)
  local slots, serve, lane = context.slots, context.serve, context.lane
  local retrieved, mail = C.fractal_worker_retrieved(worker), C.fractal_worker_mail(worker)
  session.attach(worker)
  task.adopt()
  yield()
  -- One loop, in which no pointer lives from one round to the next: the first round that is compiled closes it,
  -- whatever operation that is, and handing over to another trace allocates nothing.
  while true do
    local index = C.fractal_next_slot(worker)
    if index >= 0 then
      local slot = slots[index]
      local req = slot.req
      serve[req.opcode](fs, slot, req, lane)
    -- Both are looked at behind fractal_next_slot(), which takes the wake-ups that told of them.
    elseif retrieved[0] ~= nil then
      notify.deliver(worker, debug.traceback)
    elseif mail[0] ~= nil then
      messages.deliver(worker)
    else
      yield()
    end
  end
end

return dispatch
