--- How `fractal.io` runs its operations, and which runs where.
--
-- Most are requests to the worker's io_uring. What io_uring has no request for is a system call on one of a few
-- threads of the session, and so is everything where io_uring is forbidden, or where this kernel's lacks the request:
-- libfractal sees to that (fractal_io_start, fractal_io_call).

local ffi = require "ffi"
require "fractal.cdef"
local task = require "fractal.task"

local C = ffi.C
local NO_TIMEOUT = -1

local calls = {}

--- IORING_OP_* of io_uring_enter(2).
calls.OP = {
  READV = 1, WRITEV = 2, FSYNC = 3, POLL_ADD = 6, SYNC_FILE_RANGE = 8, TIMEOUT = 11, ACCEPT = 13, CONNECT = 16,
  FALLOCATE = 17, OPENAT = 18, CLOSE = 19, STATX = 21, READ = 22, WRITE = 23, SEND = 26, RECV = 27, OPENAT2 = 28,
  SPLICE = 30, SHUTDOWN = 34, RENAMEAT = 35, UNLINKAT = 36, MKDIRAT = 37, SYMLINKAT = 38, LINKAT = 39, SOCKET = 45,
  FTRUNCATE = 55,
}

--- Where each function of fractal.io runs: "ring"; "thread", since io_uring has no such request; "here", since it does
-- not wait. Those that are made of several run where these do. docs/waiting.md shows this table, and a spec compares
-- both.
calls.WHERE = {
  accept = "ring", chmod = "thread", close = "ring", connect = "ring", copy_file_range = "thread", fallocate = "ring",
  fchmod = "thread", fchmodat = "thread", fchownat = "thread", fdatasync = "ring", fsync = "ring", ftruncate = "ring",
  getxattr = "thread", linkat = "ring", listen = "here", listxattr = "thread", lseek = "thread", mkdir = "ring",
  mkdirat = "ring", mknodat = "thread", now = "here", open = "ring", openat = "ring", openat2 = "ring", poll = "ring",
  read = "ring", readdir = "thread", readlink = "thread", readlinkat = "thread", readv = "ring", recv = "ring",
  removexattr = "thread", rename = "ring", renameat = "ring", resolve = "thread", rmdir = "ring", send = "ring",
  setxattr = "thread", shutdown = "ring", sleep = "ring", socket = "ring", splice = "ring", stat = "ring",
  statvfs = "thread", statx = "ring", symlinkat = "ring", sync_file_range = "ring", syncfs = "thread",
  truncate = "thread", unlink = "ring", unlinkat = "ring", utimensat = "thread", write = "ring", writev = "ring",
}

--- A pointer as the number that fields of a submission entry and arguments of calls hold.
function calls.address(pointer)
  return ffi.cast("uint64_t", ffi.cast("uintptr_t", ffi.cast("const void *", pointer)))
end

function calls.text_pointer(text)
  return ffi.cast("const char *", text)
end

--- Runs one operation on the ring. `anchor` is kept alive while the kernel uses it. Returns its result or -errno.
function calls.run(opcode, fd, addr, len, off, flags, timeout, anchor)
  local op = task.new("fractal.io")
  local rc = C.fractal_io_start(op, opcode, fd, addr, len, off, flags, timeout or NO_TIMEOUT)
  return task.finish(op, rc, anchor)
end

function calls.splice(from, from_offset, to, to_offset, n, flags)
  local op = task.new("fractal.io")
  local rc = C.fractal_io_splice(op, from, from_offset or -1, to, to_offset or -1, n, flags, NO_TIMEOUT)
  return task.finish(op, rc)
end

local arguments = ffi.new("int64_t[6]") -- copied before the call waits

--- Runs a system call on a thread: numbers, strings and pointers, as in C. `name` is that of FRACTAL_CALL_name. What
-- pointers lead to is kept alive by `anchor`.
function calls.call(name, timeout, anchor, ...)
  local op = task.new("fractal.io")
  for i = 1, 6 do
    local argument = select(i, ...)
    if type(argument) == "number" then
      arguments[i - 1] = argument
    elseif type(argument) == "string" then
      arguments[i - 1] = calls.address(calls.text_pointer(argument))
    else
      arguments[i - 1] = argument == nil and 0 or calls.address(argument)
    end
  end
  local rc = C.fractal_io_call(op, C["FRACTAL_CALL_" .. name], arguments, timeout or NO_TIMEOUT)
  return task.finish(op, rc, anchor)
end

--- Looks up the addresses of a host. Returns how many, or -errno, and an array of struct fractal_address.
function calls.resolve(host, timeout)
  local found = ffi.new("struct fractal_address[?]", C.FRACTAL_ADDRESSES)
  local op = task.new("fractal.io")
  local rc = C.fractal_io_resolve(op, host, found, timeout or NO_TIMEOUT)
  return task.finish(op, rc, found), found
end

function calls.value_or_error(result)
  if result < 0 then
    return nil, -result
  end
  return result
end

function calls.done_or_error(result)
  if result < 0 then
    return nil, -result
  end
  return true
end

return calls
