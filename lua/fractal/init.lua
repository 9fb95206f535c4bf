--- The package `fractal`: filesystems in Lua over FUSE.
--
--     local fractal = require "fractal"
--     local E = fractal.errno
--     local fs = fractal.lowlevel { name = "myfs" }
--     function fs.getattr(req, ino, attr) … end
--     return fs

local backing = require "fractal.backing"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local io = require "fractal.io"
local kept = require "fractal.kept"
local log = require "fractal.log"
local notify = require "fractal.notify"
local pathfs = require "fractal.pathfs"
local session = require "fractal.session"
local shared = require "fractal.shared"
local task = require "fractal.task"
local tree = require "fractal.tree"
local types = require "fractal.types"
local worker = require "fractal.worker"

local fractal = {
  errno = errno.E,
  strerror = errno.strerror,
  log = log,
  notify = notify,
  backing = backing,
  conn = session.conn,
  stop = session.stop,
  shared = shared,
  worker = worker,
  S_IF = types.S_IF,
  lowlevel = filesystem.lowlevel,
  pathfs = pathfs.new,
  tree = tree,
  request = pathfs.request,
  invalidate = pathfs.invalidate,
  kept = kept.get,

  io = io,
  spawn = task.spawn,
  every = task.every,
  timeout = task.timeout,
  mutex = task.mutex,
  semaphore = task.semaphore,
  queue = task.queue,
  wait_all = task.wait_all,

  -- renameat2(2)
  RENAME_NOREPLACE = 1,
  RENAME_EXCHANGE = 2,
  RENAME_WHITEOUT = 4,
  -- setxattr(2)
  XATTR_CREATE = 1,
  XATTR_REPLACE = 2,
  -- fcntl(2) lock types
  F_RDLCK = 0,
  F_WRLCK = 1,
  F_UNLCK = 2,
  -- lseek(2)
  SEEK_DATA = 3,
  SEEK_HOLE = 4,
}

return fractal
