--- Extended attributes: the rules of xattr(7) that the kernel leaves to the filesystem.
--
-- The kernel has checked lengths (name 255 bytes, value 64 KiB), that user.* stands on regular files and directories
-- only, and that trusted.* is for root. Values are Lua strings in a table by name for each inode that has any.

local bit = require "bit"
local E = require("fractal.errno").E
local acl = require "fractal.memoryfs.acl"

local band = bit.band

local XATTR_CREATE, XATTR_REPLACE = 1, 2 -- setxattr(2)
local LIST_MAX = 65536 -- bytes that listxattr(2) can tell

local xattr = {}

local namespaces = { "user.", "trusted.", "security." }

--- Whether the name can be stored. Returns true, or nil and E.OPNOTSUPP (no such namespace) or E.INVAL (no name in it).
-- with_acl: access control lists are kept.
function xattr.check_name(name, with_acl)
  for _, prefix in ipairs(namespaces) do
    if name:sub(1, #prefix) == prefix then
      if #name == #prefix then
        return nil, E.INVAL
      end
      return true
    end
  end
  if with_acl and (name == acl.ACCESS or name == acl.DEFAULT) then
    return true
  end
  return nil, E.OPNOTSUPP
end

-- Bytes that the names take in a list.
local function list_bytes(attributes)
  local bytes = 0
  for name in pairs(attributes) do
    bytes = bytes + #name + 1
  end
  return bytes
end

--- Sets an attribute. flags: XATTR_CREATE, XATTR_REPLACE. Returns true, or nil and E.EXIST, E.NODATA or E.NOSPC.
function xattr.set(store, ino, name, value, flags)
  local attributes = store[ino] or {}
  local exists = attributes[name] ~= nil
  if exists and band(flags, XATTR_CREATE) ~= 0 then
    return nil, E.EXIST
  end
  if not exists then
    if band(flags, XATTR_REPLACE) ~= 0 then
      return nil, E.NODATA
    end
    if list_bytes(attributes) + #name + 1 > LIST_MAX then
      return nil, E.NOSPC
    end
  end
  attributes[name] = value
  store[ino] = attributes
  return true
end

--- Value of an attribute, or nil, E.NODATA.
function xattr.get(store, ino, name)
  local attributes = store[ino]
  local value = attributes and attributes[name]
  if not value then
    return nil, E.NODATA
  end
  return value
end

--- Removes an attribute. Returns true, or nil, E.NODATA.
function xattr.remove(store, ino, name)
  local attributes = store[ino]
  if not attributes or not attributes[name] then
    return nil, E.NODATA
  end
  attributes[name] = nil
  if not next(attributes) then
    store[ino] = nil
  end
  return true
end

--- The names that a caller may see: trusted.* is for root.
function xattr.list(store, ino, is_root)
  local names = {}
  for name in pairs(store[ino] or names) do
    if is_root or name:sub(1, 8) ~= "trusted." then
      names[#names + 1] = name
    end
  end
  return names
end

return xattr
