--- The session that this Lua state serves, once its workers have begun; what `fractal.notify`, `fractal.backing` and
-- `fractal.conn` act on.

local ffi = require "ffi"
require "fractal.cdef"
require "fractal.conn"

local C = ffi.C

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

--- `fractal.conn()`: the connection as it was negotiated, to be read only; nil before the mount answers.
function session.conn()
  if session.pointer then
    return C.fractal_session_conn(session.pointer)
  end
end

return session
