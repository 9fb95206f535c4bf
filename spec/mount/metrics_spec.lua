-- Metrics over HTTP: what a scraper gets while requests come and while a handler holds its worker; what clients may do.

local client = require "spec.client"
local helper = require "spec.helper"
local process = require "spec.process"
local prometheus = require "spec.prometheus"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file [[
  ffi.cdef "int usleep(unsigned);"
  function fs.read(req, ino, buf, offset)
    for _ = 1, offset == 0 and 0 or 40 do ffi.C.usleep(50000) end -- holds its worker, and with it the Lua state
    return #buf
  end
  function fs.write(req, ino, data) return #data end]]

-- Sends raw bytes; returns status, head and body of the reply.
local function ask(where, request, seconds)
  local result = process.run({ "python3", sys.getcwd() .. "/spec/http_client.py", where, request }, seconds or 10)
  assert(result.status == 0, result.err)
  local head, body = result.out:match("^(HTTP/1%.1 .-\r\n)\r\n(.*)$")
  assert(head, result.out)
  local status = tonumber(head:match("^HTTP/1%.1 (%d+) "))
  local length = tonumber(head:match("\r\nContent%-Length: (%d+)\r\n"))
  assert.truthy(head:find("\r\nConnection: close\r\n", 1, true))
  assert.equal(request:find("^HEAD") and 0 or length, #body)
  return status, head, body
end

local function scrape(where)
  local status, head, body = ask(where, "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
  assert.equal(200, status)
  assert.truthy(head:find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n", 1, true), head)
  return prometheus.read(body)
end

-- Mounts with metrics at a free port; returns the mount and the address.
local function mount(settings)
  local base = 20000 + sys.getpid() % 20000
  for port = base, base + 50 do
    settings.args = { "--metrics", tostring(port) }
    local ok, m = pcall(helper.mount, settings)
    if ok then
      return m, "127.0.0.1:" .. port
    elseif not tostring(m):find("in use", 1, true) then
      error(m, 2)
    end
  end
end

-- Works until there is a file of that name.
local load = [[
  local fd = must.open(MNT .. "/file", "rdwr")
  local stop = sys.clock("monotonic") + 20
  repeat
    must.fstat(fd)
    must.pread(fd, 100, 0)
    must.pwrite(fd, "12345", 0)
    assert(not sys.stat(MNT .. "/none"))
  until sys.stat(arg[1]) or sys.clock("monotonic") > stop]]

local growing = { "fractal_requests_total", "fractal_received_bytes_total", "fractal_request_errors_total" }

helper.each_transport(function(transport)
  describe("metrics", function()
    after_each(helper.teardown)

    it("are right and grow while requests come", function()
      local m, where = mount { source = source, transport = transport }
      local stop = helper.directory() .. "/stop"
      local child = client.start(m, load, { stop })
      local before = scrape(where)
      for _ = 1, 3 do
        local now = scrape(where)
        for _, name in ipairs(growing) do
          for _, op in ipairs { "getattr", "write", "lookup" } do
            assert.is_true((prometheus.value(now, name, op) or 0) >= (prometheus.value(before, name, op) or 0), name)
          end
        end
        before = now
      end
      helper.write_file(stop, "")
      assert.equal(0, child:wait(10), child.output())
      local last = scrape(where)
      local writes = prometheus.value(last, "fractal_requests_total", "write")
      assert.is_true(writes > 0)
      assert.equal(5 * writes, prometheus.value(last, "fractal_received_bytes_total", "write"))
      assert.equal(writes, prometheus.value(last, "fractal_request_duration_seconds_count", "write"))
      assert.is_true(prometheus.value(last, "fractal_request_errors_total", "lookup") >= writes)
      assert.equal(0, prometheus.value(last, "fractal_requests_in_hand"))
      assert.is_true(prometheus.value(last, "fractal_requests_in_hand_max") >= 1)
      assert.is_true(prometheus.value(last, "fractal_lua_memory_bytes") > 100000)
      assert.is_true(prometheus.value(last, "fractal_jit_traces_total") > 0)
      local info = last.fractal_mount_info.samples[1]
      assert.equal(m.dir, info.labels.mountpoint)
      assert.equal("one-file", info.labels.name)
      assert.equal(transport, info.labels.transport)
      assert.equal(0, m:unmount())
    end)
  end)
end)

describe("the server of metrics", function()
  after_each(helper.teardown)

  it("answers while a handler holds its worker and the Lua state", function()
    local m, where = mount { source = source, workers = 1 }
    local child = client.start(m, [[must.pread(must.open(MNT .. "/file", "rdonly"), 10, 50)]])
    assert.truthy(helper.eventually(5, function()
      return helper.read_file(("/proc/%d/syscall"):format(child.pid)):find("^17 %S+ %S+ %S+ 0x32 ") -- pread at 50
    end))
    local now = scrape(where)
    assert.is_nil(child:poll())
    assert.equal(1, prometheus.value(now, "fractal_requests_in_hand"))
    assert.equal(0, child:wait(10))
  end)

  it("bounds what clients may send, and for how long", function()
    local m, where = mount { source = source }
    local begun = sys.clock("monotonic")
    local answer = helper.directory() .. "/silent"
    local silent = process.start({ "python3", sys.getcwd() .. "/spec/http_client.py", where, "GET /metr" },
      { out = answer })
    for request, expected in pairs {
      ["GET / HTTP/1.1\\r\\n\\r\\n"] = 404,
      ["GET /metrics/ HTTP/1.1\\r\\n\\r\\n"] = 404,
      ["GET /metrics?x=1 HTTP/1.0\\n\\n"] = 200,
      ["HEAD /metrics HTTP/1.1\\r\\n\\r\\n"] = 200,
      ["POST /metrics HTTP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\nabc"] = 405,
      ["GET /metrics HTTP/2\\r\\n\\r\\n"] = 400,
      ["GET /metrics\\r\\n\\r\\n"] = 400,
      ["\\r\\n\\r\\n"] = 400,
      ["\\x00GET /metrics HTTP/1.1\\r\\n\\r\\n"] = 400,
      ["GET /" .. ("x"):rep(10000) .. " HTTP/1.1\\r\\n\\r\\n"] = 431,
    } do
      assert.equal(expected, (ask(where, request)), request:sub(1, 60))
    end
    assert.equal(0, silent:wait(30))
    assert.is_true(sys.clock("monotonic") - begun >= 3)
    assert.truthy(helper.read_file(answer):find("^HTTP/1.1 408 "))
    assert.equal(0, m:unmount())
  end)

  it("takes a path, and the place of a dead server", function()
    local path = helper.directory() .. "/metrics"
    local where = "unix:" .. path
    sys.close(assert(sys.unix_socket(path)))
    for _ = 1, 2 do
      local m = helper.mount { source = source, args = { "--metrics=" .. where } }
      assert.equal(0, prometheus.value(scrape(where), "fractal_requests_in_hand"))
      assert.equal(0, m:unmount())
      assert.is_nil(sys.lstat(path))
    end
  end)

  it("leaves a place that is taken", function()
    local m, where = mount { source = source }
    local base = helper.directory()
    sys.mkdir(base .. "/mnt", "755")
    helper.write_file(base .. "/script.lua", source)
    local result = helper.run { "--metrics", where, base .. "/script.lua", base .. "/mnt" }
    assert.equal(1, result.status)
    assert.equal(("fractal-lua: error: --metrics=%s cannot be had: it is in use; choose another one\n"):format(where),
      result.err)
    assert.is_false(helper.is_mounted(base .. "/mnt"))
    assert.equal(0, prometheus.value(scrape(where), "fractal_requests_in_hand"))
    assert.equal(0, m:unmount())
  end)

  local give = "give HOST:PORT, a port, or unix:PATH"
  for where, sentence in pairs {
    [""] = give, x = give, [":"] = give, [":9100"] = give, ["localhost:"] = give, ["localhost:x"] = give,
    ["unix:"] = give,
    ["0"] = "a port is 1 to 65535", ["65536"] = "a port is 1 to 65535", ["[::1]:123456"] = "a port is 1 to 65535",
    ["::1:9100"] = "put an IPv6 address in brackets, as [::1]:9100",
    ["unix:/" .. ("x"):rep(108)] = "the path is too long for a socket: choose one below 108 bytes",
  } do
    it(("refuses %q"):format(where:sub(1, 20)), function()
      local result = helper.run { "--metrics=" .. where, "script.lua", "/mnt" }
      assert.equal(2, result.status)
      assert.equal(("fractal-lua: error: --metrics=%s: %s (fractal-lua --help lists what there is)\n"):format(where,
        sentence), result.err)
    end)
  end
end)
