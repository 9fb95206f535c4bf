-- The processes of this machine as a tree of directories: a process's directory has those of its children in it.
--
--   fractal-lua examples/cookbook/processes.lua /mnt
--   ls /mnt/*/; find /mnt -name command | xargs grep -l bash
--
-- What it shows: files whose contents are made when they are read and whose length nobody knows before (direct_io), and
-- names that the kernel must not keep (ttls of 0), since processes come and go.

local fractal = require "fractal"
local E = fractal.errno

local fs = fractal.pathfs {
  name = "processes",
  attr_ttl = 0, entry_ttl = 0,
  options = { root = "the process to begin with (default 1)" },
}

local files = { command = "comm", status = "status" } -- our names → those of proc(5)

-- A file of proc(5), or nil where the process is gone.
local function read_proc(pid, name)
  local file = io.open(("/proc/%s/%s"):format(pid, name), "r")
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

-- What a path names: a process, and a file of it or nil.
local function locate(path)
  local pid, name = path:match "(%d+)/?(%a*)$"
  if not pid then pid, name = fs.options.root or "1", path:match "^/(%a*)$" end
  return pid, name ~= "" and name or nil
end

-- Is a process that a path names a child of the one in front of it?
local function is_there(path, pid)
  local status = read_proc(pid, "status")
  local parent = path:match "(%d+)/%d+/?%a*$" or fs.options.root or "1"
  return status and (not path:find "%d" or status:match "PPid:\t(%d+)" == parent)
end

function fs.getattr(path)
  local pid, name = locate(path)
  if not is_there(path, pid) or (name and not files[name]) then return nil, E.NOENT end
  return name and { type = "file", mode = "0444" } or { type = "dir", mode = "0555" }
end

function fs.readdir(path)
  local pid = locate(path)
  local names = { "command", "status" }
  for child in (read_proc(pid, ("task/%s/children"):format(pid)) or ""):gmatch "%d+" do
    names[#names + 1] = child
  end
  return names
end

function fs.open()
  return 0, { direct_io = true }
end

function fs.read(path, buf, offset)
  local pid, name = locate(path)
  local text = read_proc(pid, files[name])
  if not text then return nil, E.SRCH end
  return text:sub(offset + 1, offset + #buf)
end

return fs
