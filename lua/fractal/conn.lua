--- The connection as a script's `init` sees it.
--
--     conn.proto_major, conn.proto_minor, conn.max_write, conn.max_readahead, conn.max_background, …
--     conn.writeback_cache            is this capability (a name of the reference's table) switched on?
--     conn.writeback_cache = true     switches it on; an error where the kernel does not offer it
--     conn:offers("passthrough")      does the kernel offer it?

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local caps = require "fractal.caps"

local bits = {}
for _, cap in ipairs(caps) do
  bits[cap.option] = bit.lshift(1ULL, cap.bit)
end
bits.max_pages = nil -- the number of the same name says it

local methods = {}

function methods.offers(conn, name)
  return bits[name] ~= nil and bit.band(conn.offered, bits[name]) ~= 0ULL
end

ffi.metatype("struct fractal_conn", {
  __index = function(conn, key)
    if bits[key] then
      return bit.band(conn.wanted, bits[key]) ~= 0ULL
    end
    return methods[key] or error(("conn has no field '%s'"):format(tostring(key)), 2)
  end,
  __newindex = function(conn, key, value)
    local mask = bits[key]
    if not mask then
      error(("conn has no field '%s'"):format(tostring(key)), 2)
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
