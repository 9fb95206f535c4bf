--- The connection as a script's `init` sees it, and later `fractal.conn()`.
--
--     conn.proto_major, conn.proto_minor, conn.max_write, conn.max_readahead, conn.max_background, …
--     conn.writeback_cache            is this capability (of docs/capabilities.md) asked for, or later: switched on?
--     conn.writeback_cache = true     asks for it (in init); an error where the kernel does not offer it
--     conn:offers("passthrough")      does the kernel offer it?
--
-- conn.max_pages and conn.request_timeout are numbers: pages in one request, and seconds (0: no time-out).

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local caps = require "fractal.caps"

local bits, fixed = {}, {}
for _, cap in ipairs(caps) do
  bits[cap.option] = bit.lshift(1ULL, cap.bit)
  if cap.default == "CORE" or cap.default == "NEVER" then
    fixed[cap.option] = cap.doc
  end
end

local methods = {}

function methods.offers(conn, name)
  local mask = bits[name] or error(("'%s' is no capability"):format(tostring(name)), 2)
  return bit.band(conn.offered, mask) ~= 0ULL
end

ffi.metatype("struct fractal_conn", {
  __index = function(conn, key)
    if bits[key] then
      return bit.band(conn.wanted, bits[key]) ~= 0ULL
    end
    return methods[key] or error(("conn has no field '%s'"):format(tostring(key)), 2)
  end,
  __newindex = function(conn, key, value)
    local mask = bits[key] or error(("conn has no field '%s'"):format(tostring(key)), 2)
    if fixed[key] then
      error(("%s cannot be chosen: %s"):format(key, fixed[key]), 2)
    elseif not value then
      conn.wanted = bit.band(conn.wanted, bit.bnot(mask))
    elseif bit.band(conn.offered, mask) == 0ULL then
      error(("the kernel does not offer %s"):format(key), 2)
    else
      conn.wanted = bit.bor(conn.wanted, mask)
    end
  end,
})

local conn = {}

--- A struct fractal_conn pointer as the object described above.
function conn.wrap(pointer)
  return ffi.cast("struct fractal_conn *", pointer)
end

return conn
