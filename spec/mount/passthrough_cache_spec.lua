-- What the kernel keeps of a passthrough mount: the three ways to cache, each shown by an effect, files that the kernel
-- reads and writes itself, and a worker that serves others while the source is slow.

local client = require "spec.client"
local filesystems = require "spec.filesystems"
local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local plain = [[return require "fractal.passthrough" {}]]

-- An attribute of the root tells how often contents went through the server.
local counting = [[
local fs = require "fractal.passthrough" { state = "single" }
local getxattr, count = fs.getxattr, 0
for _, name in ipairs { "read", "write" } do
  local old = fs[name]
  fs[name] = function(...)
    count = count + 1
    return old(...)
  end
end
function fs.getxattr(req, ino, name)
  if name == "user.count" then return tostring(count) end
  return getxattr(req, ino, name)
end
return fs]]

local function mount(text, options, transport, more)
  local all = { source = text, transport = transport, options = {} }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  for name, value in pairs(options) do
    all.options[name] = value
  end
  all.options.source = all.options.source or filesystems.source "tmpfs"
  local m = helper.mount(all)
  m.source = all.options.source
  return m
end

local function count(m)
  local ok, out = m:sh("getfattr --absolute-names --only-values -n user.count $MNT", 10)
  assert.is_true(ok, out)
  return tonumber(out)
end

-- For the clients: contents of the source that change behind the mount's back, without size and times telling it.
local behind_the_back = [[
  local source = arg[1]
  local function change(name, text)
    local st = must.stat(source .. "/" .. name)
    local fd = must.open(source .. "/" .. name, "wronly")
    must.pwrite(fd, text, 0)
    must.close(fd)
    must.utimens(source .. "/" .. name, { st.atime.sec, st.atime.nsec }, { st.mtime.sec, st.mtime.nsec })
  end
  local function content(name)
    local fd = must.open(MNT .. "/" .. name, "rdonly")
    local text = must.read(fd, 1000)
    must.close(fd)
    return text
  end
]]

helper.each_transport(function(transport)
  describe("a passthrough mount", function()
    after_each(helper.teardown)

    it("asks for everything with cache=never", function()
      local m = mount(plain, { cache = "never" }, transport)
      helper.write_file(m.source .. "/file", "first")
      client.output(m, behind_the_back .. [[
        local fd = must.open(MNT .. "/file", "rdonly")
        for i = 1, 20 do
          assert(must.pread(fd, 5, 0) == "first")
          change("file", "other")
          assert(must.pread(fd, 5, 0) == "other")
          change("file", "first")
          must.truncate(source .. "/file", 100 + i)
          assert(must.stat(MNT .. "/file").size == 100 + i)
          must.rename(source .. "/file", source .. "/moved")
          assert(select(2, sys.stat(MNT .. "/file")) == "ENOENT")
          must.rename(source .. "/moved", source .. "/file")
          assert(must.stat(MNT .. "/file").size == 100 + i)
        end]], 10, { m.source })
    end)

    it("keeps names and attributes for a second, contents until the next open, with cache=auto", function()
      local m = mount(plain, {}, transport)
      helper.write_file(m.source .. "/file", "first")
      client.output(m, behind_the_back .. [[
        local fd = must.open(MNT .. "/file", "rdonly")
        assert(must.pread(fd, 5, 0) == "first")
        change("file", "other")
        assert(must.pread(fd, 5, 0) == "first", "contents were not kept")
        assert(content "file" == "other", "contents were kept beyond an open")
        must.stat(MNT .. "/file")
        must.truncate(source .. "/file", 1000)
        assert(must.stat(MNT .. "/file").size == 5, "attributes were not kept")
        sys.sleep(1.2)
        assert(must.stat(MNT .. "/file").size == 1000, "attributes were kept beyond their time")
        must.unlink(source .. "/file")
        assert(sys.stat(MNT .. "/file"), "the name was not kept")
        sys.sleep(1.2)
        local _, err = sys.stat(MNT .. "/file")
        assert(err == "ENOENT", "the name was kept beyond its time")]], 10, { m.source })
    end)

    it("takes other times for cache=auto", function()
      local m = mount(plain, { attr_ttl = 0, entry_ttl = 0 }, transport)
      helper.write_file(m.source .. "/file", "first")
      client.output(m, [[
        for i = 1, 20 do
          must.truncate(arg[1] .. "/file", i)
          assert(must.stat(MNT .. "/file").size == i)
        end]], 10, { m.source })
    end)

    it("keeps everything with cache=always", function()
      local m = mount(plain, { cache = "always" }, transport)
      helper.write_file(m.source .. "/file", "first")
      client.output(m, behind_the_back .. [[
        must.open(MNT .. "/file", "rdonly") -- an inode in use stays, whatever else needs memory
        assert(content "file" == "first")
        must.stat(MNT .. "/file") -- birth times are asked for once
        change("file", "other")
        must.truncate(source .. "/file", 1000)
        must.close(must.open(source .. "/another", "wronly creat", "644"))
        sys.sleep(1.5)
        assert(content "file" == "first")
        assert(must.stat(MNT .. "/file").size == 5)
        must.unlink(source .. "/file")
        assert(must.stat(MNT .. "/file").size == 5)]], 10, { m.source })
    end)

    it("gathers writes with writeback_cache, also to files that are open for writing only", function()
      local m = mount(plain, { writeback_cache = true, cache = "always" }, transport)
      local text = ("0123456789abcdef"):rep(4096)
      helper.write_file(m.source .. "/file", text)
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "wronly")
        for i = 1, 1000 do must.pwrite(fd, "x", i * 61) end
        local log = must.open(MNT .. "/log", "wronly creat append", "644")
        for i = 1, 1000 do must.write(log, "line\n") end
        must.close(log)
        must.fsync(fd)]], 10)
      local expected = {}
      for i = 1, #text do
        local hit = (i - 1) % 61 == 0 and i > 1 and (i - 1) / 61 <= 1000
        expected[i] = hit and "x" or text:sub(i, i)
      end
      assert.equal(0, m:unmount())
      assert.equal(table.concat(expected), helper.read_file(m.source .. "/file"))
      assert.equal(("line\n"):rep(1000), helper.read_file(m.source .. "/log"))
    end)

    it("serves others while the source is slow", function()
      local slow = helper.mount { transport = transport, workers = 2, source = script.one_file [[
        function fs.read(req, ino, buf)
          fractal.io.sleep(1)
          return buf:fill(120)
        end
        function fs.fsync() fractal.io.sleep(1) end]] }
      for _, state in ipairs { "single", "per-worker" } do
        local m = mount(plain, { source = slow.dir, attr_ttl = 60, entry_ttl = 60 }, transport,
          { workers = 1, state = state })
        client.output(m, [[
          local fd = must.open(MNT .. "/file", "rdwr")
          for _, call in ipairs { function() return must.read(fd, 100) end, function() return must.fsync(fd) end } do
            local pid = must.fork()
            if pid == 0 then
              call()
              sys.exit(0)
            end
            sys.sleep(0.2)
            local begun = sys.clock("monotonic")
            must.statvfs(MNT)
            assert(sys.clock("monotonic") - begun < 0.5, "a request waited for another's disk")
            assert(must.waitpid(pid, true) == 0, "the slow call was not slow")
            must.waitpid(pid)
          end]], 20)
        assert.equal(0, m:unmount())
      end
    end)
  end)

  if helper.is_root then
    describe("kernel passthrough of a mirror", function()
      after_each(helper.teardown)

      -- Writes, reads and maps a file.
      local work = [[
        local fd = must.open(MNT .. "/file", "rdwr creat", "644")
        for i = 1, 100 do must.write(fd, ("line %05d\n"):format(i)) end
        assert(must.pread(fd, 11, 11 * 41) == "line 00042\n")
        local p = must.mmap(1100, "read write", "shared", fd)
        p[0] = 76
        assert(must.pread(fd, 4, 0) == "Line")
        must.msync(p, 1100, "sync")
        must.close(fd)
        assert(#must.read(must.open(MNT .. "/file", "rdonly"), 2000) == 1100)]]

      it("takes reads and writes away from the server", function()
        local m
        for _, value in ipairs { "on", true } do -- passthrough=on, and the name of the capability alone
          m = mount(counting, { passthrough = value }, transport)
          client.output(m, work, 10)
          assert.equal(0, count(m))
          assert.truthy(helper.read_file(m.source .. "/file"):find "^Line 00001\nline 00002\n.*line 00100\n$")
        end
        m = mount(counting, {}, transport)
        client.output(m, work, 10)
        assert.is_true(count(m) >= 100)
      end)

      it("stands processes on several processors that open one file", function()
        local m = mount(plain, { passthrough = "on" }, transport)
        helper.write_file(m.source .. "/file", "text")
        client.output(m, [[
          local pids = {}
          for i = 1, 4 do
            local pid = must.fork()
            if pid == 0 then
              for round = 1, 3000 do
                local fd = must.open(MNT .. "/file", "rdonly")
                assert(must.read(fd, 10) == "text")
                must.close(fd)
              end
              sys.exit(0)
            end
            pids[i] = pid
          end
          for _, pid in ipairs(pids) do assert(select(2, must.waitpid(pid)) == 0, "an open failed") end]], 60)
        assert.equal("", (m.log():gsub("mounted [^\n]*\n", "")))
      end)

      it("lets flock end with its file", function()
        local m = mount(plain, { passthrough = "on" }, transport)
        client.output(m, [[
          local first = must.open(MNT .. "/file", "rdwr creat", "644")
          local second = must.open(MNT .. "/file", "rdwr")
          must.flock(first, "ex")
          assert(select(2, sys.flock(second, "ex nb")) == "EAGAIN")
          must.close(first)
          local limit = sys.clock("monotonic") + 5
          while not sys.flock(second, "ex nb") do assert(sys.clock("monotonic") < limit) end]], 10)
      end)

      it("is refused together with writeback_cache", function()
        local base = helper.directory()
        helper.write_file(base .. "/script.lua", plain)
        assert(sys.mkdir(base .. "/mnt", "755"))
        local result = helper.run({ "-o", "source=/,passthrough=on,writeback_cache,transport=" .. transport,
          base .. "/script.lua", base .. "/mnt" }, 20)
        assert.equal(1, result.status)
        assert.truthy(result.err:find("passthrough and writeback_cache exclude each other", 1, true), result.err)
      end)

      if helper.read_file("/proc/filesystems"):find("\toverlay\n", 1, true) then
        it("leaves files of a filesystem that is stacked too deep to the server", function()
          local base = helper.tmpfs()
          local made = process.run({ "sh", "-c", [[cd "$1"; mkdir lower upper work merged
            mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged]], "sh", base }, 20)
          assert.equal(0, made.status, made.err)
          finally(function() sys.umount(base .. "/merged") end)
          local m = mount(counting, { passthrough = "on", source = base .. "/merged" }, transport)
          client.output(m, work, 10)
          assert.is_true(count(m) >= 100)
          assert.equal(0, m:unmount())
          m = mount(counting, { passthrough = "on", source = base .. "/merged", max_stack_depth = 2 }, transport)
          client.output(m, work, 10)
          assert.equal(0, count(m))
        end)
      end
    end)
  end
end)
