--- The null filesystem with a real file in it, `-o source=FILE`: fractal.io reads it straight into the reply.

local one_file = require "one_file"

local io = require("fractal").io

local source, size

local fs = one_file({ name = "file", options = { source = "file that is read" } }, function() return size end)

function fs.init()
	source = assert(io.open(fs.options.source))
	size = tonumber(assert(io.stat(source)).size)
end

function fs.read(_, _, buf, offset)
	return io.read(source, buf, offset)
end

return fs
