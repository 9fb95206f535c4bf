--- `fractal.notify`: tells the kernel what to forget, to keep, or to look at again.
--
--     notify.inval_inode(ino [, offset [, length]])   drop cached attributes, and cached pages from offset on
--     notify.inval_entry(parent, name [, "expire"])   drop a cached name, or have it looked up anew before its next use
--     notify.delete(parent, child, name)              the same, and inotify(7) tells of a deletion
--     notify.store(ino, offset, string_or_view)       put bytes into the page cache
--     notify.retrieve(ino, offset, size, fn)          later calls fn(string, offset), or fn(nil, errno)
--     notify.retrieve(ino, offset, size)              waits, and returns the string, or nil and an errno
--     notify.poll(handle)                             wake who polls: the handle that the poll handler was given
--     notify.resend()                                 have unanswered requests sent again (classic transport)
--     notify.inc_epoch()                              have every cached name looked up anew before its next use
--     notify.prune { ino, … }                         forget inodes that nobody uses
--
-- Each returns true, or nil and an errno, and may be called anywhere while the mount answers: messages are queued and
-- sent in order by a thread that no request waits for. That nothing was cached is no error. E.NOTCONN: not mounted (yet
-- or any more); E.NOBUFS: 16384 messages or 16 MiB wait; E.OPNOTSUPP: the kernel is too old for it.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"
local report = require "fractal.report"
local session = require "fractal.session"
local task = require "fractal.task"
local view = require "fractal.view"

local C, E = ffi.C, errno.E

local notify = {}

local waiting = {} -- cookie of a retrieve → function

local function result(rc)
  if rc == 0 then
    return true
  end
  return nil, -rc
end

local function check(kind, what, value, level)
  if type(value) ~= kind then
    error(("%s is a %s, not a %s"):format(what, kind, type(value)), level or 3)
  end
end

local function check_number(what, value)
  check("number", what, value, 4)
  if value < 0 or value % 1 ~= 0 then
    error(("%s is a whole number from 0 on, not %s"):format(what, tostring(value)), 3)
  end
end

--- Without offset: attributes and all pages; with a negative one: attributes only. Length 0 or nil: to the end.
function notify.inval_inode(ino, offset, length)
  check_number("the inode", ino)
  if not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_inval_inode(session.pointer, ino, offset or 0, length or 0))
end

function notify.inval_entry(parent, name, how)
  check_number("the parent", parent)
  check("string", "the name", name)
  if how ~= nil and how ~= "expire" then
    error(("inval_entry takes \"expire\" or nothing behind the name, not %s"):format(tostring(how)), 2)
  elseif not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_inval_entry(session.pointer, parent, name, how and C.FRACTAL_EXPIRE_ONLY or 0))
end

function notify.delete(parent, child, name)
  check_number("the parent", parent)
  check_number("the child", child)
  check("string", "the name", name)
  if not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_delete(session.pointer, parent, child, name))
end

function notify.store(ino, offset, data)
  check_number("the inode", ino)
  check_number("the offset", offset)
  if type(data) ~= "string" and not view.is(data) then
    error(("store takes a string or a view, not a %s"):format(type(data)), 2)
  elseif not session.pointer then
    return nil, E.NOTCONN
  end
  local bytes = type(data) == "string" and data or data:string()
  return result(C.fractal_notify_store(session.pointer, ino, offset, bytes, #bytes))
end

local cookie = ffi.new("uint64_t[1]")

local function ask(ino, offset, size, fn)
  local rc = C.fractal_worker_retrieve(session.worker, ino, offset, math.min(size, 0xffffffff), cookie)
  if rc == 0 then
    waiting[tonumber(cookie[0])] = fn
  end
  return result(rc)
end

--- Where the data come back to another worker than the one that waits, fractal_io_complete() wakes that one.
local function ask_and_wait(ino, offset, size)
  local io, ended, data, err = task.new("retrieve"), false, nil, nil
  local ok, why = ask(ino, offset, size, function(...)
    if not ended then
      data, err = ...
      C.fractal_io_complete(io, 0)
    end
  end)
  if not ok then
    C.fractal_io_free(io)
    return nil, why
  end
  local rc = task.wait(io)
  ended = true
  if rc < 0 then
    return nil, -rc
  end
  return data, not data and err or nil
end

--- The string ends where the first page that is not cached begins, and has at most max_write less one page. Without a
-- function it waits for the data, in handlers, init and tasks.
function notify.retrieve(ino, offset, size, fn)
  check_number("the inode", ino)
  check_number("the offset", offset)
  check_number("the size", size)
  if fn ~= nil then
    check("function", "the last argument", fn)
  end
  if not session.pointer then
    return nil, E.NOTCONN
  elseif fn then
    return ask(ino, offset, size, fn)
  end
  return ask_and_wait(ino, offset, size)
end

function notify.poll(handle)
  check_number("the handle", handle)
  if not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_poll(session.pointer, handle))
end

function notify.resend()
  if not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_resend(session.pointer))
end

function notify.inc_epoch()
  if not session.pointer then
    return nil, E.NOTCONN
  end
  return result(C.fractal_notify_inc_epoch(session.pointer))
end

function notify.prune(inodes)
  check("table", "the list of inodes", inodes)
  if not session.pointer then
    return nil, E.NOTCONN
  end
  local list = ffi.new("uint64_t[?]", math.max(#inodes, 1), inodes)
  return result(C.fractal_notify_prune(session.pointer, list, #inodes))
end

local function hand_over(answer)
  local key = tonumber(answer.cookie)
  local fn = waiting[key]
  waiting[key] = nil
  if answer.error ~= 0 then
    fn(nil, -answer.error)
  else
    fn(ffi.string(answer.data, answer.size), tonumber(answer.offset))
  end
end

--- Gives data that came back to whoever asked. The drain loop calls it when fractal_worker_retrieved() tells of some.
function notify.deliver(worker)
  local answer = C.fractal_worker_take_retrieved(worker)
  while answer ~= nil do
    local next_one = answer.next
    local ok, err = xpcall(hand_over, report.catch, answer)
    if not ok then
      report.caught("a function given to fractal.notify.retrieve", err)
    end
    C.fractal_retrieved_free(answer)
    answer = next_one
  end
end

return notify
