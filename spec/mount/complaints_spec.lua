-- Complaints about other libraries that no other spec looks at: a script that exits, and questions before each write.

local helper = require "spec.helper"
local script = require "spec.script"

helper.matrix({ transport = helper.transports(), state = { "single", "per-worker" } }, function(settings)
  describe("a script that calls os.exit in a handler", function()
    after_each(helper.teardown)

    it("ends with that status, its callers get an error, and no mount stays behind", function()
      local m = helper.mount {
        source = script.one_file "function fs.mkdir() os.exit(3) end",
        transport = settings.transport, state = settings.state,
      }
      m.signalled = true -- it ends on its own, before it is unmounted
      local ok, out = m:sh("mkdir $MNT/directory", 10)
      assert.is_false(ok)
      assert.truthy(out:find("connection abort", 1, true), out)
      assert.equal(3, m:wait())
      assert.truthy(helper.eventually(10, function() return not helper.is_mounted(m.dir) end))
    end)
  end)
end)

helper.each_transport(function(transport)
  describe("without a getxattr handler", function()
    after_each(helper.teardown)

    it("the kernel asks for security.capability once, not before each write", function()
      local m = helper.mount {
        source = script.one_file "function fs.open() end function fs.write(req, ino, data) return #data end",
        transport = transport, args = { "--trace=getxattr,write" },
      }
      local ok, out = m:sh("for i in {1..20}; do echo x >> $MNT/file; done", 10)
      assert.is_true(ok, out)
      assert.equal(0, m:unmount())
      local log = m.log()
      assert.equal(20, select(2, log:gsub(" write ino 2 ", "")), log)
      assert.equal(1, select(2, log:gsub(' getxattr ino 2 "security.capability"', "")), log)
    end)
  end)
end)
