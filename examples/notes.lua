-- Notes: text files kept in a Lua table, one directory, readable and writable with any program.
--
--   fractal-lua examples/notes.lua /mnt &
--   echo "buy milk" > /mnt/today; echo "call Ada" >> /mnt/today; cat /mnt/today

local fractal = require "fractal"
local E = fractal.errno

-- Kept when this script is edited and reloaded (kill -HUP).
local notes = fractal.kept("notes", function()
  return { ["/welcome"] = { text = "Every file here is a Lua string.\n", mtime = os.time() } }
end)

local fs = fractal.pathfs { name = "notes" }

function fs.getattr(path)
  if path == "/" then return { type = "dir", mode = "0755" } end
  local note = notes[path]
  if not note then return nil, E.NOENT end
  return { type = "file", mode = "0644", size = #note.text, mtime = note.mtime }
end

function fs.readdir(path)
  local names = {}
  for key in pairs(notes) do names[#names + 1] = key:sub(2) end
  return names
end

function fs.create(path)
  notes[path] = { text = "", mtime = os.time() }
end

function fs.read(path, buf, offset)
  return notes[path].text:sub(offset + 1, offset + #buf)
end

function fs.write(path, data, offset)
  local note = notes[path]
  local text = note.text .. ("\0"):rep(offset - #note.text)
  note.text = text:sub(1, offset) .. data:string() .. text:sub(offset + #data + 1)
  note.mtime = os.time()
  return #data
end

function fs.truncate(path, size)
  local note = notes[path]
  note.text = note.text:sub(1, size) .. ("\0"):rep(size - #note.text)
end

function fs.utimens(path, atime, mtime)
  notes[path].mtime = mtime
end

function fs.rename(from, to)
  notes[to], notes[from] = notes[from], nil
end

function fs.unlink(path)
  notes[path] = nil
end

return fs
