--- POSIX access control lists (acl(5)), as they travel in the extended attributes system.posix_acl_*.
--
-- The kernel checks them on each access and validates what is set. What it leaves to the filesystem is here: file mode
-- and access list tell the same for owner, group class and others, and a directory's default list passes to what is
-- made in it. A list is a table of entries { tag =, perm =, id = } in the order of the attribute.

local bit = require "bit"

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift

local USER_OBJ, GROUP_OBJ, MASK, OTHER = 0x01, 0x04, 0x10, 0x20
local HEADER = "\2\0\0\0" -- version 2
local ENTRY_BYTES = 8 -- tag and perm of 16 bits, id of 32, little-endian
local RWX = 7

-- How far the mode bits of a tag are shifted; nil for tags without any.
local shift_of = { [USER_OBJ] = 6, [GROUP_OBJ] = 3, [MASK] = 3, [OTHER] = 0 }

local acl = {
  ACCESS = "system.posix_acl_access",
  DEFAULT = "system.posix_acl_default",
}

--- Reads the attribute's value. Returns the list, or nil when it is none.
function acl.decode(value)
  if value:sub(1, 4) ~= HEADER or (#value - #HEADER) % ENTRY_BYTES ~= 0 then
    return nil
  end
  local list = {}
  for at = #HEADER + 1, #value, ENTRY_BYTES do
    local tag, _, perm = value:byte(at, at + 2)
    list[#list + 1] = { tag = tag, perm = perm, id = value:sub(at + 4, at + 7) }
  end
  return list
end

--- The attribute's value of a list.
function acl.encode(list)
  local parts = { HEADER }
  for _, entry in ipairs(list) do
    parts[#parts + 1] = string.char(entry.tag, 0, entry.perm, 0) .. entry.id
  end
  return table.concat(parts)
end

-- The entry that stands for the group class in the mode: the mask where there is one.
local function group_class(list)
  local group
  for _, entry in ipairs(list) do
    if entry.tag == MASK then
      return entry
    elseif entry.tag == GROUP_OBJ then
      group = entry
    end
  end
  return group
end

-- The entries that stand for mode bits: owner, group class, others.
local function mode_entries(list)
  local group = group_class(list)
  local entries = {}
  for _, entry in ipairs(list) do
    if entry.tag == USER_OBJ or entry.tag == OTHER or entry == group then
      entries[#entries + 1] = entry
    end
  end
  return entries
end

--- Whether a list says more than a mode can.
function acl.is_extended(list)
  for _, entry in ipairs(list) do
    if not shift_of[entry.tag] or entry.tag == MASK then
      return true
    end
  end
  return false
end

--- The mode with the permission bits of an access list.
function acl.to_mode(list, mode)
  for _, entry in ipairs(mode_entries(list)) do
    local shift = shift_of[entry.tag]
    mode = bor(band(mode, bnot(lshift(RWX, shift))), lshift(entry.perm, shift))
  end
  return mode
end

--- Puts the permission bits of a mode into an access list (chmod(2)).
function acl.from_mode(list, mode)
  for _, entry in ipairs(mode_entries(list)) do
    entry.perm = band(rshift(mode, shift_of[entry.tag]), RWX)
  end
end

--- Turns a directory's default list into the access list of something made in it with this mode: both end up with the
-- permissions that list and mode have in common. Returns the mode.
function acl.inherit(list, mode)
  for _, entry in ipairs(mode_entries(list)) do
    local shift = shift_of[entry.tag]
    entry.perm = band(entry.perm, rshift(mode, shift))
    mode = band(mode, bor(bnot(lshift(RWX, shift)), lshift(entry.perm, shift)))
  end
  return mode
end

return acl
