-- Files of a web server, read only: a name is asked for with HEAD, bytes come by range requests over HTTP/1.1.
--
--   fractal-lua -o url=http://127.0.0.1:8000/some/directory examples/httpfs.lua /mnt
--   cat /mnt/name          a listing shows the names that were used so far
--
-- Blocks are kept in fractal.shared, connections are kept alive, and reading in order fetches ahead in tasks. A server
-- that does not answer in time gives ETIMEDOUT, one that answers nonsense or breaks off gives EIO, after ATTEMPTS.
-- Hosts are numeric addresses or localhost.

local fractal = require "fractal"
local io, E = fractal.io, fractal.errno

local BLOCK = 128 * 1024
local MAX_BLOCKS = 1024 -- kept at a time: 128 MiB
local AHEAD = 2
local ATTEMPTS = 3
local MAX_HEADERS = 16 * 1024
local MAX_IDLE = 16 -- connections
local DIRECTORY, REGULAR = 0x416d, 0x8124 -- modes 0555 and 0444 with the file type

local fs = fractal.lowlevel {
  name = "httpfs",
  attr_ttl = 60, entry_ttl = 60,
  options = {
    url = "where the files are: http://HOST:PORT/DIRECTORY",
    timeout = "seconds a server has for one answer (default 5)",
  },
  mount = { ro = true },
}

local host, base -- "127.0.0.1:8000", "/some/directory"
local seconds = 5

-- HTTP ------------------------------------------------------------------------------------------------------------

local idle = {} -- connections to use again

--- What a failure means for a further attempt: the mount's end and the caller's signal allow none.
local function is_final(err)
  return err == E.INTR or err == E.CANCELED
end

--- More bytes of a connection within the deadline; nil and an errno, E.IO at the end of the stream.
local function more(fd, deadline)
  local text, err = io.recv(fd, 64 * 1024, math.max(0, deadline - io.now()))
  if text == "" then
    return nil, E.IO
  end
  return text, err
end

--- Reads a response's head. Returns its status, headers and the bytes that came behind it.
local function read_head(fd, deadline)
  local text = ""
  while true do
    local stop = text:find("\r\n\r\n", 1, true)
    if stop then
      local status = text:match("^HTTP/1%.[01] (%d%d%d)[^\r\n]*\r\n")
      local headers = {}
      for name, value in text:sub(1, stop + 1):gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
        headers[name:lower()] = value
      end
      if not status then
        return nil, E.IO
      end
      return tonumber(status), headers, text:sub(stop + 4)
    elseif #text > MAX_HEADERS or (#text >= 5 and text:sub(1, 5) ~= "HTTP/") then
      return nil, E.IO
    end
    local part, err = more(fd, deadline)
    if not part then
      return nil, err
    end
    text = text .. part
  end
end

--- Reads a body of n bytes, of which `text` is here already.
local function read_body(fd, n, text, deadline)
  local parts, have = { text }, #text
  while have < n do
    local part, err = more(fd, deadline)
    if not part then
      return nil, err
    end
    parts[#parts + 1] = part
    have = have + #part
  end
  if have > n then
    return nil, E.IO
  end
  return table.concat(parts)
end

--- One request and its response over a connection. Returns { status, headers, body }, or nil and an errno.
local function exchange(fd, method, path, range, limit, deadline)
  local ok, err = io.send(fd, ("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n"):format(method, path, host,
    range and ("Range: bytes=%d-%d\r\n"):format(range, range + limit - 1) or ""), math.max(0, deadline - io.now()))
  if not ok then
    return nil, err
  end
  local status, headers, rest = read_head(fd, deadline)
  if not status then
    return nil, headers
  end
  local length = tonumber(headers["content-length"])
  local body = ""
  if method == "GET" and status == 206 then
    if not length or length > limit or tonumber((headers["content-range"] or ""):match("^bytes (%d+)-")) ~= range then
      return nil, E.IO
    end
    body, err = read_body(fd, length, rest, deadline)
    if not body then
      return nil, err
    end
  elseif method == "GET" then
    headers.connection = "close" -- a body that nobody wants
  end
  return { status = status, headers = headers, length = length, body = body }
end

--- Sends a request, again where it failed. Returns the response, or nil and E.TIMEDOUT, E.IO, …
local function request(method, path, range, limit)
  local last
  for _ = 1, ATTEMPTS do
    local deadline = io.now() + seconds
    local fd, response, err = table.remove(idle), nil, nil
    if not fd then
      fd, err = io.connect(host, seconds)
    end
    if fd then
      response, err = exchange(fd, method, path, range, limit, deadline)
      if response and (response.headers.connection or ""):lower() ~= "close" and #idle < MAX_IDLE then
        idle[#idle + 1] = fd
      else
        io.close(fd)
      end
    end
    if response and response.status < 500 then
      return response
    end
    last = response and E.IO or err
    if is_final(last) then
      break
    end
  end
  return nil, (is_final(last) or last == E.TIMEDOUT) and last or E.IO
end

-- blocks ------------------------------------------------------------------------------------------------------------

-- What stays when this script is edited and reloaded: the inodes that the kernel knows.
local known = fractal.kept("files", function() return { files = { false }, by_name = {} } end)
local files, by_name = known.files, known.by_name -- by inode: { name, path, size }; 1 is the root
local blocks = fractal.shared.dict "httpfs.blocks"
local stored = fractal.shared.counter "httpfs.stored"
local flights = {} -- key → what those who want the same block wait for

--- Keeps a block in place of the oldest one.
local function keep(key, text)
  local place = "place " .. stored:add(1) % MAX_BLOCKS
  local oldest = blocks:get(place)
  if oldest then
    blocks:delete(oldest)
  end
  if blocks:set(key, text) then
    blocks:set(place, key)
  end
end

local function fetch(file, key, index)
  local response, err = request("GET", file.path, index * BLOCK, math.min(BLOCK, file.size - index * BLOCK))
  if not response then
    return nil, err
  elseif response.status ~= 206 or #response.body ~= math.min(BLOCK, file.size - index * BLOCK) then
    return nil, response.status == 404 and E.NOENT or E.IO
  end
  keep(key, response.body)
  return response.body
end

--- Begins to fetch a block in a task, once for all who want it.
local function begin(file, key, index)
  local flight = flights[key]
  if not flight then
    flight = { gate = fractal.semaphore(0) }
    flights[key] = flight
    fractal.spawn(function()
      local ok, text, err = pcall(fetch, file, key, index)
      flight.text, flight.err = ok and text or nil, ok and err or E.IO
      flights[key] = nil
      flight.gate:release()
    end)
  end
  return flight
end

local function block(file, index)
  local key = file.path .. "#" .. index
  local text = blocks:get(key)
  if text then
    return text
  end
  local flight = begin(file, key, index)
  local ok, err = flight.gate:acquire()
  if not ok then
    return nil, err
  end
  flight.gate:release() -- for the next one who waits for it
  return flight.text, flight.err
end

local function fetch_ahead(file, index)
  if index == file.expected then
    for i = index + 1, math.min(index + AHEAD, math.ceil(file.size / BLOCK) - 1) do
      local key = file.path .. "#" .. i
      if not blocks:get(key) then
        begin(file, key, i)
      end
    end
  end
  file.expected = index + 1
end

-- the filesystem --------------------------------------------------------------------------------------------------

local function escape(name)
  return (name:gsub("[^%w%-._~]", function(char) return ("%%%02X"):format(char:byte()) end))
end

function fs.init()
  local where, path = (fs.options.url or ""):match("^http://([^/]+)(.*)$")
  if not where then
    fractal.log.error("name the files' place: -o url=http://HOST:PORT/DIRECTORY")
    return nil, E.INVAL
  end
  host, base = where:find(":%d+$") and where or where .. ":80", path:gsub("/$", "")
  seconds = tonumber(fs.options.timeout) or seconds
end

function fs.getattr(req, ino, attr)
  local file = files[ino]
  if ino ~= 1 and not file then
    return nil, E.STALE
  end
  attr.ino = ino
  attr.mode = file and REGULAR or DIRECTORY
  attr.size = file and file.size or 0
end

function fs.lookup(req, parent, name, entry)
  if not by_name[name] then
    local path = base .. "/" .. escape(name)
    local response, err = request("HEAD", path)
    if not response then
      return nil, err
    elseif response.status ~= 200 or not response.length then
      return nil, response.status == 404 and E.NOENT or E.IO
    end
    if not by_name[name] then -- another request may have been faster
      files[#files + 1] = { name = name, path = path, size = response.length }
      by_name[name] = #files
    end
  end
  entry.ino = by_name[name]
  return fs.getattr(req, by_name[name], entry.attr)
end

function fs.readdir(req, ino, dir, offset)
  for i = offset + 2, #files do
    if not dir:add(files[i].name, i, REGULAR, i - 1) then
      return
    end
  end
end

function fs.open(req, ino, open)
  open.keep_cache = true
end

function fs.read(req, ino, buf, offset)
  local file, done = files[ino], 0
  local wanted = math.min(#buf, file.size - offset)
  while done < wanted do
    local index, skip = math.floor((offset + done) / BLOCK), (offset + done) % BLOCK
    fetch_ahead(file, index)
    local text, err = block(file, index)
    if not text then
      if done > 0 then
        return done
      end
      return nil, err or E.IO
    end
    done = done + buf:put(text:sub(skip + 1, skip + wanted - done), done)
  end
  return done
end

return fs
