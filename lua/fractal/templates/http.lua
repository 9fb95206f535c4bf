-- NAME: the files of a web server that lists its directories, read only.
--
--   python3 -m http.server 8000 &                                    a server to try it with
--   fractal-lua -o url=http://127.0.0.1:8000 NAME.lua DIRECTORY      Ctrl-C ends it
--
-- While a handler waits in fractal.io, other requests are served. Hosts are numeric addresses or localhost.

local fractal = require "fractal"
local io, E = fractal.io, fractal.errno

local SECONDS = 5 -- for one answer of the server
local MAX_BYTES = 64 * 1024 * 1024 -- of one answer

local fs = fractal.pathfs {
  name = "NAME",
  attr_ttl = 10, entry_ttl = 10, -- seconds for which the kernel need not ask again
  options = { url = "where the files are: http://HOST:PORT/DIRECTORY" },
  mount = { ro = true },
}

local host, base -- "127.0.0.1:8000", "/some/directory"

-- ---- HTTP ----------------------------------------------------------------------------------------------------------

-- Everything that the server sends until it closes the connection; nil and an errno.
local function receive(fd)
  local parts, bytes = {}, 0
  while true do
    local part, err = io.recv(fd, 64 * 1024, SECONDS)
    if not part then
      return nil, err
    elseif part == "" then
      return table.concat(parts)
    end
    parts[#parts + 1] = part
    bytes = bytes + #part
    if bytes > MAX_BYTES then
      return nil, E.FBIG
    end
  end
end

-- Asks the server; returns the answer as { status, headers, body }, or nil and an errno.
local function request(method, path)
  local target = base .. path:gsub("[^%w/._~-]", function(char) return ("%%%02X"):format(char:byte()) end)
  local fd, err = io.connect(host, SECONDS)
  if not fd then
    return nil, err
  end
  local text, sent
  sent, err = io.send(fd, ("%s %s HTTP/1.0\r\nHost: %s\r\n\r\n"):format(method, target, host), SECONDS)
  if sent then
    text, err = receive(fd)
  end
  io.close(fd)
  if not text then
    return nil, err
  end
  local status, head, body = text:match("^HTTP/1%.[01] (%d%d%d)([^\n]*\n.-)\r\n\r\n(.*)$")
  if not status then
    return nil, E.IO -- no answer of a web server
  end
  local headers = {}
  for name, value in head:gmatch("\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
    headers[name:lower()] = value
  end
  return { status = tonumber(status), headers = headers, body = body }
end

-- The errno for an answer that is not what was asked for.
local function failure(answer)
  return (answer.status == 404 and E.NOENT) or (answer.status == 403 and E.ACCES) or E.IO
end

-- ---- the filesystem ------------------------------------------------------------------------------------------------

-- Is called once, before anything is served. Options of the command line are known now.
function fs.init()
  local where, path = (fs.options.url or ""):match("^http://([^/]+)(.*)$")
  if not where then
    fractal.log.error("say where the files are: -o url=http://HOST:PORT/DIRECTORY")
    return nil, E.INVAL
  end
  host, base = where:find(":%d+$") and where or where .. ":80", path:gsub("/$", "")
end

-- A directory answers with a redirection to the same name and a slash, a file with its size.
function fs.getattr(path)
  if path == "/" then
    return { type = "dir", mode = "0555" }
  end
  local answer, err = request("HEAD", path)
  if not answer then
    return nil, err
  elseif answer.status == 200 and answer.headers["content-length"] then
    return { type = "file", mode = "0444", size = tonumber(answer.headers["content-length"]) }
  elseif answer.status >= 301 and answer.status <= 308 and (answer.headers.location or ""):find("/$") then
    return { type = "dir", mode = "0555" }
  end
  return nil, failure(answer)
end

-- The links of the page that lists a directory.
function fs.readdir(path)
  local answer, err = request("GET", path == "/" and path or path .. "/")
  if not answer then
    return nil, err
  elseif answer.status ~= 200 then
    return nil, failure(answer)
  end
  local names, seen = {}, {}
  for link in answer.body:gmatch('href="([^"/?#]+)/?"') do
    local name = link:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
    if not seen[name] and not name:find("[/%z]") and name ~= ".." and name ~= "." then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

-- Fetches the whole file. What is returned here is given to read as fh.
function fs.open(path)
  local answer, err = request("GET", path)
  if not answer then
    return nil, err
  elseif answer.status ~= 200 then
    return nil, failure(answer)
  end
  return answer.body
end

function fs.read(path, buf, offset, fh)
  return fh:sub(offset + 1, offset + #buf)
end

return fs
