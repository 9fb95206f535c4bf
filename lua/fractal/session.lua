--- The session that this Lua state serves, once its workers have begun; what `fractal.notify`, `fractal.backing` and
-- `fractal.conn` act on.

local ffi = require "ffi"
require "fractal.cdef"
require "fractal.conn"
local errno = require "fractal.errno"
local log = require "fractal.log"

local C = ffi.C

-- What is said or done once in a session; opcodes lie below.
local ONCE_STOP, ONCE_NO_RING = 62, 63

local session = {
  pointer = nil, -- struct fractal_session *
  worker = nil,  -- the worker that answers meant for this state come to
}

--- A worker begins to serve with this state.
function session.attach(worker)
  session.worker = worker
  session.pointer = C.fractal_worker_session(worker)
end

--- The mount has ended.
function session.detach()
  session.worker, session.pointer = nil, nil
end

--- Says once why nothing can wait on a ring, where the outcome of an operation is that.
function session.explain_no_ring(rc)
  local worker = C.fractal_worker_current()
  if rc == -errno.E.NOSYS and C.fractal_session_first(C.fractal_worker_session(worker), ONCE_NO_RING) then
    log.warn("fractal.io and timers need io_uring, which is not allowed here: they return nil, E.NOSYS "
      .. "(sysctl kernel.io_uring_disabled=0 allows it)")
  end
end

--- `fractal.stop([reason])`: ends the mount as Ctrl-C does, from a handler, a task or init. Returns at once.
function session.stop(reason)
  local worker = C.fractal_worker_current()
  if worker == nil then
    error("fractal.stop is possible in handlers, init and tasks only", 2)
  end
  local pointer = C.fractal_worker_session(worker)
  if C.fractal_session_first(pointer, ONCE_STOP) then
    log.info("the script stops the mount%s", reason and ": " .. tostring(reason) or "")
    C.fractal_session_stop(pointer)
  end
end

--- `fractal.conn()`: the connection as it was negotiated, to be read only; nil before the mount answers.
function session.conn()
  if session.pointer then
    return C.fractal_session_conn(session.pointer)
  end
end

return session
