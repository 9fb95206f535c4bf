--- The null filesystem with handlers that wait. Each getattr goes through a task and back, which are two waits without
-- I/O; each read sleeps for 10 ms.

local fractal = require "fractal"
local one_file = require "one_file"

local SIZE = 2 ^ 30
local READ_SECONDS = 0.01

local fs = one_file({ name = "waits" }, function() return SIZE end)

local getattr = fs.getattr
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

function fs.getattr(req, ino, attr)
	asked:put(ino)
	return getattr(req, answered:get() or ino, attr)
end

function fs.read(_, _, buf)
	fractal.io.sleep(READ_SECONDS)
	return #buf
end

return fs
