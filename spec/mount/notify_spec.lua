-- Notifications: each is proven by what a client then sees of the mount.

local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

-- "true", or "nil" and the errno's name.
local function notify(m, call)
  return probe.run(m, ([[
    local ok, err = fractal.notify.%s
    return ok, err and fractal.strerror(err)]]):format(call))
end

local function content(m)
  local ok, out = m:sh("cat $MNT/file", 5)
  return ok and out or "failed: " .. out
end

local function eventually(fn, what)
  assert.truthy(helper.eventually(5, fn), what)
end

-- With one state for each worker the ring leads a client's requests to its own CPU's; over /dev/fuse they go to any.
local settings_list = helper.matrix { transport = helper.transports(), state = { "single" } }
if helper.has_uring() then
  settings_list[#settings_list + 1] = { transport = "uring", state = "per-worker" }
end

for _, settings in ipairs(settings_list) do
  describe(("fractal.notify [%s %s]"):format(settings.transport, settings.state), function()
    after_each(helper.teardown)

    local function mount(body, more)
      -- The state that runs the spec's code is the one whose file the clients see: they stay on its CPU.
      local m = helper.mount {
        source = probe.source(body, more), transport = settings.transport, state = settings.state,
      }
      local sh = m.sh
      m.sh = function(self, command, seconds, options)
        return sh(self, "taskset -cp 0 $$ >/dev/null; " .. command, seconds, options)
      end
      return m
    end

    it("inval_inode drops cached pages", function()
      local m = mount()
      assert.equal("the first text\n", content(m))
      probe.run(m, "file.text = 'another text!!\\n'")
      assert.equal("the first text\n", content(m))
      assert.equal("true", notify(m, "inval_inode(2)"))
      eventually(function() return content(m) == "another text!!\n" end, content(m))
    end)

    it("inval_inode with an offset keeps the pages before it", function()
      local m = mount("file.text = ('a'):rep(4096) .. ('b'):rep(4096)")
      local both = "head -c 1 $MNT/file; tail -c 1 $MNT/file"
      assert.equal("ab", select(2, m:sh(both, 5)))
      probe.run(m, "file.text = ('c'):rep(4096) .. ('d'):rep(4096)")
      assert.equal("true", notify(m, "inval_inode(2, 4096, 4096)"))
      eventually(function() return select(2, m:sh(both, 5)) == "ad" end, select(2, m:sh(both, 5)))
    end)

    it("inval_inode with a negative offset drops attributes only", function()
      local m = mount()
      local both = "stat -c %a $MNT/file; head -c 3 $MNT/file"
      assert.equal("666\nthe", select(2, m:sh(both, 5)))
      probe.run(m, "file.text, file.mode = 'THE FIRST TEXT\\n', 0x8180")
      assert.equal("666\nthe", select(2, m:sh(both, 5)))
      assert.equal("true", notify(m, "inval_inode(2, -1)"))
      eventually(function() return select(2, m:sh(both, 5)) == "600\nthe" end, select(2, m:sh(both, 5)))
    end)

    it("inval_entry drops a cached name", function()
      local m = mount()
      assert.is_true(m:sh("test -e $MNT/file", 5))
      probe.run(m, "file.gone = true")
      assert.is_true(m:sh("test -e $MNT/file", 5))
      assert.equal("true", notify(m, "inval_entry(1, 'file')"))
      eventually(function() return not m:sh("test -e $MNT/file", 5) end)
    end)

    it("inval_entry has a negative entry looked up again", function()
      local m = mount("file.gone = true", "negative_ttl = 1000")
      assert.is_false(m:sh("test -e $MNT/file", 5))
      probe.run(m, "file.gone = false")
      assert.is_false(m:sh("test -e $MNT/file", 5))
      assert.equal("true", notify(m, "inval_entry(1, 'file')"))
      eventually(function() return m:sh("test -e $MNT/file", 5) end)
    end)

    it("inval_entry 'expire' has a name looked up again, and what is mounted on it stays", function()
      local m = mount [[
        function fs.lookup(req, parent, name, entry)
          if name ~= "dir" then return nil, E.NOENT end
          entry.ino, entry.attr.mode = 3, 0x41ed
        end
        function fs.getattr(req, ino, attr) attr.mode = 0x41ed end]]
      local marked = "mountpoint -q $MNT/dir"
      finally(function() m:sh("umount $MNT/dir", 5) end)
      assert.is_true(m:sh("mount -t tmpfs none $MNT/dir && " .. marked, 5))
      local before = probe.count(m, "lookup")
      assert.equal("true", notify(m, "inval_entry(1, 'dir', 'expire')"))
      eventually(function()
        return m:sh(marked, 5) and probe.count(m, "lookup") == before + 1
      end)
      assert.equal("true", notify(m, "inval_entry(1, 'dir')"))
      eventually(function() return not m:sh(marked, 5) end)
    end)

    it("delete tells those who watch the file", function()
      local m = mount()
      local watcher = client.start(m, [[
        local fd = must.inotify(MNT .. "/file", "delete_self")
        print "watching"
        io.stdout:flush()
        assert(sys.poll(fd, "in", 5000) ~= 0, "nothing seen")
        print(must.inotify_read(fd)[1].mask)]])
      eventually(function() return watcher.output():find "watching" end)
      probe.run(m, "file.gone = true")
      assert.equal("true", notify(m, "delete(1, 2, 'file')"))
      assert.equal(0, watcher:wait(6), watcher.output())
      assert.equal("watching\n1024\n", watcher.output())
      assert.is_false(m:sh("test -e $MNT/file", 5))
    end)

    it("store puts bytes into the page cache: nobody asks for them", function()
      local m = mount()
      assert.equal("15\n", select(2, m:sh("stat -c %s $MNT/file", 5)))
      assert.equal("true", probe.run(m, [[
        file.text = ("x"):rep(4096) .. "the end"
        return fractal.notify.store(2, 0, file.text)]]))
      eventually(function() return select(2, m:sh("stat -c %s $MNT/file", 5)) == "4103\n" end)
      assert.equal("the end", select(2, m:sh("tail -c 7 $MNT/file", 5)))
      assert.equal(0, probe.count(m, "read"))
    end)

    it("store takes a view", function()
      local m = mount [[
        file.text = "before"
        function fs.setxattr(req, ino, name, value) return fractal.notify.store(2, 0, value) end]]
      assert.is_true(m:sh("setfattr -n user.store -v stored $MNT/file", 5))
      eventually(function() return content(m) == "stored" end)
    end)

    it("retrieve brings cached bytes to the state that asked", function()
      local m = mount()
      assert.equal("the first text\n", content(m))
      local got = [[seen.got = {}; local ok, err = fractal.notify.retrieve(2, %s, 100, function(data, offset)
        seen.got[#seen.got + 1] = ("%%q at %%d"):format(data, offset) end) return ok, err]]
      assert.equal("true", probe.run(m, got:format("4")))
      eventually(function() return probe.run(m, "return seen.got[1]") == '"first text\\\n" at 4' end,
        probe.run(m, "return seen.got[1]"))
      -- Nothing is cached there: an empty answer.
      assert.equal("true", probe.run(m, got:format("1e6")))
      eventually(function() return probe.run(m, "return seen.got[1]") == '"" at 1000000' end)
    end)

    it("retrieve brings what a client has mapped and changed", function()
      local m = mount()
      local writer = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        local p = must.mmap(15, "read, write", "shared", fd)
        require("ffi").copy(p, "THE", 3)
        print "changed"
        io.stdout:flush()
        sys.sleep(10)]])
      eventually(function() return writer.output():find "changed" end)
      probe.run(m, "return fractal.notify.retrieve(2, 0, 100, function(data) seen.data = data end)")
      eventually(function() return probe.run(m, "return seen.data") == "THE first text\n" end)
      writer:kill "kill"
    end)

    it("retrieve brings large data whole", function()
      local m = mount "file.text = ('0123456789abcdef'):rep(65536)"
      assert.is_true(m:sh("cat $MNT/file >/dev/null", 5))
      probe.run(m, [[
        for i = 0, 3 do
          assert(fractal.notify.retrieve(2, i * 262144, 262144, function(data, offset)
            seen[i] = data == file.text:sub(offset + 1, offset + 262144)
          end))
        end]])
      eventually(function()
        return probe.run(m, "return seen[0], seen[1], seen[2], seen[3]") == "true true true true"
      end)
    end)

    it("retrieve tells of an inode that the kernel does not know", function()
      local m = mount()
      probe.run(m, "return fractal.notify.retrieve(99, 0, 100, function(...) seen.answer = { ... } end)")
      eventually(function()
        return probe.run(m, "return seen.answer and seen.answer[1], seen.answer and seen.answer[2] == E.NOENT")
          == "nil true"
      end)
    end)

    it("retrieve without a function waits for the data", function()
      local m = mount [[
        function fs.getxattr(req, ino, name)
          if name == "user.cached" then return fractal.notify.retrieve(2, 0, 100) end
          return fractal.notify.retrieve(99, 0, 100)
        end]]
      assert.equal("the first text\n", content(m))
      for cpu = 0, 1 do
        local get = "taskset -c %d getfattr --absolute-names --only-values -n user.cached $MNT/file"
        local ok, out = m:sh(get:format(cpu), 5)
        assert.is_true(ok, out)
        assert.equal("the first text\n", out)
      end
      assert.truthy(select(2, m:sh("getfattr -n user.other $MNT/file", 5)):find "No such file")
    end)

    it("an error in retrieve's function is logged", function()
      local m = mount()
      content(m)
      probe.run(m, "return fractal.notify.retrieve(2, 0, 100, function() error('no taste') end)")
      eventually(function()
        local title = "error in a function given to fractal.notify.retrieve\n"
        return m.log():find(title, 1, true) and m.log():find "no taste"
      end, m.log())
    end)

    it("poll wakes who waits", function()
      local m = mount [[
        function fs.open(req, ino, open) open.direct_io = true end
        function fs.poll(req, ino, events, handle, fh)
          seen.handle = handle or seen.handle
          return file.ready and 1 or 0
        end]]
      local waiter = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdonly")
        local before = sys.clock "monotonic"
        local ready = must.poll(fd, "in", 8000)
        print(ready, sys.clock "monotonic" - before < 7)]])
      -- Of per-worker states the one that was asked knows the handle.
      local per_worker = settings.state == "per-worker"
      if not per_worker then
        eventually(function() return probe.run(m, "return seen.handle ~= nil") == "true" end)
        assert.is_nil(waiter:poll())
        assert.equal("true", probe.run(m, "file.ready = true return fractal.notify.poll(seen.handle)"))
        assert.equal(0, waiter:wait(5))
        assert.equal("1\ttrue\n", waiter.output())
      end
      waiter:kill "kill"
    end)

    it("inc_epoch has all names looked up again", function()
      local m = mount()
      m:sh("test -e $MNT/file", 5)
      local before = probe.count(m, "lookup")
      m:sh("test -e $MNT/file", 5)
      assert.equal(before, probe.count(m, "lookup"))
      assert.equal("true", notify(m, "inc_epoch()"))
      eventually(function()
        m:sh("test -e $MNT/file", 5)
        return probe.count(m, "lookup") == before + 1
      end)
    end)

    it("prune makes the kernel forget an inode that nobody uses", function()
      local m = mount "function fs.forget(req, ino, nlookup) seen[ino] = nlookup end"
      m:sh("test -e $MNT/file", 5)
      -- A forget may reach any worker.
      local sum = 0
      assert.equal("true", notify(m, "prune { 2, 99 }"))
      eventually(function()
        sum = tonumber(probe.run(m, "return seen[2] or 0"))
        return sum == 1 or settings.state == "per-worker"
      end)
      local before = probe.count(m, "lookup")
      m:sh("test -e $MNT/file", 5)
      assert.equal(before + 1, probe.count(m, "lookup"))
    end)

    it("works from the handler whose own pages it concerns", function()
      local m = mount [[
        function fs.read(req, ino, buf, offset)
          for _ = 1, 100 do
            assert(fractal.notify.inval_inode(2))
            assert(fractal.notify.store(2, 0, "stored"))
            assert(fractal.notify.inval_entry(1, "file"))
          end
          return file.text:sub(offset + 1)
        end]]
      for _ = 1, 5 do
        assert.equal(6, #content(m):match "^......")
      end
      assert.equal(0, m:unmount())
    end)

    it("works from background tasks", function()
      local m = mount [[
        function fs.init()
          fractal.every(0.05, function()
            file.text = file.text == "tick" and "tock" or "tick"
            fractal.notify.inval_inode(2)
          end)
        end]]
      if settings.state == "single" then
        eventually(function() return content(m) == "tick" end)
        eventually(function() return content(m) == "tock" end)
      end
      assert.equal(0, m:unmount())
    end)

    it("does not concern itself with what is not cached", function()
      local m = mount()
      for _, call in ipairs { "inval_inode(77)", "inval_entry(1, 'nothing')", "delete(1, 77, 'nothing')",
        "store(77, 0, 'x')", "poll(77)", "prune { 77 }" } do
        assert.equal("true", notify(m, call))
      end
      assert.equal(0, m:unmount())
      assert.is_nil(m.log():find "refused")
    end)

    it("logs what the kernel refuses, once", function()
      local m = mount()
      for _ = 1, 3 do
        assert.equal("true", notify(m, "store(1, 0, 'a directory has no pages')"))
      end
      eventually(function() return m.log():find "notify store" end)
      assert.equal(0, m:unmount())
      assert.truthy(m.log():find("warning: notify store: the kernel refused it: Invalid argument\n", 1, true), m.log())
      assert.equal(1, select(2, m.log():gsub("notify store", "")))
    end)

    it("checks its arguments", function()
      local m = mount()
      local function why(call)
        return probe.run(m, ("local ok, err = pcall(function() return fractal.notify.%s end) return err"):format(call))
      end
      assert.truthy(why("inval_inode('x')"):find("the inode is a number, not a string", 1, true))
      assert.truthy(why("inval_inode(1.5)"):find("the inode is a whole number from 0 on, not 1.5", 1, true))
      assert.truthy(why("inval_entry(1, 'x', 'drop')"):find("\"expire\" or nothing behind the name, not drop", 1, true))
      assert.truthy(why("store(2, 0, {})"):find("store takes a string or a view, not a table", 1, true))
      assert.truthy(why("retrieve(2, 0, 10, 'f')"):find("the last argument is a function, not a string", 1, true))
      assert.equal("nil File name too long", notify(m, "inval_entry(1, ('n'):rep(5000))"))
      assert.equal("nil Invalid argument", notify(m, "inval_entry(1, '')"))
      assert.equal("nil Message too long", notify(m, "store(2, 0, ('x'):rep(17 * 2^20))"))
    end)
  end)
end

helper.each_transport(function(transport)
  describe("fractal.notify", function()
    after_each(helper.teardown)

    it("is refused before the mount answers and after its end", function()
      local m = helper.mount {
        source = probe.source [[
          function fs.init()
            fractal.log.info("in init: %s", fractal.strerror(select(2, fractal.notify.inc_epoch())))
          end
          function fs.destroy() fractal.log.info("at the end: %s", tostring((fractal.notify.inc_epoch()))) end]],
        transport = transport,
      }
      assert.equal(0, m:unmount())
      assert.truthy(m.log():find("in init: Transport endpoint is not connected\n", 1, true), m.log())
      assert.truthy(m.log():find("at the end: nil\n", 1, true), m.log())
    end)

    -- The notifier waits in the kernel for a page that is being read: the read's handler keeps it there.
    local blocked = [[
      function fs.read(req, ino, buf, offset)
        fractal.notify.inval_inode(2)
        fractal.log.info("reading")
        fractal.io.sleep(SECONDS)
        local n, err = 0, nil
        while not err do
          err = select(2, fractal.notify.inc_epoch())
          n = n + 1
        end
        seen.n, seen.err = n, fractal.strerror(err)
        return file.text:sub(offset + 1)
      end]]

    it("has a bounded queue while the kernel holds it up", function()
      local m = helper.mount { source = probe.source((blocked:gsub("SECONDS", "0.3"))), transport = transport }
      assert.equal("the first text\n", content(m))
      assert.equal("16385 No buffer space available", probe.run(m, "return seen.n, seen.err"))
      assert.equal(0, m:unmount())
    end)

    it("does not keep the mount from ending", function()
      local m = helper.mount { source = probe.source((blocked:gsub("SECONDS", "1000"))), transport = transport }
      local reader = m:start "cat $MNT/file"
      eventually(function() return m.log():find "reading" end)
      m:kill "term"
      helper.eventually(0.5, function() return false end)
      m:kill "term"
      assert.truthy(m:wait(10))
      assert.truthy(reader:wait(5))
      assert.is_false(helper.is_mounted(m.dir))
    end)
  end)
end)

describe("fractal.notify.resend", function()
  after_each(helper.teardown)

  it("has an unanswered request served again on the classic transport", function()
    local m = helper.mount {
      source = probe.source [[
        function fs.read(req, ino, buf, offset)
          if offset > 0 then return "" end
          seen[#seen + 1] = req.unique
          if req.resent then return "the second answer\n" end
          fractal.io.sleep(20)
          return "the first answer\n"
        end
        function fs.getattr(req, ino, attr) fill(ino, attr) attr.size = 100 end
        function fs.open(req, ino, open) open.direct_io = true end]],
      transport = "dev",
    }
    local reader = m:start "head -c 100 $MNT/file"
    eventually(function() return probe.run(m, "return #seen") == "1" end)
    assert.equal("true", notify(m, "resend()"))
    assert.equal(0, reader:wait(5), reader.output())
    assert.truthy(reader.output():find "^the second answer\n")
    assert.equal("true", probe.run(m, "return seen[1] == seen[2]"))
    m:kill "term"
  end)
end)
