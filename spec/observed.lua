--- Mounts to look at from outside: handlers for script.one_file, clients that keep them busy or have one hold its
-- worker, and what a scraper of metrics does.

local client = require "spec.client"
local helper = require "spec.helper"
local process = require "spec.process"
local prometheus = require "spec.prometheus"
local sys = require "fractal.testing.sys"

local observed = {}

--- A read behind the first byte holds its worker, and with it the Lua state, until there is a file "release" beside the
-- script.
observed.handlers = [[
  ffi.cdef "int usleep(unsigned);"
  local release = debug.getinfo(1, "S").source:match "^@(.*/)" .. "release"
  function fs.read(req, ino, buf, offset)
    for _ = 1, offset == 0 and 0 or 1000 do
      local file = io.open(release)
      if file then file:close() break end
      ffi.C.usleep(10000)
    end
    return #buf
  end
  function fs.write(req, ino, data) return #data end
]]

local works = [[
  local fd = must.open(MNT .. "/file", "rdwr")
  local stop = sys.clock("monotonic") + 20
  repeat
    must.fstat(fd)
    must.pread(fd, 100, 0)
    must.pwrite(fd, "12345", 0)
    assert(not sys.stat(MNT .. "/none"))
  until sys.stat(arg[1]) or sys.clock("monotonic") > stop]]

--- Keeps a mount busy. Returns a function that ends this.
function observed.load(m)
  local stop = helper.directory() .. "/stop"
  local child = client.start(m, works, { stop })
  return function()
    helper.write_file(stop, "")
    assert(child:wait(10) == 0, child.output())
  end
end

--- Has a handler hold the worker of the first CPU. Returns a function that lets it go, and fails where it had gone
-- by itself.
function observed.hold(m)
  local child = m:start("exec taskset -c 0 " ..
    client.command [[must.pread(must.open(MNT .. "/file", "rdonly"), 10, 50)]])
  assert(helper.eventually(5, function()
    return helper.read_file(("/proc/%d/syscall"):format(child.pid)):find("^17 %S+ %S+ %S+ 0x32 ") -- pread at 50
  end), child.output())
  return function()
    assert(not child:poll(), "the worker was not held: " .. child.output())
    helper.write_file(m.dir:match("^(.*/)") .. "release", "")
    assert(child:wait(10) == 0, child.output())
  end
end

--- Sends raw bytes to a server, as often as times says (default: once), in a connection of its own each; returns all
-- that comes back.
function observed.send(where, request, times)
  local program = sys.getcwd() .. "/spec/http_client.py"
  local result = process.run({ "python3", program, where, request, tostring(times or 1) }, 20)
  assert(result.status == 0, result.err)
  return result.out
end

observed.get_metrics = "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"

--- The metrics of a server, read as a scraper does.
function observed.scrape(where)
  local head, body = observed.send(where, observed.get_metrics):match("^(HTTP/1%.1 200 .-\r\n)\r\n(.*)$")
  assert(head:find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n", 1, true), head)
  return prometheus.read(body)
end

return observed
