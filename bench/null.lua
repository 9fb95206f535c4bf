--- The null filesystem of the benchmarks: one 1 GiB file whose attributes never change.
-- Nothing is cached, reads are filled from an FFI array, writes are dropped. It keeps nothing in Lua tables, so it runs
-- with either setting of `state`:
--
--     fractal-lua -o state=per-worker bench/null.lua /mnt

local ffi = require "ffi"
local one_file = require "one_file"

local copy = ffi.copy

local SIZE = 2 ^ 30
-- What reads copy: as much as the longest, from a cache line's beginning as a C compiler would have it.
local source = ffi.new("struct { uint8_t data[1048576] __attribute__((aligned(64))); }")
ffi.fill(source.data, ffi.sizeof(source), 0x5a)

local fs = one_file({ name = "null" }, function() return SIZE end)

function fs.read(_, _, buf)
	local size = #buf
	copy(buf.ptr, source.data, size)
	return size
end

function fs.write(_, _, bytes)
	return #bytes
end

return fs
