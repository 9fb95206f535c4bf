-- The examples that wait: passthrough_async.lua and chaosfs.lua on real mounts.

local client = require "spec.client"
local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

helper.each_transport(function(transport)
  describe("examples/sums.lua", function()
    after_each(helper.teardown)

    it("loses no number of several writers, and lets other files go on", function()
      local m = helper.mount { script = "examples/sums.lua", transport = transport,
        options = { dir = helper.directory(), pause = "0.01" } }
      local ok, out = m:sh([[
        cd $MNT && echo 1 >other && echo 0 >apples && echo 2.5 >apples && cat apples && ls
        echo many >apples]], 10)
      assert.is_false(ok)
      assert.truthy(out:find("^2.5\napples\nother\n.*Invalid argument"), out .. m.log())
      local writers = {}
      for i = 1, 4 do
        writers[i] = client.start(m, [[
          local fd = must.open(MNT .. "/apples", "wronly")
          for _ = 1, 25 do assert(must.write(fd, "2") == 1) end]])
      end
      -- The other file does not wait for them.
      assert.equal("1\n", client.output(m, [[
        local fd = must.open(MNT .. "/other", "rdonly")
        io.write((must.pread(fd, 100, 0)))]], 10))
      for _, one in ipairs(writers) do
        assert.equal(0, one:wait(20), one.output() .. m.log())
      end
      ok, out = m:sh("cat $MNT/apples", 5)
      assert.is_true(ok, out)
      assert.equal("202.5\n", out)
      assert.equal(0, m:unmount())
    end)

    it("gives up the wait for a lock when its caller is interrupted", function()
      local dir = helper.directory()
      helper.write_file(dir .. "/apples", "1000\n") -- a write that made the file longer would be let in alone
      local m = helper.mount { script = "examples/sums.lua", transport = transport,
        options = { dir = dir, pause = "30" } }
      local function writer(number)
        local one = client.start(m, [[
          local fd = must.open(MNT .. "/apples", "wronly")
          print "open"
          io.stdout:flush()
          must.pwrite(fd, arg[1], 0)]], { number })
        assert.truthy(helper.eventually(5, function() return one.output() == "open\n" end))
        sys.sleep(0.2) -- until it waits
        return one
      end
      local first, second = writer(1), writer(5)
      second:kill("term")
      assert.truthy(second:wait(10), "a writer that hangs")
      assert.is_nil(first:poll(), "the first writer did not hold the lock")
      first:kill("term")
      assert.truthy(first:wait(10), "a writer that hangs")
      assert.equal("1000\n", client.output(m, 'io.write((must.read(must.open(MNT .. "/apples"), 100)))', 10))
    end)
  end)

  describe("examples/passthrough_async.lua", function()
    after_each(helper.teardown)

    local function mount(source, more)
      local settings = {
        script = "examples/passthrough_async.lua", transport = transport, options = { source = source },
      }
      for name, value in pairs(more or {}) do settings[name] = value end
      return helper.mount(settings)
    end

    it("reads and writes files", function()
      local source = helper.directory()
      local m = mount(source)
      local ok, out = m:sh([[
        set -e
        head -c 3000000 /dev/urandom > $MNT/data
        cmp $MNT/data ]] .. source .. [[/data
        dd if=/dev/zero of=$MNT/data bs=4096 seek=3 count=2 conv=notrunc,fsync status=none
        cmp $MNT/data ]] .. source .. [[/data
        echo more >> $MNT/data
        tail -c 5 $MNT/data
        : > $MNT/data
        stat -c %s $MNT/data]], 15)
      assert.is_true(ok, out .. m.log())
      assert.equal("more\n0\n", out)
      assert.equal(0, m:unmount())
    end)

    it("lets 32 readers of a fifo wait without delaying a fast file", function()
      local source = helper.directory()
      helper.write_file(source .. "/fast", ("x"):rep(4096))
      assert(os.execute("mkfifo " .. source .. "/slow"))
      local m = mount(source, { workers = 1, options = { source = source, queue_depth = 64 } })
      local slow = {}
      for i = 1, 32 do slow[i] = m:start("head -c 1 $MNT/slow") end
      sys.sleep(1)
      for i = 1, 32 do assert.is_nil(slow[i]:poll()) end
      local p99 = tonumber(client.output(m, [[
        local fd = must.open(MNT .. "/fast", "rdonly")
        local times = {}
        for i = 1, 2000 do
          local begun = sys.clock "monotonic"
          assert(#must.pread(fd, 4096, 0) == 4096)
          times[i] = sys.clock "monotonic" - begun
        end
        table.sort(times)
        print(times[1980])]], 20))
      assert.is_true(p99 < 0.005, "p99 of the fast file: " .. p99 .. " s")
      m:start("printf '%032d' 0 > " .. source .. "/slow")
      for i = 1, 32 do
        assert.equal(0, slow[i]:wait(5) or "a reader that hangs")
        assert.equal("0", slow[i].output())
      end
      assert.equal(0, m:unmount())
    end)
  end)

  describe("examples/chaosfs.lua", function()
    after_each(helper.teardown)

    local function mount(rules)
      local source, file = helper.directory(), helper.directory() .. "/rules"
      helper.write_file(source .. "/file", ("0123456789"):rep(1000))
      helper.write_file(file, rules)
      return helper.mount {
        script = "examples/chaosfs.lua", transport = transport, options = { source = source, rules = file },
      }
    end

    it("mirrors faithfully without a rule for what is done", function()
      local m = mount "# nothing\n\n"
      local ok, out = m:sh("wc -c < $MNT/file && echo x > $MNT/new && cat $MNT/new && mkdir $MNT/d && ls $MNT", 5)
      assert.is_true(ok, out)
      assert.equal("10000\nx\nd\nfile\nnew\n", out)
      assert.equal(0, m:unmount())
    end)

    it("injects errors, delays and short reads", function()
      local m = mount "write error ENOSPC\nread delay 0.2\nread short\nmkdir error EDQUOT 1\n"
      assert.equal("ENOSPC EDQUOT\n5000 true\n", client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        print(select(2, sys.pwrite(fd, "x", 0)) .. " " .. select(2, sys.mkdir(MNT .. "/dir", "755")))
        local begun = sys.clock "monotonic"
        local text = must.pread(fd, 10000, 0)
        print(#text .. " " .. tostring(sys.clock "monotonic" - begun >= 0.2))]], 10))
      assert.equal(0, m:unmount())
    end)

    it("applies a rule as often as it says", function()
      local m = mount "read error EIO 0.5\n"
      local failed = tonumber(client.output(m, [[
        local fd, failed = must.open(MNT .. "/file", "rdonly"), 0
        for i = 1, 400 do
          if not sys.pread(fd, 10, 0) then failed = failed + 1 end
        end
        print(failed)]], 10))
      assert.is_true(failed > 120 and failed < 280, failed .. " of 400 reads failed")
    end)

    it("refuses what is no rule, with a sentence", function()
      local ok, err = pcall(mount, "read explode\n")
      assert.is_false(ok)
      assert.truthy(tostring(err):find(
        '"read explode" is no rule; one reads: OPERATION delay SECONDS|error NAME|short [PROBABILITY]', 1, true), err)
    end)
  end)
end)
