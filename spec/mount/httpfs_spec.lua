-- examples/httpfs.lua against a web server that behaves, and one that does not.
-- unsanitized: a script in Lua; fractal.io has its own files

local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

helper.each_transport(function(transport)
  describe("examples/httpfs.lua", function()
    local server, port

    before_each(function()
      local out = helper.directory() .. "/server"
      helper.write_file(out, "")
      server = process.start({ "python3", sys.getcwd() .. "/spec/http_server.py" }, { out = out })
      port = helper.eventually(10, function() return helper.read_file(out):match("^(%d+)\n") end)
      assert.truthy(port, helper.read_file(out))
    end)

    after_each(function()
      helper.teardown()
      server:destroy()
    end)

    local function mount()
      return helper.mount {
        script = "examples/httpfs.lua", transport = transport,
        options = { url = ("http://127.0.0.1:%s/files"):format(port), timeout = 0.4 },
      }
    end

    local function expected(from, n)
      local bytes = {}
      for i = from, from + n - 1 do bytes[#bytes + 1] = string.char(i * 7 % 251) end
      return table.concat(bytes)
    end

    it("reads files, over connections that are kept", function()
      local m = mount()
      local ok, out = m:sh("cat $MNT/good", 10)
      assert.is_true(ok, m.log())
      assert.is_true(out == expected(0, 1000000), "other bytes")
      assert.is_true(select(2, m:sh("tail -c +500001 $MNT/good | head -c 100", 5)) == expected(500000, 100))
      assert.equal("good\n1000000\n", select(2, m:sh("ls $MNT; stat -c %s $MNT/good", 5)))
      assert.equal("ENOENT", select(2, m:sh("cat $MNT/none", 5)):find("No such file") and "ENOENT")
      assert.falsy((m:sh("echo x > $MNT/good", 5)))
      local _, count = m:sh(("curl -s http://127.0.0.1:%s/count || python3 -c 'import urllib.request as u;"
        .. "print(u.urlopen(\"http://127.0.0.1:%s/count\").read().decode())'"):format(port, port), 10)
      local connections, requests = count:match("(%d+) (%d+)")
      assert.equal("8", requests)
      assert.is_true(tonumber(connections) <= 6, count)
      assert.equal(0, m:unmount())
    end)

    it("answers in bounded time whatever the server does", function()
      local m = mount()
      local cases = {
        hang = "Connection timed out", hanghead = "Connection timed out", dies = "Input/output error",
        garbage = "Input/output error", wrong = "Input/output error", error = "Input/output error",
      }
      for name, sentence in pairs(cases) do
        local begun = sys.clock("monotonic")
        local _, out, status = m:sh("head -c 10 $MNT/" .. name, 15)
        assert.equal(1, status, name .. ": " .. out)
        assert.truthy(out:find(sentence, 1, true), name .. ": " .. out)
        assert.is_true(sys.clock("monotonic") - begun < 8, name)
      end
      assert.is_true(select(2, m:sh("cat $MNT/flaky", 10)) == expected(0, 1000000), "flaky: other bytes")
      server:destroy()
      local _, out = m:sh("head -c 10 $MNT/gone", 10)
      assert.truthy(out:find("Input/output error", 1, true), out)
      assert.equal(0, m:unmount())
    end)
  end)
end)
