--- One file at /a/b/c/file by the path API; nothing is cached.

local fractal = require "fractal"

local fs = fractal.pathfs { name = "path", attr_ttl = 0, entry_ttl = 0 }

local DIRECTORY = { type = "dir", mode = "0755" }
local FILE = { type = "file", mode = "0644", size = 2 ^ 30 }
local nodes = {
	["/"] = DIRECTORY, ["/a"] = DIRECTORY, ["/a/b"] = DIRECTORY, ["/a/b/c"] = DIRECTORY, ["/a/b/c/file"] = FILE,
}

function fs.getattr(path)
	local node = nodes[path]
	if not node then
		return nil, fractal.errno.NOENT
	end
	return node
end

return fs
