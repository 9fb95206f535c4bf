--- `fractal.backing`: kernel passthrough. The kernel reads, writes and maps an open file itself, without the script.
--
--     function fs.open(req, ino, open)
--       open.backing_id = backing.of(ino) or backing.open(fd, ino) -- a descriptor of a regular file
--     end
--
--     backing.open(fd, ino)   → id, or nil and an errno: E.PERM without CAP_SYS_ADMIN, E.OPNOTSUPP where the capability
--                             `passthrough` was not negotiated, E.LOOP where the file's filesystem is itself a stacked
--                             one. All files of an inode that are open at a time must use one id; so where the inode
--                             has one by now, it is that. Without ino it is a new one.
--     backing.of(ino)         → the id that open files of the inode use, or nil
--     backing.close(id)       → true, or nil and an errno
--
-- The library closes an id when the last open file that it was given to is released. Only an id that came into no open
-- reply has to be closed with backing.close; files that are open with an id that is closed go on. The descriptor may be
-- closed as soon as it has been given.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"
local session = require "fractal.session"

local C, E = ffi.C, errno.E

local backing = {}

function backing.open(fd, ino)
  if type(fd) ~= "number" then
    error(("backing.open takes a file descriptor, not a %s"):format(type(fd)), 2)
  elseif not session.pointer then
    return nil, E.NOTCONN
  end
  local id
  if ino then
    id = C.fractal_backing_share(session.pointer, ino, fd)
  else
    id = C.fractal_backing_open(session.pointer, fd)
  end
  if id < 0 then
    return nil, -id
  end
  return id
end

function backing.of(ino)
  if type(ino) ~= "number" then
    error(("backing.of takes an inode number, not a %s"):format(type(ino)), 2)
  elseif not session.pointer then
    return nil
  end
  local id = C.fractal_backing_claim(session.pointer, ino)
  return id > 0 and id or nil
end

function backing.close(id)
  if type(id) ~= "number" then
    error(("backing.close takes an id, not a %s"):format(type(id)), 2)
  elseif not session.pointer then
    return nil, E.NOTCONN
  end
  local rc = C.fractal_backing_close(session.pointer, id)
  if rc < 0 then
    return nil, -rc
  end
  return true
end

return backing
