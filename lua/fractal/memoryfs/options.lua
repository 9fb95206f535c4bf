--- The options of an in-memory filesystem; names and forms are those of tmpfs(5).

local ffi = require "ffi"
local pages = require "fractal.memoryfs.pages"

ffi.cdef [[
unsigned fractal_memoryfs_geteuid(void) __asm__("geteuid");
unsigned fractal_memoryfs_getegid(void) __asm__("getegid");
]]

local MAX_ID = 2 ^ 32 - 2
local MAX_MODE = tonumber("7777", 8)
local UNLIMITED = 2 ^ 40

local options = {}

--- What `fractal-lua --help SCRIPT` says about them.
options.help = {
  size = "most memory for file contents: bytes with k, m, g or t, or a share like 25% (default 50%); 0: no limit",
  nr_inodes = "most inodes, with k, m or g (default: one for each two pages of memory); 0: no limit",
  mode = "permissions of the root directory, octal (default 1777)",
  uid = "owner of the root directory (default: who mounts)",
  gid = "group of the root directory (default: that of who mounts)",
}

--- Options that have another name in what options.parse returns.
options.names = { pages = "size", inodes = "nr_inodes" }

local factors = { [""] = 1, k = 2 ^ 10, m = 2 ^ 20, g = 2 ^ 30, t = 2 ^ 40 }

local function fail(name, value, wanted)
  error(("option %s=%s: expected %s"):format(name, tostring(value), wanted), 0)
end

local function count(name, value)
  local digits, suffix = tostring(value):match("^(%d+)([kmgtKMGT]?)$")
  if not digits then
    fail(name, value, "a number, with k, m, g or t if you like")
  end
  return tonumber(digits) * factors[suffix:lower()]
end

local function size_in_pages(value)
  local percent = tostring(value):match("^(%d+)%%$")
  local limit
  if percent then
    limit = math.floor(pages.physical * tonumber(percent) / 100)
  else
    limit = math.ceil(count("size", value) / pages.SIZE)
  end
  return limit > 0 and limit or UNLIMITED
end

local function id(name, value)
  local number = tonumber(value)
  if not number or number < 0 or number > MAX_ID or number % 1 ~= 0 then
    fail(name, value, "a user or group number")
  end
  return number
end

local function root_mode(value)
  local number = tonumber(value, 8)
  if not number or number > MAX_MODE then
    fail("mode", value, "an octal number up to 7777")
  end
  return number
end

local function parse(given)
  local inodes = given.nr_inodes and count("nr_inodes", given.nr_inodes) or math.floor(pages.physical / 2)
  return {
    pages = size_in_pages(given.size or "50%"),
    inodes = inodes > 0 and inodes or UNLIMITED,
    mode = root_mode(given.mode or "1777"),
    uid = id("uid", given.uid or ffi.C.fractal_memoryfs_geteuid()),
    gid = id("gid", given.gid or ffi.C.fractal_memoryfs_getegid()),
  }
end

--- Reads the options. given: a table like { size = "1g" }; what is missing gets its default.
-- Returns { pages, inodes, mode, uid, gid }, numbers; or nil and a sentence about a value it cannot use.
function options.parse(given)
  local ok, result = pcall(parse, given)
  if ok then
    return result
  end
  return nil, result
end

return options
