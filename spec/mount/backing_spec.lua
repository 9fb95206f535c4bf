-- Kernel passthrough: reads and writes go to the backing file, and the server sees none of them.

local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

-- Opens of "file" use the file named by the environment; an id is opened once for all open files.
local passing = [[
  ffi.cdef "int open(const char *, int, ...); int close(int);"
  local backing = fractal.backing
  function seen.open_id(path, flags)
    local fd = ffi.C.open(path or os.getenv "BACKING", flags or 2)
    local id, err = backing.open(fd)
    if fd >= 0 then ffi.C.close(fd) end
    return id, err
  end
  function fs.getattr(req, ino, attr)
    fill(ino, attr)
    if ino == 2 then attr.size = 1048576 end
  end
  function fs.lookup(req, parent, name, entry)
    if name ~= "file" then return nil, E.NOENT end
    entry.ino = 2
    fs.getattr(req, 2, entry.attr)
  end
  function fs.open(req, ino, open)
    local id, err = backing.of(ino)
    if not id then id, err = seen.open_id() end
    if not id then return nil, err end
    seen.id = id
    open.fh, open.backing_id = 7, id
  end
  function fs.release(req, ino, fh) seen.released = fh end
]]

local function eventually(fn, what)
  assert.truthy(helper.eventually(5, fn), what)
end

helper.each_transport(function(transport)
  describe("fractal.backing", function()
    after_each(helper.teardown)

    -- The mount and the path of its backing file of 1 MiB.
    local function mount(body, settings, options)
      local path = helper.directory() .. "/backing"
      helper.write_file(path, ("0123456789abcdef"):rep(65536))
      local m = helper.mount {
        source = probe.source(passing .. (body or ""), settings or "passthrough = true"),
        transport = transport, env = { BACKING = path }, options = options,
      }
      return m, path
    end

    it("serves reads without the server", function()
      local m, path = mount()
      local ok, out = m:sh("cmp $MNT/file " .. path, 10)
      assert.is_true(ok, out)
      helper.write_file(path, ("fedcba9876543210"):rep(65536))
      assert.is_true(m:sh("cmp $MNT/file " .. path, 10))
      assert.equal(2, probe.count(m, "open"))
      assert.equal(0, probe.count(m, "read"))
    end)

    it("serves writes and mappings without the server", function()
      local m, path = mount()
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr")
        must.pwrite(fd, "WRITTEN", 10)
        local p = must.mmap(4096, "read, write", "shared", fd, 4096)
        require("ffi").copy(p, "MAPPED", 6)
        must.munmap(p, 4096)
        assert(must.pread(fd, 6, 4096) == "MAPPED")]], 10)
      local text = helper.read_file(path)
      assert.equal("0123456789WRITTEN123", text:sub(1, 20))
      assert.equal("MAPPED6789", text:sub(4097, 4106))
      assert.equal(0, probe.count(m, "read") + probe.count(m, "write"))
    end)

    it("takes one id for all open files and closes it with the last", function()
      local m = mount()
      client.output(m, [[
        local a = must.open(MNT .. "/file", "rdonly")
        local b = must.open(MNT .. "/file", "rdwr")
        assert(must.read(a, 4) == "0123")
        must.close(a)
        assert(must.pread(b, 4, 8) == "89ab")
        local c = must.open(MNT .. "/file", "rdonly")
        assert(must.pread(c, 4, 0) == "0123")]], 10)
      eventually(function() return probe.run(m, "return calls.release") == "3" end)
      assert.equal("7", probe.run(m, "return seen.released"))
      assert.equal("1 nil", probe.run(m, "return seen.id, tostring(fractal.backing.of(2))"))
      assert.equal("nil true", probe.run(m, "local ok, err = fractal.backing.close(1) return ok, err == E.NOENT"))
      -- The next open begins anew.
      assert.is_true(m:sh("head -c 1 $MNT/file", 5))
      assert.equal("2", probe.run(m, "return seen.id"))
    end)

    it("goes on with files that are open when an id is closed", function()
      local m = mount()
      local reader = client.start(m, [[
        local fd = must.open(MNT .. "/file", "rdonly")
        print "open"
        io.stdout:flush()
        while sys.getxattr(MNT, "user.result") ~= "closed" do sys.sleep(0.02) end
        print((must.read(fd, 4)))]])
      eventually(function() return reader.output():find "open" end)
      assert.equal("closed", probe.run(m, "assert(fractal.backing.close(seen.id)) return 'closed'"))
      assert.equal(0, reader:wait(5), reader.output())
      assert.equal("open\n0123\n", reader.output())
    end)

    it("comes with create, too", function()
      local m, path = mount [[
        function fs.create(req, parent, name, mode, entry, open)
          entry.ino, entry.attr.mode = 3, mode
          open.backing_id = assert(seen.open_id())
        end]]
      assert.is_true(m:sh("echo -n created >$MNT/new", 5))
      assert.equal("created", helper.read_file(path):sub(1, 7))
      assert.equal(0, probe.count(m, "write"))
      eventually(function()
        return probe.run(m, "local ok, err = fractal.backing.close(1) return ok, err == E.NOENT") == "nil true"
      end)
    end)

    it("reads as fast as the backing file", function()
      local dir = helper.tmpfs()
      local path = dir .. "/backing"
      local m = helper.mount {
        source = probe.source(passing .. "function fs.getattr(req, ino, attr) fill(ino, attr) attr.size = 2^26 end",
          "passthrough = true"),
        transport = transport, env = { BACKING = path },
      }
      client.output(m, [[
        local fd = must.open(arg[1], "wronly, creat", "600")
        for _ = 1, 64 do must.write(fd, ("x"):rep(2^20)) end]], 10, { path })
      local measure = [[
        local ffi = require "ffi"
        ffi.cdef "long pread(int, void *, size_t, long);"
        local buffer = ffi.new("char[?]", 2^20)
        local function best(path)
          local fd, least = must.open(path, "rdonly"), math.huge
          for _ = 1, 7 do
            local before = sys.clock "monotonic"
            for i = 0, 63 do assert(ffi.C.pread(fd, buffer, 2^20, i * 2^20) == 2^20) end
            least = math.min(least, sys.clock "monotonic" - before)
          end
          must.close(fd)
          return least
        end
        print(best(arg[1]) / best(MNT .. "/file"))]]
      local ratio
      eventually(function()
        ratio = tonumber(client.output(m, measure, 20, { path }))
        return ratio >= 0.9
      end, ratio)
      assert.equal(0, probe.count(m, "read"))
    end)

    it("is refused with a sentence where it was not asked for", function()
      local m = mount(nil, "")
      assert.is_false(m:sh("cat $MNT/file", 5))
      assert.is_false(m:sh("cat $MNT/file", 5))
      assert.equal("nil true", probe.run(m, "local id, err = seen.open_id() return id, err == E.OPNOTSUPP"))
      local sentence = "warning: backing file: kernel passthrough is not switched on: ask for it with -o passthrough"
      assert.equal(1, select(2, m.log():gsub(sentence:gsub("%p", "%%%0"), "")), m.log())
    end)

    it("is refused with a sentence without CAP_SYS_ADMIN", function()
      local m = helper.mount {
        source = probe.source(passing, "passthrough = true"),
        transport = transport, env = { BACKING = "/dev/null" }, user = 65534,
      }
      local ok, out = m:sh("cat $MNT/file", 5, { user = 65534 })
      assert.is_false(ok)
      assert.truthy(out:find("Operation not permitted", 1, true), out)
      assert.truthy(m.log():find(
        "warning: backing file: kernel passthrough needs CAP_SYS_ADMIN: run as root, or leave the capability out\n", 1,
        true), m.log())
      assert.equal(0, m:unmount())
    end)

    it("is refused with a sentence for what is no regular file, or no file", function()
      local m = mount()
      assert.equal("nil true", probe.run(m, [[
        local id, err = seen.open_id("/proc", 0x10000) return id, err == E.ISDIR or err == E.INVAL]]))
      assert.truthy(m.log():find("warning: backing file: only regular files can be backing files\n", 1, true), m.log())
      assert.equal("nil true", probe.run(m, "local id, err = fractal.backing.open(-1) return id, err == E.BADF"))
      assert.equal("nil true nil true", probe.run(m, [[
        local a, b = fractal.backing.close(99)
        local c, d = fractal.backing.close(0)
        return a, b == E.NOENT, c, d == E.INVAL]]))
      assert.truthy(probe.run(m, "return pcall(fractal.backing.open, 'x')")
        :find("backing.open takes a file descriptor, not a string", 1, true))
    end)

    it("is refused with a sentence together with keep_cache", function()
      local m = mount [[
        local open_passing = fs.open
        function fs.open(req, ino, open)
          open.keep_cache = true
          return open_passing(req, ino, open)
        end]]
      local ok, out = m:sh("cat $MNT/file", 5)
      assert.is_false(ok)
      assert.truthy(out:find "Input/output error", out)
      local sentence = "error: open of inode 2 with backing id 1: keep_cache, nonseekable, cache_dir and stream do not "
        .. "go with it; the caller gets EIO\n"
      assert.truthy(m.log():find(sentence, 1, true), m.log())
    end)

    it("is refused for an id that nobody opened", function()
      local m = mount "function fs.open(req, ino, open) open.backing_id = seen.try or 0 end"
      local ok, out = m:sh("cat $MNT/file", 5)
      assert.is_false(ok)
      assert.truthy(out:find "Input/output error", out)
      assert.truthy(m.log():find("the backing id is not one that was opened; the caller gets EIO\n", 1, true), m.log())
      probe.run(m, "seen.try = 4711")
      assert.is_false(m:sh("cat $MNT/file", 5))
    end)

    it("waits for the mount to answer", function()
      local m = mount [[
        function fs.init()
          fractal.log.info("in init: %s", fractal.strerror(select(2, fractal.backing.open(0))))
        end]]
      assert.truthy(m.log():find("in init: Transport endpoint is not connected\n", 1, true), m.log())
    end)

    it("works on a stacked filesystem where max_stack_depth allows it", function()
      local below = mount()
      local function above(depth)
        return helper.mount {
          source = probe.source(passing, "passthrough = true, max_stack_depth = " .. depth),
          transport = transport, env = { BACKING = below.dir .. "/file" },
        }
      end
      local m = above(1)
      local ok, out = m:sh("cat $MNT/file", 5)
      assert.is_false(ok)
      assert.truthy(out:find "Too many levels", out)
      assert.truthy(m.log():find("a stacked filesystem: max_stack_depth allows no deeper one", 1, true), m.log())
      assert.equal(0, m:unmount())
      m = above(2)
      assert.equal("0123", select(2, m:sh("head -c 4 $MNT/file", 5)))
      assert.equal(0, probe.count(below, "read") + probe.count(m, "read"))
      assert.equal(0, m:unmount())
    end)
  end)
end)
