--- The null filesystem of the benchmarks: one 1 GiB file whose attributes never change.
-- Nothing is cached (timeouts 0, direct I/O), reads are filled from an FFI array, writes are
-- dropped. It keeps nothing in Lua tables, so it runs with either setting of `state`:
--
--     fractal-lua -o state=per-worker bench/null.lua /mnt

local ffi = require "ffi"
local fractal = require "fractal"

local E = fractal.errno
local copy = ffi.copy

local ROOT, FILE = 1, 2
local DIRECTORY, REGULAR = 0x41ed, 0x81a4 -- S_IFDIR | 0755, S_IFREG | 0644
local SIZE = 2 ^ 30
local DATA_BYTES = 2 ^ 20 -- the longest read

local data = ffi.new("uint8_t[?]", DATA_BYTES)
ffi.fill(data, DATA_BYTES, 0x5a)

local fs = fractal.lowlevel { name = "null", attr_ttl = 0, entry_ttl = 0 }

local function fill(ino, attr)
	attr.ino = ino
	if ino == ROOT then
		attr.mode = DIRECTORY
	elseif ino == FILE then
		attr.mode = REGULAR
		attr.size = SIZE
	else
		return nil, E.NOENT
	end
end

function fs.lookup(_, _, name, entry)
	if name ~= "file" then
		return nil, E.NOENT
	end
	entry.ino = FILE
	return fill(FILE, entry.attr)
end

function fs.getattr(_, ino, attr)
	return fill(ino, attr)
end

function fs.open(_, _, open)
	open.direct_io = true
end

function fs.read(_, _, buf)
	local size = #buf
	copy(buf.ptr, data, size)
	return size
end

function fs.write(_, _, bytes)
	return #bytes
end

return fs
