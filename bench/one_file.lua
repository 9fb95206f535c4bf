--- What the filesystems of the benchmarks have in common: a directory with one file, by inode, of which the kernel
-- caches nothing (timeouts 0, direct I/O).
--
--     local fs = one_file({ name = "null" }, function() return 2 ^ 30 end)
--
-- settings: those of fractal.lowlevel. size: tells the file's size in bytes.

local fractal = require "fractal"

local E = fractal.errno

local ROOT, FILE = 1, 2
local DIRECTORY, REGULAR = 0x41ed, 0x81a4 -- S_IFDIR | 0755, S_IFREG | 0644

return function(settings, size)
	settings.attr_ttl, settings.entry_ttl = 0, 0
	local fs = fractal.lowlevel(settings)

	local function fill(ino, attr)
		attr.ino = ino
		if ino == ROOT then
			attr.mode = DIRECTORY
		elseif ino == FILE then
			attr.mode = REGULAR
			attr.size = size()
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

	return fs
end
