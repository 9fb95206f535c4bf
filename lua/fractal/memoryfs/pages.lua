--- The memory that file contents live in: pages out of one reserved range of addresses.
--
-- The range is as large as the filesystem may grow and costs nothing until it is touched. Pages are known by number,
-- 1 … limit, so that 0 can mean "hole" wherever a page is stored. Given back, a page goes to a short list of warm
-- pages, which are used again first, or back to the operating system (madvise(2) MADV_DONTNEED, for runs of
-- neighbours at a time); after that it reads as zeros and costs nothing again.

local ffi = require "ffi"

local C = ffi.C
local fill = ffi.fill

ffi.cdef [[
void *fractal_memoryfs_mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)
  __asm__("mmap");
int fractal_memoryfs_munmap(void *address, size_t bytes) __asm__("munmap");
int fractal_memoryfs_madvise(void *address, size_t bytes, int advice) __asm__("madvise");
long fractal_memoryfs_sysconf(int name) __asm__("sysconf");
]]

local SC_PAGESIZE, SC_PHYS_PAGES = 30, 85
local PROT_READ_WRITE = 3
local MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022
local MAP_FAILED = ffi.cast("void *", -1)
local MADV_DONTNEED = 4

local PAGE = tonumber(C.fractal_memoryfs_sysconf(SC_PAGESIZE))
local MAX_PAGES = 2 ^ 32 - 2 -- page numbers are stored as uint32_t
local WARM_PAGES = 2048

local Pages = {}
Pages.__index = Pages

-- Reserves bytes of zeroed memory; ctype is a pointer type. The memory goes when the pointer is collected.
local function reserve(ctype, bytes)
  local address = C.fractal_memoryfs_mmap(nil, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0)
  if address == MAP_FAILED then
    return nil
  end
  return ffi.gc(ffi.cast(ctype, address), function(pointer)
    C.fractal_memoryfs_munmap(pointer, bytes)
  end)
end

--- Makes a store of at most limit pages. Returns nil and a sentence where the address space cannot be had.
function Pages.new(limit)
  limit = math.min(limit, MAX_PAGES)
  local memory = reserve("uint8_t *", (limit + 1) * PAGE)
  local clean = reserve("uint32_t *", (limit + 1) * 4)
  if not memory or not clean then
    return nil, ("cannot reserve %.0f MiB of address space for file contents: give a smaller size=, or raise "
      .. "ulimit -v or vm.overcommit_memory's limit"):format(limit * PAGE / 2 ^ 20)
  end
  return setmetatable({
    memory = memory, -- page n is at memory + n * PAGE
    limit = limit,
    used = 0,
    fresh = 0, -- the highest page ever taken
    warm = ffi.new("uint32_t[?]", WARM_PAGES), -- free, with old contents
    warm_count = 0,
    clean = clean, -- free, zeros
    clean_count = 0,
    run_first = 0, -- neighbours on their way to `clean`; none where 0
    run_last = 0,
  }, Pages)
end

--- Takes a page; with zeroed false its contents are undefined. Returns its number, or nil when all are in use.
function Pages:take(zeroed)
  local page
  if self.warm_count > 0 then
    self.warm_count = self.warm_count - 1
    page = self.warm[self.warm_count]
    if zeroed then
      fill(self.memory + page * PAGE, PAGE)
    end
  elseif self.clean_count > 0 then
    self.clean_count = self.clean_count - 1
    page = self.clean[self.clean_count]
  elseif self.fresh < self.limit then
    page = self.fresh + 1
    self.fresh = page
  else
    return nil
  end
  self.used = self.used + 1
  return page
end

--- Gives a page back. Call settle() after the last of a group.
function Pages:give(page)
  self.used = self.used - 1
  if self.warm_count < WARM_PAGES then
    self.warm[self.warm_count] = page
    self.warm_count = self.warm_count + 1
  elseif page == self.run_last + 1 and self.run_first > 0 then
    self.run_last = page
  elseif page == self.run_first - 1 then
    self.run_first = page
  else
    self:settle()
    self.run_first, self.run_last = page, page
  end
end

--- Hands the last pages given back over to the operating system.
function Pages:settle()
  local first, last = self.run_first, self.run_last
  if first == 0 then
    return
  end
  C.fractal_memoryfs_madvise(self.memory + first * PAGE, (last - first + 1) * PAGE, MADV_DONTNEED)
  for page = last, first, -1 do -- so that they are taken in ascending order
    self.clean[self.clean_count] = page
    self.clean_count = self.clean_count + 1
  end
  self.run_first, self.run_last = 0, 0
end

--- How many pages can still be taken.
function Pages:free()
  return self.limit - self.used
end

return {
  SIZE = PAGE,
  new = Pages.new,
  --- How many pages of memory the machine has.
  physical = tonumber(C.fractal_memoryfs_sysconf(SC_PHYS_PAGES)),
}
