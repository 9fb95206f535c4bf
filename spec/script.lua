--- Texts of small filesystems for the specs.

local script = {}

local one_file = [[
local fractal = require "fractal"
local ffi = require "ffi"
local E = fractal.errno
local fs = fractal.lowlevel { name = "one-file", attr_ttl = 0, entry_ttl = 0, SETTINGS }
local function fill(ino, attr)
  attr.ino = ino
  if ino == 1 then
    attr.mode = 0x41ed -- a directory, 0755
  else
    attr.mode, attr.size = 0x81b6, 100 -- a regular file, 0666
  end
end
function fs.lookup(req, parent, name, entry)
  if name ~= "file" then return nil, E.NOENT end
  entry.ino = 2
  fill(2, entry.attr)
end
function fs.getattr(req, ino, attr) fill(ino, attr) end
function fs.open(req, ino, open) open.direct_io = true end
BODY
return fs
]]

--- A filesystem with one file of 100 bytes, "file" (inode 2), of which nothing is cached. body is Lua text that adds
-- or replaces handlers of `fs`; `fractal`, `ffi`, `E` and `fill(ino, attr)` are at hand. settings is text, too.
function script.one_file(body, settings)
  return (one_file:gsub("SETTINGS", { SETTINGS = settings or "" }):gsub("BODY", { BODY = body }))
end

--- The number of the line of text that holds a mark, such as a comment.
function script.line_of(text, mark)
  local at = text:find(mark, 1, true) or error("no line with " .. mark, 2)
  local _, before = text:sub(1, at):gsub("\n", "")
  return before + 1
end

return script
