-- Metrics over HTTP: what a scraper gets while requests come and while a handler holds its worker; what clients may do.

local helper = require "spec.helper"
local observed = require "spec.observed"
local process = require "spec.process"
local prometheus = require "spec.prometheus"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file(observed.handlers)
local scrape = observed.scrape

-- Sends raw bytes; returns the status of the reply, whose form is checked.
local function ask(where, request)
  local reply = observed.send(where, request)
  local head, body = reply:match("^(HTTP/1%.1 .-\r\n)\r\n(.*)$")
  assert(head, reply)
  assert.truthy(head:find("\r\nConnection: close\r\n", 1, true))
  assert.equal(request:find("^HEAD") and 0 or tonumber(head:match("\r\nContent%-Length: (%d+)\r\n")), #body)
  return tonumber(head:match("^HTTP/1%.1 (%d+) "))
end

-- Mounts with metrics at a free port; returns the mount and the address.
local function mount(settings)
  local base = 20000 + sys.getpid() % 20000
  local args = settings.args or {}
  for port = base, base + 50 do
    settings.args = { "--metrics", tostring(port), unpack(args) }
    local ok, m = pcall(helper.mount, settings)
    if ok then
      return m, "127.0.0.1:" .. port
    elseif not tostring(m):find("in use", 1, true) then
      error(m, 2)
    end
  end
end

-- The names of a mount's threads.
local function threads(m)
  local list = {}
  for name in process.run({ "sh", "-c", "cat /proc/$0/task/*/comm", tostring(m.pid) }, 10).out:gmatch("[^\n]+") do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local growing = { "fractal_requests_total", "fractal_received_bytes_total", "fractal_request_errors_total" }

helper.each_transport(function(transport)
  describe("metrics", function()
    after_each(helper.teardown)

    it("are right and grow while requests come", function()
      local m, where = mount { source = source, transport = transport }
      local stop = observed.load(m)
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
      stop()
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

    it("are served one after the other while requests come, without a thread for it", function()
      local m, where = mount { source = source, transport = transport, workers = 1, args = { "--stats=1" } }
      local stop = observed.load(m)
      local _, served = observed.send(where, observed.get_metrics, 200):gsub("HTTP/1%.1 200 OK\r\n", "")
      assert.equal(200, served) -- within 20 seconds, on a machine that does nothing else in half a one
      assert.same({ "fractal-lua", "fractal/0", "fractal/reload" }, threads(m))
      stop()
      assert.equal(0, m:unmount())
    end)

    for name, settings in pairs {
      ["its worker"] = { workers = 1 },
      ["the Lua state that workers share"] = {},
      ["the first of several states"] = { state = "per-worker" },
    } do
      it("are served while a handler holds " .. name, function()
        settings.source, settings.transport = source, transport
        local m, where = mount(settings)
        local release = observed.hold(m)
        assert.equal(1, prometheus.value(scrape(where), "fractal_requests_in_hand"))
        local _, served = observed.send(where, observed.get_metrics, 10):gsub("HTTP/1%.1 200 OK\r\n", "")
        assert.equal(10, served)
        release()
        assert.equal(0, prometheus.value(scrape(where), "fractal_requests_in_hand"))
        assert.equal(0, m:unmount())
      end)
    end
  end)
end)

describe("the server of metrics", function()
  after_each(helper.teardown)

  it("goes on after another version of the script", function()
    local m, where = mount { source = source }
    m:kill("hup")
    assert.truthy(helper.eventually(10, function() return m.log():find("(generation 2)", 1, true) end), m.log())
    assert.equal(0, prometheus.value(scrape(where), "fractal_requests_in_hand"))
    assert.equal(0, m:unmount())
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
      assert.equal(expected, ask(where, request), request:sub(1, 60))
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
