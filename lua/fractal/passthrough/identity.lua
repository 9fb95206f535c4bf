--- Who acts on the source. A server that runs as root makes files as the caller of a request, so that they get the
-- caller's owner, group, quota and default rights; one that runs as an ordinary user acts as that user.
--
-- setfsuid(2), setfsgid(2) and capabilities(7) belong to a thread, and no function here waits, so no other request sees
-- the change.

local ffi = require "ffi"
local bit = require "bit"
local libc = require "fractal.libc"

local C = libc.C
local CAP_VERSION = 0x20080522
local CAP_FSETID = bit.lshift(1, 4)

local identity = {}

local own_uid, own_gid = C.geteuid(), C.getegid()
local is_root = own_uid == 0

local header = ffi.new("struct fractal_libc_cap_header", CAP_VERSION, 0)
local every_right = ffi.new("struct fractal_libc_cap_data[2]") -- what this process has
local without_setid = ffi.new("struct fractal_libc_cap_data[2]") -- all but keeping set-id bits

C.capget(header, every_right)
ffi.copy(without_setid, every_right, ffi.sizeof(every_right))
without_setid[0].effective = bit.band(every_right[0].effective, bit.bnot(CAP_FSETID))

local function as_before(ok, result, err)
  C.setfsuid(own_uid)
  C.setfsgid(own_gid)
  if not ok then
    error(result, 0)
  end
  return result, err
end

--- Calls fn(…) so that what it makes belongs to the caller of `req`. The rights stay root's: whether the caller may do
-- it, with all groups, the kernel has checked on the mount.
function identity.as_caller(req, fn, ...)
  if not is_root or (req.uid == own_uid and req.gid == own_gid) then
    return fn(...)
  end
  C.setfsgid(req.gid)
  C.setfsuid(req.uid)
  C.capset(header, every_right)
  return as_before(pcall(fn, ...))
end

local function with_every_right(ok, result, err)
  C.capset(header, every_right)
  if not ok then
    error(result, 0)
  end
  return result, err
end

--- Calls fn(…) so that what it changes loses set-user-ID and set-group-ID bits and file capabilities, as a change by
-- an ordinary user does.
function identity.killing_setid(fn, ...)
  if not is_root then
    return fn(...)
  end
  C.capset(header, without_setid)
  return with_every_right(pcall(fn, ...))
end

return identity
