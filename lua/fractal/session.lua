--- The session that this Lua state serves, once its workers have begun; what `fractal.notify`, `fractal.backing` and
-- `fractal.conn` act on.

local ffi = require "ffi"
require "fractal.cdef"
require "fractal.conn"
local log = require "fractal.log"

local C = ffi.C

-- What is done once in a session; opcodes lie below.
local ONCE_STOP = 62

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
