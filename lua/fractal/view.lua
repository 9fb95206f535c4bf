--- Views: bounds-checked windows on a request's buffers, without copying.
--
--     #v                        bytes
--     v:string([offset [, n]])  a Lua string of the bytes (to the end)
--     v:put(what [, offset])    copies a string or view into it; returns the bytes put
--     v:fill(byte [, offset, n])
--     v:sub(offset, n)          a smaller view of the same bytes
--     v:byte(offset)            one byte as a number
--     v.ptr                     uint8_t *, unchecked
--
-- Offsets count from 0. A view is valid until its request is answered; a later use raises an error, as does one out of
-- bounds. View objects are recycled so that none is allocated for each request: a view that a script keeps comes
-- to name a new request's bytes only after RING further ones were made by the same worker. A handler that waits keeps
-- its views for itself.

local ffi = require "ffi"
require "fractal.cdef"

ffi.cdef [[
struct fractal_view {
  uint8_t *ptr;
  uint32_t len;
  uint32_t epoch;
  const struct fractal_request *req;
  uint32_t writable;
};
]]

local RING = 1024 -- a power of two

local copy, fill, band = ffi.copy, ffi.fill, require("bit").band
local view_type

local function check(view, offset, n)
  if view.epoch ~= view.req.epoch then
    error("buffer used after reply", 3)
  end
  if not (offset >= 0 and n >= 0 and offset + n <= view.len) then -- said so, it also holds for NaN
    error(("buffer access out of bounds: %d bytes at %d of %d"):format(n, offset, tonumber(view.len)), 3)
  end
end

local function check_writable(view)
  if view.writable == 0 then
    error("this buffer is read-only: it holds what the caller sent", 3)
  end
end

local methods = {}

function methods.string(view, offset, n)
  offset = offset or 0
  n = n or view.len - offset
  check(view, offset, n)
  return ffi.string(view.ptr + offset, n)
end

function methods.put(view, what, offset)
  local n = #what
  offset = offset or 0
  check_writable(view)
  check(view, offset, n)
  if type(what) == "string" then
    copy(view.ptr + offset, what, n)
  else
    check(what, 0, n)
    copy(view.ptr + offset, what.ptr, n)
  end
  return n
end

--- Copies n bytes of another view from its offset.
function methods.copy(view, offset, other, from, n)
  from = from or 0
  n = n or other.len - from
  check_writable(view)
  check(other, from, n)
  check(view, offset, n)
  copy(view.ptr + offset, other.ptr + from, n)
  return n
end

function methods.fill(view, byte, offset, n)
  offset = offset or 0
  n = n or view.len - offset
  check_writable(view)
  check(view, offset, n)
  fill(view.ptr + offset, n, byte)
  return n
end

function methods.sub(view, offset, n)
  offset = offset or 0
  n = n or view.len - offset
  check(view, offset, n)
  return view_type(view.ptr + offset, n, view.epoch, view.req, view.writable)
end

function methods.byte(view, offset)
  offset = offset or 0
  check(view, offset, 1)
  return view.ptr[offset]
end

view_type = ffi.metatype("struct fractal_view", {
  __index = methods,
  __len = function(view) return view.len end,
  __tostring = function(view)
    return ("buffer of %d bytes%s"):format(view.len, view.epoch ~= view.req.epoch and ", used up" or "")
  end,
})

local view = {}

local function address_of(pointer)
  return tonumber(ffi.cast("uintptr_t", pointer))
end

--- Is the value a view?
function view.is(value)
  return ffi.istype(view_type, value)
end

--- Raises where a view may not be read any more.
function view.check(v)
  check(v, 0, v.len)
end

--- Raises where a view may not be written to.
function view.check_writable(v)
  check_writable(v)
  check(v, 0, v.len)
end

local keepers = {} -- worker's address → what takes a request's views out of its ring

--- A recycler of views for one worker: returns fn(req, ptr, len, writable) → view.
function view.ring(worker)
  local ring = { at = 0 } -- a field, since a store to an upvalue would have compiled code load others anew
  for i = 0, RING - 1 do
    ring[i] = view_type()
  end
  keepers[address_of(worker)] = function(req)
    -- The views of the handler that waits now are the last ones, two at most, unless it has waited before.
    for back = 1, 2 do
      local i = (ring.at - back) % RING
      if ring[i].req == req then
        ring[i] = view_type()
      end
    end
  end
  return function(req, ptr, len, writable)
    local at = ring.at
    local v = ring[at]
    ring.at = band(at + 1, RING - 1)
    v.ptr, v.len, v.epoch, v.req, v.writable = ptr, len, req.epoch, req, writable
    return v
  end
end

--- The handler of a request begins to wait: its views are not used for others.
function view.keep(req)
  local keep = keepers[address_of(req.worker)]
  if keep then
    keep(req)
  end
end

return view
