--- The entries of one directory, in the order in which they came.
--
-- Each entry has a cookie, the offset at which readdir goes on behind it. Cookies only grow and an entry keeps its own,
-- so a reader neither misses nor repeats an entry that was there all the time, whatever is added or removed meanwhile.
-- names[position] and inos[position] hold the entries; a removed one leaves false behind until compact() closes the
-- gaps. As long as no gap was closed under a reader, cookie and position are the same number; from then on until the
-- directory is read by nobody, `cookies` tells the cookie of a position.

local floor, max = math.floor, math.max

local FIRST_COOKIE = 2 -- 1 and 2 are the offsets behind "." and ".."
local GAPS_KEPT = 64 -- fewer are not worth closing

local Directory = {}
Directory.__index = Directory

local function new(parent)
  return setmetatable({
    parent = parent, -- inode number of ".."
    index = {}, -- [name] = cookie - FIRST_COOKIE
    names = {},
    inos = {},
    first = 1, -- nothing stands below this position
    last = 0, -- nor above this one
    count = 0,
    cookies = nil, -- [position] = cookie - FIRST_COOKIE
    last_cookie = 0,
  }, Directory)
end

-- The position of a cookie, or where it would stand.
local function position_of(self, cookie)
  local cookies = self.cookies
  if not cookies then
    return cookie
  end
  local low, high = 1, self.last + 1
  while low < high do
    local middle = floor((low + high) / 2)
    if cookies[middle] < cookie then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

--- The inode number behind a name, or nil.
function Directory:find(name)
  local cookie = self.index[name]
  return cookie and self.inos[position_of(self, cookie)]
end

--- Adds an entry; the name must be free.
function Directory:add(name, ino)
  local position = self.last + 1
  local cookie = self.last_cookie + 1
  self.last, self.last_cookie = position, cookie
  self.index[name] = cookie
  self.names[position], self.inos[position] = name, ino
  if self.cookies then
    self.cookies[position] = cookie
  end
  self.count = self.count + 1
end

--- Closes the gaps that removals left. With readers, cookies stay as they are.
function Directory:compact(readers)
  local names, inos, cookies = {}, {}, readers and {} or nil
  local old_cookies = self.cookies
  local position = 0
  for old = self.first, self.last do
    local name = self.names[old]
    if name then
      position = position + 1
      names[position], inos[position] = name, self.inos[old]
      if readers then
        cookies[position] = old_cookies and old_cookies[old] or old
      else
        self.index[name] = position
      end
    end
  end
  self.names, self.inos, self.cookies = names, inos, cookies
  self.first, self.last = 1, position
  if not readers then
    self.last_cookie = position
  end
end

-- Whether the gaps outnumber the entries.
local function has_gaps(self)
  return self.last - self.count > self.count + GAPS_KEPT
end

--- Removes an entry that is there.
function Directory:remove(name)
  local position = position_of(self, self.index[name])
  self.index[name] = nil
  self.names[position], self.inos[position] = false, false
  self.count = self.count - 1
  if position == self.first then
    repeat
      position = position + 1
    until position > self.last or self.names[position]
    self.first = position
  end
  if has_gaps(self) then
    self:compact(true)
  end
end

--- Makes a name that is there lead to another inode.
function Directory:replace(name, ino)
  self.inos[position_of(self, self.index[name])] = ino
end

--- Somebody begins to read where nobody else does: a time to start afresh.
function Directory:begin_reading()
  if self.cookies or has_gaps(self) then
    self:compact(false)
  end
end

--- The position of the first entry behind an offset (FIRST_COOKIE or larger).
function Directory:seek(offset)
  return max(position_of(self, offset - FIRST_COOKIE + 1), self.first)
end

--- The offset behind the entry at a position.
function Directory:offset(position)
  local cookies = self.cookies
  return (cookies and cookies[position] or position) + FIRST_COOKIE
end

return {
  new = new,
  FIRST_COOKIE = FIRST_COOKIE,
  SIZE = 40, -- what stat(2) tells of an empty directory, as tmpfs has it
  ENTRY_SIZE = 20, -- and of each entry
}
