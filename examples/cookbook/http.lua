-- Pages of a web server as files: a name is fetched when it is opened.
--
--   fractal-lua -o host=127.0.0.1:8000 examples/cookbook/http.lua /mnt
--   cat /mnt/index.html; grep -c href /mnt/docs/start.html
--
-- What it shows: sockets in a handler (fractal.io), with the whole text kept with the open file. Every path could be a
-- page, so every name exists; a page that the server does not have fails when it is opened. For the size and parts of
-- large files, see examples/httpfs.lua.

local fractal = require "fractal"
local io, E = fractal.io, fractal.errno

local fs = fractal.pathfs {
  name = "http",
  options = { host = "the server: ADDRESS:PORT, without a name to be resolved" },
  mount = { ro = true },
}
local TIMEOUT = 5 -- seconds
local MODE = { directory = "0555", page = "0444" }

function fs.prepare()
  if not fs.options.host then return nil, "say which server: -o host=127.0.0.1:8000" end
end

-- A name with a dot in it is a page, all others are directories.
function fs.getattr(path)
  if path:find "%.[^/]*$" then return { type = "file", mode = MODE.page } end
  return { type = "dir", mode = MODE.directory }
end

function fs.readdir() return {} end -- HTTP has no listing

-- All that comes over a connection until the server closes it.
local function receive(fd)
  local parts, part, err = {}, io.recv(fd, 65536, TIMEOUT)
  while part and part ~= "" do
    parts[#parts + 1] = part
    part, err = io.recv(fd, 65536, TIMEOUT)
  end
  if not part then return nil, err end
  return table.concat(parts)
end

function fs.open(path)
  local fd, err = io.connect(fs.options.host, TIMEOUT)
  if not fd then return nil, err end
  local answer
  io.send(fd, ("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n"):format(path, fs.options.host), TIMEOUT)
  answer, err = receive(fd)
  io.close(fd)
  if not answer then return nil, err end
  local status, body = answer:match "^HTTP/1%.%d (%d+).-\r\n\r\n(.*)$"
  if status == "404" then return nil, E.NOENT end
  if status ~= "200" then return nil, E.IO end
  return body, { direct_io = true } -- whose length the kernel does not know
end

function fs.read(_, buf, offset, body)
  return body:sub(offset + 1, offset + #buf)
end

return fs
