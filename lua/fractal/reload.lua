--- Exchanging the script of a mount that serves: what is done in each Lua state, step by step.
--
-- The command has tried the script in a state of its own; that one sends the steps to the states that serve, where they
-- run as tasks: `prepare` runs the script once more, `enter` lets it begin and exchanges the handlers. When every state
-- has done a step the next one follows; at the end `keep` ends what the old script had going, or `undo`, where a state
-- failed, goes back to it. What each came to is told by fractal_exchange_report() (bindings/exchange.h).

local ffi = require "ffi"
local bit = require "bit"
local buffer = require "string.buffer"
require "fractal.cdef"
local caps = require "fractal.caps"
local dispatch = require "fractal.dispatch"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local fold = require "fractal.fold"
local kept = require "fractal.kept"
local log = require "fractal.log"
local lowlevel = require "fractal.lowlevel"
local notify = require "fractal.notify"
local report = require "fractal.report"
local script = require "fractal.script"
local session = require "fractal.session"
local task = require "fractal.task"
local types = require "fractal.types"
local workers = require "fractal.worker"

ffi.cdef [[ void fractal_exchange_report(int ticket, bool ok); ]]

local C = ffi.C

local reload = {}

-- The reload under way: fs, conn, age; restore, a list of functions that put things back; before, the handlers that
-- served until it entered.
local candidate

-- in the state on trial -----------------------------------------------------------------------------------------------

--- Sends a step to a worker: { step, ticket, options, entry_ttl, attr_ttl, negative_ttl, speaks = does this one of
-- several states speak for all? }
function reload.send(pointer, order)
  local text = buffer.encode { order = order }
  if C.fractal_worker_send(ffi.cast("struct fractal_worker *", pointer), text, #text) < 0 then
    error("out of memory")
  end
end

-- in the states that serve --------------------------------------------------------------------------------------------

local steps = {}

function steps.prepare(order)
  fold.flush() -- what failed before is told anew
  candidate = { age = task.new_age(), restore = { kept.begin(), script.begin(), workers.begin() } }
  local fs, why = script.run_again()
  if not fs then
    return why
  elseif filesystem.kind(fs) ~= filesystem.kind(script.fs) then
    return "filesystems by inode and by path cannot take each other's place: that needs a remount"
  end
  for name, value in pairs(order.options) do
    fs.options[name] = value
  end
  candidate.fs = fs
end

--- The connection for `init` to look at and to choose ttls in.
local function connection(order)
  local conn = ffi.new("struct fractal_conn")
  ffi.copy(conn, session.conn(), ffi.sizeof(conn))
  conn.entry_ttl, conn.attr_ttl, conn.negative_ttl = order.entry_ttl, order.attr_ttl, order.negative_ttl
  return conn
end

--- Calls the script's reload(old, conn), or where it has none, its init(conn). Returns the reason it failed, if it did.
local function begin(fs, low, conn)
  local name = low.reload and "reload" or "init"
  local result, err
  if low.reload then
    result, err = low.reload(script.fs, conn)
  elseif low.init then
    result, err = low.init(conn)
  end
  if result == nil and err ~= nil then
    return ("%s returned %s"):format(name, errno.check(err) and errno.strerror(err) or tostring(err))
  end
end

--- Handlers without which a capability that the kernel was promised comes to nothing.
local PROMISED = { readdirplus = "readdirplus", posix_locks = "setlk", flock_locks = "flock" }

local function broken_promise(old, new)
  for capability, name in pairs(PROMISED) do
    if session.conn()[capability] and old[name] and not new[name] then
      return ("the kernel goes on to ask for %s, which the script had when it was mounted: leaving `%s` out needs "
        .. "a remount"):format(name, name)
    end
  end
end

function steps.enter(order)
  task.adopt(candidate.age)
  candidate.conn = connection(order)
  local low = filesystem.lowered(candidate.fs)
  local why = broken_promise(filesystem.lowered(script.fs), low) or begin(candidate.fs, low, candidate.conn)
  if why then
    return why
  end
  -- From here on nothing waits: no request is served by a part of each.
  candidate.before, candidate.old = dispatch.use(low), script.fs
  script.fs = candidate.fs
  report.serve(candidate.fs)
  candidate.age, task.age = task.age, candidate.age
  jit.flush() -- machine code of the old handlers
end

--- Goes back to the old script. Handlers of the new one that wait end as they are.
function steps.undo()
  if not candidate then
    return
  end
  if candidate.before then
    dispatch.use(candidate.before)
    script.fs = candidate.old
    report.serve(candidate.old)
    candidate.age, task.age = task.age, candidate.age
  end
  task.retire(candidate.age)
  for _, restore in ipairs(candidate.restore) do
    restore()
  end
  jit.flush() -- machine code that has looked into what is back
  if candidate.fs then
    filesystem.forget(candidate.fs)
  end
  candidate = nil
end

--- What the kernel was promised when it mounted, or believes since it was told ENOSYS, stays so.
local REMEMBERED = {
  "flush", "fsync", "fsyncdir", "setxattr", "getxattr", "listxattr", "removexattr", "access", "create", "poll",
  "fallocate", "rename2", "lseek", "copy_file_range", "tmpfile", "statx", "syncfs", "bmap",
}

local function warn_of_remembered(old, new)
  local opcodes, stats = {}, ffi.new("struct fractal_op_stats")
  for opcode, row in pairs(types.rows) do
    opcodes[row.name] = opcode
  end
  for _, name in ipairs(REMEMBERED) do
    C.fractal_session_stats(session.pointer, opcodes[name], stats)
    if stats.count > 0 and lowlevel.has_handler(new, name) and not lowlevel.has_handler(old, name) then
      log.warn("the kernel was told that there is no %s, and remembers it: `%s` needs a remount", name, name)
    end
  end
end

local function warn_of_capabilities(chosen)
  for _, cap in ipairs(caps) do
    local mask = bit.lshift(1ULL, cap.bit)
    if cap.default ~= "CORE" and bit.band(bit.bxor(chosen.wanted, session.conn().wanted), mask) ~= 0ULL then
      log.warn("%s was chosen in another way than at the mount: that needs a remount", cap.option)
    end
  end
end

--- The new script serves in every state.
function steps.keep(order)
  local conn = candidate.conn
  if order.speaks then
    C.fractal_session_set_ttls(session.pointer, conn.entry_ttl, conn.attr_ttl, conn.negative_ttl)
    warn_of_capabilities(conn)
    warn_of_remembered(candidate.before, filesystem.lowered(script.fs))
    notify.inc_epoch() -- names are looked up anew, where the kernel can
  end
  task.retire(candidate.age)
  workers.keep()
  filesystem.forget(candidate.old)
  candidate = nil
end

--- Does a step and reports. Runs as a task.
function reload.obey(order)
  local ok, why = xpcall(steps[order.step], report.catch, order)
  if not ok then
    report.caught("the script that is reloaded", why)
  elseif why then
    log.error("%s", why)
  end
  C.fractal_exchange_report(order.ticket, ok and not why)
end

return reload
