--- Attributes of an inode as replies carry them, and what must change when privileges end.

local bit = require "bit"
local data = require "fractal.memoryfs.data"
local inodes = require "fractal.memoryfs.inodes"

local band, bnot, bor, rshift = bit.band, bit.bnot, bit.bor, bit.rshift

local PAGE = data.PAGE
local BLOCKS_PER_PAGE = PAGE / 512
local S_ISUID, S_ISGID, S_IXGRP = 0x800, inodes.S_ISGID, 0x8
local CAPABILITY = "security.capability"

local STATX_BASIC_STATS_AND_BTIME = 0xfff

local attributes = {}

-- Major and minor number of a device as the wire packs them: 12 bits of the major between 8 and 12 of the minor.
local function split_device(rdev)
  return band(rshift(rdev, 8), 0xfff), bor(band(rdev, 0xff), band(rshift(rdev, 12), 0xfff00))
end

--- Fills the attributes of a reply.
function attributes.fill(node, attr)
  attr.ino, attr.mode, attr.nlink = node.ino, node.mode, node.nlink
  attr.uid, attr.gid, attr.rdev = node.uid, node.gid, node.rdev
  attr.size, attr.blocks, attr.blksize = node.size, node.pages * BLOCKS_PER_PAGE, PAGE
  attr.atime_sec, attr.atime_nsec = node.atime_sec, node.atime_nsec
  attr.mtime_sec, attr.mtime_nsec = node.mtime_sec, node.mtime_nsec
  attr.ctime_sec, attr.ctime_nsec = node.ctime_sec, node.ctime_nsec
end

--- Fills the attributes of statx(2): the same, and the time when the inode was made.
function attributes.fill_extended(node, stx)
  stx.mask = STATX_BASIC_STATS_AND_BTIME
  stx.ino, stx.mode, stx.nlink = node.ino, node.mode, node.nlink
  stx.uid, stx.gid = node.uid, node.gid
  stx.rdev_major, stx.rdev_minor = split_device(node.rdev)
  stx.size, stx.blocks, stx.blksize = node.size, node.pages * BLOCKS_PER_PAGE, PAGE
  stx.sx_atime.sec, stx.sx_atime.nsec = node.atime_sec, node.atime_nsec
  stx.sx_mtime.sec, stx.sx_mtime.nsec = node.mtime_sec, node.mtime_nsec
  stx.sx_ctime.sec, stx.sx_ctime.nsec = node.ctime_sec, node.ctime_nsec
  stx.sx_btime.sec, stx.sx_btime.nsec = node.btime_sec, node.btime_nsec
end

--- Answers with an inode; the kernel holds one reference more, until forget.
function attributes.fill_entry(node, entry)
  node.lookups = node.lookups + 1
  entry.ino, entry.generation = node.ino, node.generation
  attributes.fill(node, entry.attr)
end

-- Whether the caller may keep the setgid bit of a file: root, or a member of its group.
local function keeps_setgid(req, node)
  if req.uid == 0 or req.gid == node.gid then
    return true
  end
  for _, gid in ipairs(req:groups()) do
    if gid == node.gid then
      return true
    end
  end
  return false
end

--- Takes away what a file lends its user: setuid, setgid (where it is not the mark of mandatory locking, kept by
-- members of the group) and file capabilities. Due when somebody writes to it, or its owner changes.
function attributes.kill_privileges(store, req, node)
  local mode = band(node.mode, bnot(S_ISUID))
  if band(mode, S_ISGID) ~= 0 and (band(mode, S_IXGRP) ~= 0 or not keeps_setgid(req, node)) then
    mode = band(mode, bnot(S_ISGID))
  end
  node.mode = mode
  local extended = store.xattrs[node.ino]
  if extended then
    extended[CAPABILITY] = nil
  end
end

return attributes
