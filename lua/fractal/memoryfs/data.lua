--- Contents of regular files: which page holds which part of a file.
--
-- A file is an inode (see inodes.lua) with the fields ino, size, first, pages and top. Its first page stands in the
-- inode, so that a small file needs no table; the others stand in a table of their own, by their index in the file. An
-- index without a page is a hole; `pages` counts the pages, no index from `top` on has one. Behind the end of a file
-- its last page is always zero.

local ffi = require "ffi"
local E = require("fractal.errno").E
local pages = require "fractal.memoryfs.pages"

local PAGE = pages.SIZE
local copy, zero = ffi.copy, ffi.fill
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

local Data = {}
Data.__index = Data

local no_map = {}

--- Makes the contents of one filesystem, of at most limit pages. Returns nil and a sentence on failure.
local function new(limit)
  local store, reason = pages.new(limit)
  if not store then
    return nil, reason
  end
  return setmetatable({
    pages = store,
    memory = store.memory,
    maps = {}, -- [ino][index] = page, for index > 0
  }, Data)
end

-- The page of an index, or 0 for a hole.
local function page_at(self, file, index)
  if index == 0 then
    return file.first
  end
  local map = self.maps[file.ino]
  return map and map[index] or 0
end

-- Puts a new page at the index, where a hole is. Returns it, or nil when there is none left.
local function add_page(self, file, index, zeroed)
  local page = self.pages:take(zeroed)
  if not page then
    return nil
  end
  if index == 0 then
    file.first = page
  else
    local map = self.maps[file.ino]
    if not map then
      map = {}
      self.maps[file.ino] = map
    end
    map[index] = page
  end
  file.pages = file.pages + 1
  file.top = max(file.top, index + 1)
  return page
end

-- Gives back the pages of the indexes first … last.
local function free_pages(self, file, first, last)
  local store = self.pages
  if first == 0 and file.first ~= 0 then
    store:give(file.first)
    file.first = 0
    file.pages = file.pages - 1
  end
  local map = self.maps[file.ino]
  last = min(last, file.top - 1)
  if map and last - first <= 4 * file.pages then
    for index = max(first, 1), last do
      local page = map[index]
      if page then
        store:give(page)
        map[index] = nil
        file.pages = file.pages - 1
      end
    end
  elseif map then -- few pages in a wide range
    for index, page in pairs(map) do
      if index >= first and index <= last then
        store:give(page)
        map[index] = nil
        file.pages = file.pages - 1
      end
    end
  end
  if map and file.pages == (file.first ~= 0 and 1 or 0) then
    self.maps[file.ino] = nil
  end
  store:settle()
end

-- Copies n bytes of one page's part of a file, from `at` inside the page of this index, to pointer.
local function read_part(self, page, pointer, at, n)
  if page ~= 0 then
    copy(pointer, self.memory + (page * PAGE + at), n)
  else
    zero(pointer, n)
  end
end

--- Copies n bytes at offset to pointer; the caller has cut n at the end of the file.
function Data:read(file, pointer, offset, n)
  local index = floor(offset / PAGE)
  local at = offset - index * PAGE
  local done = min(PAGE - at, n)
  read_part(self, page_at(self, file, index), pointer, at, done)
  if done == n then -- most requests; the loop would keep this path from being compiled with its caller
    return
  end
  local map = self.maps[file.ino] or no_map
  repeat
    index = index + 1
    local part = min(PAGE, n - done)
    read_part(self, map[index] or 0, pointer + done, 0, part)
    done = done + part
  until done == n
end

-- Copies n bytes to one page's part of a file. Returns false when there is no page left.
local function write_part(self, file, index, pointer, at, n)
  local page = page_at(self, file, index)
  if page == 0 then
    page = add_page(self, file, index, n < PAGE)
    if not page then
      return false
    end
  end
  copy(self.memory + (page * PAGE + at), pointer, n)
  return true
end

--- Writes n bytes from pointer at offset and lets the file grow. Returns how many found room, or nil, E.NOSPC.
function Data:write(file, pointer, offset, n)
  local index = floor(offset / PAGE)
  local at = offset - index * PAGE
  local done = min(PAGE - at, n)
  if not write_part(self, file, index, pointer, at, done) then
    return nil, E.NOSPC
  end
  while done < n do
    index = index + 1
    local part = min(PAGE, n - done)
    if not write_part(self, file, index, pointer + done, 0, part) then
      break
    end
    done = done + part
  end
  file.size = max(file.size, offset + done)
  return done
end

-- Zeroes what is there from offset on, inside one page.
local function zero_part(self, file, offset, n)
  local index = floor(offset / PAGE)
  local page = page_at(self, file, index)
  if n > 0 and page ~= 0 then
    zero(self.memory + (page * PAGE + offset - index * PAGE), n)
  end
end

--- Sets the size. What is cut off is given back, and so is what was allocated behind the end.
function Data:truncate(file, size)
  local keep = ceil(size / PAGE)
  if size <= file.size and file.top > keep then
    free_pages(self, file, keep, file.top - 1)
    file.top = keep
  end
  if size < file.size then
    zero_part(self, file, size, keep * PAGE - size)
  end
  file.size = size
end

--- Makes a hole (fallocate(2) FALLOC_FL_PUNCH_HOLE): whole pages are given back, parts of pages zeroed.
function Data:punch(file, offset, n)
  local stop = offset + n
  local first, last = ceil(offset / PAGE), floor(stop / PAGE)
  if first > last then -- inside one page
    zero_part(self, file, offset, n)
    return
  end
  zero_part(self, file, offset, first * PAGE - offset)
  zero_part(self, file, last * PAGE, stop - last * PAGE)
  if last > first then
    free_pages(self, file, first, last - 1)
  end
end

--- Puts pages into all holes of a range (fallocate(2)). Returns true, or nil, E.NOSPC with nothing changed.
function Data:allocate(file, offset, n)
  local first, last = floor(offset / PAGE), ceil((offset + n) / PAGE) - 1
  local missing = last - first + 1
  if missing - file.pages > self.pages:free() then
    return nil, E.NOSPC
  end
  for index = first, last do
    if page_at(self, file, index) ~= 0 then
      missing = missing - 1
    end
  end
  if missing > self.pages:free() then
    return nil, E.NOSPC
  end
  for index = first, last do
    if page_at(self, file, index) == 0 then
      add_page(self, file, index, true)
    end
  end
  return true
end

--- Zeroes a range and puts pages into its holes (FALLOC_FL_ZERO_RANGE). Returns true, or nil, E.NOSPC.
function Data:zero(file, offset, n)
  local ok, err = self:allocate(file, offset, n)
  if not ok then
    return nil, err
  end
  while n > 0 do
    local part = min(PAGE - offset % PAGE, n)
    zero_part(self, file, offset, part)
    offset, n = offset + part, n - part
  end
  return true
end

-- The first index from `index` on, below `limit`, that has a page; nil where only a hole follows.
local function next_page(self, file, index, limit)
  limit = min(limit, file.top)
  if limit - index <= 4 * file.pages then
    while index < limit do
      if page_at(self, file, index) ~= 0 then
        return index
      end
      index = index + 1
    end
    return nil
  end
  if page_at(self, file, index) ~= 0 then
    return index
  end
  local nearest = limit
  for candidate in pairs(self.maps[file.ino] or {}) do
    if candidate > index and candidate < nearest then
      nearest = candidate
    end
  end
  return nearest < limit and nearest or nil
end

--- Where data begins at or behind offset (lseek(2) SEEK_DATA), or nil, E.NXIO.
function Data:seek_data(file, offset)
  if offset >= file.size then
    return nil, E.NXIO
  end
  local index = next_page(self, file, floor(offset / PAGE), ceil(file.size / PAGE))
  if not index then
    return nil, E.NXIO
  end
  return max(offset, index * PAGE)
end

--- Where a hole begins at or behind offset (lseek(2) SEEK_HOLE); the end of the file is one. Or nil, E.NXIO.
function Data:seek_hole(file, offset)
  if offset >= file.size then
    return nil, E.NXIO
  end
  local index = floor(offset / PAGE)
  while page_at(self, file, index) ~= 0 do
    index = index + 1
  end
  return min(max(offset, index * PAGE), file.size)
end

--- Copies n bytes between files or inside one (the ranges do not overlap). Holes stay holes where the target has one.
-- Returns how many bytes found room, or nil, E.NOSPC.
function Data:copy(source, from, target, to, n)
  n = max(min(n, source.size - from), 0)
  local done = 0
  while done < n do
    local at, index = from + done, floor((from + done) / PAGE)
    local part = min(PAGE - at % PAGE, PAGE - (to + done) % PAGE, n - done)
    local page = page_at(self, source, index)
    if page ~= 0 then
      local written, err = self:write(target, self.memory + (page * PAGE + at - index * PAGE), to + done, part)
      if not written then
        return done > 0 and done or nil, err
      end
    else
      zero_part(self, target, to + done, part)
    end
    done = done + part
  end
  if done > 0 then
    target.size = max(target.size, to + done)
  end
  return done
end

return { new = new, PAGE = PAGE }
