--- The null filesystem with a real file in it, `-o source=FILE`: fractal.io reads it straight into the reply.

local fractal = require "fractal"

local E = fractal.errno
local io = fractal.io

local ROOT, FILE = 1, 2
local DIRECTORY, REGULAR = 0x41ed, 0x81a4 -- S_IFDIR | 0755, S_IFREG | 0644

local fs = fractal.lowlevel {
	name = "file", attr_ttl = 0, entry_ttl = 0,
	options = { source = "file that is read" },
}

local source, size

function fs.init()
	source = assert(io.open(fs.options.source))
	size = tonumber(assert(io.stat(source)).size)
end

local function fill(ino, attr)
	attr.ino = ino
	if ino == ROOT then
		attr.mode = DIRECTORY
	elseif ino == FILE then
		attr.mode = REGULAR
		attr.size = size
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

function fs.read(_, _, buf, offset)
	return io.read(source, buf, offset)
end

return fs
