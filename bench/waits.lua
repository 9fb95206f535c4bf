--- The null filesystem with handlers that wait. Each getattr of the file goes through a task and back, which are two
-- waits without I/O; each read sleeps for 10 ms.

local fractal = require "fractal"

local E = fractal.errno

local ROOT, FILE = 1, 2
local DIRECTORY, REGULAR = 0x41ed, 0x81a4 -- S_IFDIR | 0755, S_IFREG | 0644
local SIZE = 2 ^ 30
local READ_SECONDS = 0.01

local fs = fractal.lowlevel { name = "waits", attr_ttl = 0, entry_ttl = 0 }

local asked, answered = fractal.queue(), fractal.queue()

function fs.init()
	fractal.spawn(function()
		while true do
			local ino = asked:get()
			if not ino then
				return
			end
			answered:put(ino)
		end
	end)
end

local function fill(ino, attr)
	attr.ino = ino
	attr.mode = ino == ROOT and DIRECTORY or REGULAR
	attr.size = ino == ROOT and 0 or SIZE
end

function fs.lookup(_, _, name, entry)
	if name ~= "file" then
		return nil, E.NOENT
	end
	entry.ino = FILE
	fill(FILE, entry.attr)
end

function fs.getattr(_, ino, attr)
	asked:put(ino)
	fill(answered:get() or ino, attr)
end

function fs.open(_, _, open)
	open.direct_io = true
end

function fs.read(_, _, buf)
	fractal.io.sleep(READ_SECONDS)
	return #buf
end

return fs
