-- INIT's capabilities: how each is switched, what excludes what, and that switching it has the effect it names.

local caps = require "fractal.caps"
local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

local function eventually(fn, what)
  assert.truthy(helper.eventually(5, fn), what)
end

-- Runs the command on a script that must not come to be mounted; returns what it printed.
local function refused(source, options)
  local dir = helper.directory()
  helper.write_file(dir .. "/script.lua", source)
  local mountpoint = helper.directory()
  local argv = { dir .. "/script.lua", mountpoint }
  if options then
    table.insert(argv, 1, "-o")
    table.insert(argv, 2, options)
  end
  local result = helper.run(argv)
  assert.is_false(helper.is_mounted(mountpoint))
  assert.equal(1, result.status, result.err)
  return (result.err:gsub("^.-fractal%-lua: ", ""))
end

-- "on" or "off" as fractal.conn() tells it.
local function state_of(m, name)
  return probe.run(m, ("return fractal.conn()[%q] and 'on' or 'off'"):format(name))
end

describe("a capability", function()
  after_each(helper.teardown)

  it("has a name, a bit and a default of its own", function()
    local names, bits = {}, {}
    for _, cap in ipairs(caps) do
      assert.is_nil(names[cap.option], cap.option)
      assert.is_nil(bits[cap.bit], cap.option)
      names[cap.option], bits[cap.bit] = true, true
      assert.truthy(cap.doc:find "%w", cap.option)
    end
    -- All that protocol 7.45 defines: 0 to 42 without 31, which marks nothing.
    for bit = 0, 42 do
      assert.equal(bit ~= 31 or nil, bits[bit], "bit " .. bit)
    end
  end)

  it("is known to conn, to the settings and to -o", function()
    local settings, options = {}, {}
    for _, cap in ipairs(caps) do
      if cap.default ~= "CORE" and cap.default ~= "NEVER" and cap.option ~= "request_timeout" then
        settings[#settings + 1] = cap.option .. " = false"
        options[#options + 1] = "no" .. cap.option
      end
    end
    local names = {}
    for i, cap in ipairs(caps) do names[i] = ("%q"):format(cap.option) end
    local m = helper.mount {
      source = probe.source(([[
        local all = { %s }
        function fs.init(conn)
          for _, name in ipairs(all) do seen[name] = conn[name] ~= nil and conn:offers(name) ~= nil end
        end]]):format(table.concat(names, ", ")), table.concat(settings, ", ")),
      options = options,
    }
    for _, cap in ipairs(caps) do
      if cap.default ~= "CORE" and cap.default ~= "NEVER" and cap.option ~= "request_timeout" then
        assert.equal("off", state_of(m, cap.option), cap.option)
      end
    end
    assert.equal(tostring(#caps), probe.run(m, [[
      local n = 0
      for _, known in pairs(seen) do n = n + (known and 1 or 0) end
      return n]]))
  end)

  it("is switched by settings, by -o over them, and by init over both", function()
    local init = "function fs.init(conn) seen.before = conn.cache_symlinks %s end"
    local function check(setting, option, body, before, after)
      local m = helper.mount { source = probe.source(init:format(body), setting), options = { option } }
      assert.equal(before, probe.run(m, "return seen.before"))
      assert.equal(after, state_of(m, "cache_symlinks"))
      assert.equal(0, m:unmount())
    end
    check("", nil, "", "false", "off")
    check("cache_symlinks = true", nil, "", "true", "on")
    check("cache_symlinks = true", "nocache_symlinks", "", "false", "off")
    check("cache_symlinks = false", "cache_symlinks", "", "true", "on")
    check("", nil, "conn.cache_symlinks = true", "false", "on")
    check("", "cache_symlinks", "conn.cache_symlinks = false", "true", "off")
  end)

  it("is shown with the rest of the connection, which cannot be changed later", function()
    local m = helper.mount { source = probe.source(nil, "max_write = 65536, max_background = 7, time_gran = 100") }
    assert.equal("7 true 65536 7 6 100 16", probe.run(m, [[
      local c = fractal.conn()
      return c.proto_major, c.proto_minor >= 31, c.max_write, c.max_background, c.congestion_threshold, c.time_gran,
        c.max_pages]]))
    assert.truthy(probe.run(m, "return pcall(function() fractal.conn().writeback_cache = true end)"):find "^false")
    assert.truthy(probe.run(m, "return pcall(function() return fractal.conn().writeback_cash end)")
      :find("conn has no field 'writeback_cash'", 1, true))
    assert.truthy(probe.run(m, "return pcall(function() return fractal.conn():offers 'writeback_cash' end)")
      :find("'writeback_cash' is no capability", 1, true))
  end)

  it("that the library decides on cannot be chosen", function()
    assert.truthy(refused(probe.source "function fs.init(conn) conn.init_ext = false end")
      :find("init_ext cannot be chosen: the second half of these bits", 1, true))
    assert.truthy(refused(probe.source "function fs.init(conn) conn.over_io_uring = true end")
      :find("over_io_uring cannot be chosen: ", 1, true))
  end)

  it("that the kernel does not offer is an error in init, and a warning when it comes as a setting", function()
    assert.truthy(refused(probe.source "function fs.init(conn) conn.submounts = true end")
      :find("the kernel does not offer submounts", 1, true))
    local m = helper.mount { source = probe.source(), options = { "submounts" } }
    local sentence = "warning: this kernel does not offer submounts: going on without it\n"
    assert.truthy(m.log():find(sentence, 1, true), m.log())
    assert.equal("off", state_of(m, "submounts"))
  end)

  local exclusions = {
    {
      "passthrough", "writeback_cache",
      "passthrough and writeback_cache exclude each other: the kernel cannot gather the writes of files that it "
        .. "passes on; choose one\n",
    },
    {
      "allow_idmap", nil,
      "allow_idmap needs the mount option default_permissions: on an idmapped mount only the kernel knows who the "
        .. "caller is\n",
    },
    {
      "posix_acl", nil,
      "posix_acl needs the mount option default_permissions: the kernel enforces the lists together with the modes\n",
    },
    {
      "export_support", "no_export_support",
      "export_support and no_export_support contradict each other; choose one\n",
    },
    {
      "handle_killpriv", "handle_killpriv_v2",
      "handle_killpriv and handle_killpriv_v2 are two rules for the same bits; choose one\n",
    },
  }
  for _, case in ipairs(exclusions) do
    local one, other, sentence = unpack(case, 1, 3)
    it("is refused in a wrong combination: " .. one .. (other and " with " .. other or ""), function()
      local options = other and one .. "," .. other or one
      assert.equal("error: " .. sentence, refused(probe.source(), options))
      local settings = one .. " = true" .. (other and ", " .. other .. " = true" or "")
      assert.equal("error: " .. sentence, refused(probe.source(nil, settings)))
      local assign = "conn." .. one .. " = true " .. (other and "conn." .. other .. " = true" or "")
      assert.equal("error: " .. sentence, refused(probe.source("function fs.init(conn) " .. assign .. " end")))
    end)
  end

  it("follows from another: explicit_inval_data, readdirplus_auto, request_timeout", function()
    local m = helper.mount {
      source = probe.source("function fs.readdirplus() end", "explicit_inval_data = true"),
      options = { "noreaddirplus", request_timeout = 60 },
    }
    assert.equal("off", state_of(m, "auto_inval_data"))
    assert.equal("off", state_of(m, "readdirplus_auto"))
    assert.equal("60", probe.run(m, "return fractal.conn().request_timeout"))
  end)
end)

-- ---- effects -------------------------------------------------------------------------------------------------------

-- Counts how many calls of a handler overlap: overlap(function() … end) keeps the highest in seen.most.
local overlapping = [[
  local now = 0
  local function overlap(fn)
    now = now + 1
    seen.most = math.max(seen.most or 0, now)
    fractal.io.sleep(0.1)
    now = now - 1
    return fn()
  end
]]

-- A tree of a directory that can be changed by other users: mode, uid, gid of "dir" (inode 3) are fields of `dir`.
local with_dir = [[
  local dir = { mode = 0x41ff, uid = 0, gid = 0 }
  seen.dir = dir
  function fs.lookup(req, parent, name, entry)
    if parent == 1 and name == "dir" then
      entry.ino = 3
    elseif parent == 1 and name == "file" then
      entry.ino = 2
    elseif seen.created and parent == 3 and name == seen.created.name then
      entry.ino = 4
    else
      return nil, E.NOENT
    end
    fs.getattr(req, tonumber(entry.ino), entry.attr)
  end
  function fs.getattr(req, ino, attr)
    fill(ino, attr)
    if ino == 3 then
      attr.mode, attr.uid, attr.gid = dir.mode, dir.uid, dir.gid
    elseif ino == 4 then
      attr.mode, attr.uid, attr.gid = seen.created.mode, seen.created.uid, seen.created.gid
    end
  end
  local function create(req, parent, name, mode, entry)
    seen.created = {
      name = name, mode = mode, uid = req.uid, gid = req.gid, umask = req.umask,
      groups = table.concat(req:groups(), ","), context = req:security_context(),
    }
    entry.ino = 4
    fs.getattr(req, 4, entry.attr)
  end
  function fs.mkdir(req, parent, name, mode, entry) create(req, parent, name, 0x4000 + mode % 4096, entry) end
  function fs.create(req, parent, name, mode, entry, open)
    create(req, parent, name, mode, entry)
    seen.open_flags = open.flags
  end
  function fs.mknod(req, parent, name, mode, rdev, entry) create(req, parent, name, mode, entry) end
]]

helper.each_transport(function(transport)
  describe("the capability", function()
    after_each(helper.teardown)

    local function mount(body, settings, options)
      return helper.mount { source = probe.source(body, settings), transport = transport, options = options }
    end

    -- The permissions that a setattr wanted, in octal, or "nil" where none came.
    local function mode_set(m)
      return probe.run(m, "return seen.mode and ('%o'):format(seen.mode % 4096) or 'nil'")
    end

    -- Checks a value with the capability on and off.
    local function compare(name, body, when_on, when_off, value, more)
      for _, on in ipairs { true, false } do
        local m = mount(body, ("%s = %s, %s"):format(name, tostring(on), more or ""))
        assert.equal(on and "on" or "off", state_of(m, name))
        assert.equal(on and when_on or when_off, value(m), name .. (on and " on" or " off"))
        assert.equal(0, m:unmount())
      end
    end

    it("cache_symlinks: a target is asked for once", function()
      compare("cache_symlinks", [[
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          if ino == 2 then attr.mode, attr.size = 0xa1ff, 4 end
        end
        function fs.lookup(req, parent, name, entry)
          if name ~= "file" then return nil, E.NOENT end
          entry.ino = 2
          fs.getattr(req, 2, entry.attr)
        end
        function fs.readlink() return "goal" end]], 1, 3, function(m)
        for _ = 1, 3 do assert.equal("goal\n", select(2, m:sh("readlink $MNT/file", 5))) end
        return probe.count(m, "readlink")
      end)
    end)

    it("atomic_o_trunc: O_TRUNC comes with open", function()
      local body = [[
        local plain = fs.open
        function fs.open(req, ino, open)
          seen.flags = open.flags
          plain(req, ino, open)
        end]]
      compare("atomic_o_trunc", body, "true 0", "false 1", function(m)
        assert.is_true(m:sh("true >$MNT/file", 5))
        return probe.run(m, "return bit.band(seen.flags, 0x200) ~= 0, calls.setattr or 0")
      end)
    end)

    it("dont_mask: the mode comes as the caller gave it, beside its umask", function()
      compare("dont_mask", with_dir, "777 27", "750 27", function(m)
        assert.is_true(m:sh("umask 027; mkdir $MNT/dir/made", 5))
        return probe.run(m, "return ('%o %o'):format(seen.created.mode % 512, seen.created.umask)")
      end)
    end)

    it("parallel_dirops: lookups in one directory overlap", function()
      local body = overlapping .. [[
        function fs.lookup(req, parent, name, entry)
          return overlap(function() return nil, E.NOENT end)
        end]]
      compare("parallel_dirops", body, "2", "1", function(m)
        m:sh("stat $MNT/a & stat $MNT/b & wait", 5)
        return probe.run(m, "return seen.most")
      end)
    end)

    it("async_dio: a large direct read comes in requests at the same time", function()
      local body = overlapping .. [[
        file.text = ("x"):rep(262144)
        function fs.read(req, ino, buf, offset)
          return overlap(function() return file.text:sub(offset + 1, offset + #buf) end)
        end]]
      compare("async_dio", body, "true", "false", function(m)
        assert.is_true(m:sh("dd if=$MNT/file iflag=direct bs=256K count=1 of=/dev/null status=none", 10))
        return probe.run(m, "return seen.most > 1")
      end, "max_write = 65536")
    end)

    it("async_read: read-ahead comes in requests at the same time", function()
      local body = overlapping .. [[
        file.text = ("x"):rep(262144)
        function fs.read(req, ino, buf, offset)
          return overlap(function() return file.text:sub(offset + 1, offset + #buf) end)
        end]]
      compare("async_read", body, "true", "false", function(m)
        assert.is_true(m:sh("dd if=$MNT/file bs=256K of=/dev/null status=none", 15))
        return probe.run(m, "return seen.most > 1")
      end, "max_write = 16384")
    end)

    it("auto_inval_data: another size or mtime drops cached pages", function()
      local body = [[
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          attr.mtime = seen.mtime or 1
        end]]
      compare("auto_inval_data", body, "another", "the fir", function(m)
        assert.is_true(m:sh("cat $MNT/file", 5))
        probe.run(m, "file.text, seen.mtime = 'another text!!\\n', 2 return fractal.notify.inval_inode(2, -1)")
        helper.eventually(0.2, function() return false end)
        return (select(2, m:sh("stat $MNT/file >/dev/null; head -c 7 $MNT/file", 5)))
      end)
    end)

    it("explicit_inval_data: only notify.inval_inode drops cached pages", function()
      local m = mount([[
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          attr.mtime = seen.mtime or 1
        end]], "explicit_inval_data = true")
      local function text() return (select(2, m:sh("stat $MNT/file >/dev/null; head -c 7 $MNT/file", 5))) end
      assert.equal("the fir", text())
      probe.run(m, "file.text, seen.mtime = 'another text, longer\\n', 2 return fractal.notify.inval_inode(2, -1)")
      helper.eventually(0.2, function() return false end)
      assert.equal("the fir", text())
      probe.run(m, "return fractal.notify.inval_inode(2)")
      eventually(function() return text() == "another" end)
    end)

    it("writeback_cache: writes are gathered, and say so", function()
      local body = [[
        file.text = ""
        local plain = fs.write
        function fs.write(req, ino, data, offset)
          seen.flags = req.write_flags
          return plain(req, ino, data, offset)
        end]]
      compare("writeback_cache", body, "1 1 100", "100 0 100", function(m)
        client.output(m, [[
          local fd = must.open(MNT .. "/file", "wronly")
          for i = 1, 100 do must.write(fd, "x") end
          must.close(fd)]], 5)
        return probe.run(m, "return calls.write, bit.band(seen.flags, 1), #file.text")
      end)
    end)

    it("writeback_cache: the kernel's times come with setattr, ctime too", function()
      local m = mount([[
        function fs.setattr(req, ino, set, attr)
          if set.ctime then seen.ctime, seen.mtime = set.ctime, set.mtime end
          fill(ino, attr)
        end]], "writeback_cache = true")
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "wronly")
        must.write(fd, "x")
        must.fsync(fd)]], 5)
      eventually(function() return probe.run(m, "return math.abs((seen.ctime or 0) - os.time()) < 10") == "true" end)
    end)

    it("direct_io_allow_mmap: a direct_io file can be mapped shared", function()
      compare("direct_io_allow_mmap", "function fs.open(req, ino, open) open.direct_io = true end",
        "MAPPED", "ENODEV", function(m)
          return client.output(m, [[
            local fd = must.open(MNT .. "/file", "rdwr")
            local p, err = sys.mmap(4096, "read, write", "shared", fd)
            if not p then io.write(err) return end
            require("ffi").copy(p, "MAPPED", 6)
            must.msync(p, 4096, "sync")
            io.write((must.pread(fd, 6, 0)))]], 5)
        end)
    end)

    it("handle_killpriv_v2: a request says that set-id bits are to be cleared", function()
      local body = [[
        file.mode = 0x8000 + 0x9ff -- 04777
        local plain_write, plain_setattr, plain_open = fs.write, fs.setattr, fs.open
        function fs.write(req, ino, data, offset)
          seen.write = req.kill_suidgid
          return plain_write(req, ino, data, offset)
        end
        function fs.setattr(req, ino, set, attr)
          seen.mode, seen.setattr = set.mode, req.kill_suidgid and set.kill_suidgid
          return plain_setattr(req, ino, set, attr)
        end
        function fs.open(req, ino, open)
          seen.open = req.kill_suidgid
          return plain_open(req, ino, open)
        end]]
      for _, on in ipairs { true, false } do
        local m = helper.mount {
          source = probe.source(body, ("handle_killpriv_v2 = %s, atomic_o_trunc = true"):format(tostring(on))),
          transport = transport, options = { "allow_other" },
        }
        local user = { user = 65534 }
        assert.is_true(m:sh("echo -n x | dd of=$MNT/file conv=notrunc status=none", 5, user))
        assert.equal(tostring(on), probe.run(m, "return seen.write"))
        -- Without it the kernel takes the bits off with a setattr of its own.
        assert.equal(on and "nil" or "777", mode_set(m))
        assert.is_true(m:sh("truncate -s 3 $MNT/file", 5, user))
        assert.equal(tostring(on), probe.run(m, "return seen.setattr"))
        assert.is_true(m:sh("true >$MNT/file", 5, user))
        assert.equal(tostring(on), probe.run(m, "return seen.open"))
        assert.equal(0, m:unmount())
      end
    end)

    it("handle_killpriv: the kernel leaves set-id bits alone", function()
      local body = [[
        file.mode = 0x8000 + 0x9ff
        function fs.setattr(req, ino, set, attr) seen.mode = set.mode fill(ino, attr) end]]
      for _, on in ipairs { true, false } do
        local m = helper.mount {
          source = probe.source(body, ("handle_killpriv = %s"):format(tostring(on))),
          transport = transport, options = { "allow_other" },
        }
        assert.is_true(m:sh("echo -n x | dd of=$MNT/file conv=notrunc status=none", 5, { user = 65534 }))
        assert.equal(on and "nil" or "777", mode_set(m))
        assert.equal(0, m:unmount())
      end
    end)

    it("create_supp_group: the group that a setgid directory hands down comes along", function()
      local body = with_dir .. "dir.mode, dir.gid = 0x4000 + 0x5ff, 4242"
      for _, on in ipairs { true, false } do
        local m = helper.mount {
          source = probe.source(body, ("create_supp_group = %s"):format(tostring(on))),
          transport = transport, options = { "allow_other" },
        }
        for _, make in ipairs { "must.mkdir(MNT .. '/dir/new')", "must.open(MNT .. '/dir/new', 'wronly, creat', '600')",
          "must.mkfifo(MNT .. '/dir/new', '600')" } do
          client.output(m, "must.become(65534, 65534, { 4242, 4343 }) " .. make, 5)
          assert.equal(on and "4242" or "", probe.run(m, "return seen.created.groups"), make)
          assert.equal("65534 65534", probe.run(m, "return seen.created.uid, seen.created.gid"))
          probe.run(m, "seen.created = nil return fractal.notify.inval_entry(3, 'new')")
          helper.eventually(0.1, function() return false end)
        end
        assert.equal(0, m:unmount())
      end
    end)

    it("security_ctx: creating requests say which security context to set", function()
      -- Without a security module that labels inodes the extension is there and empty.
      local m = mount(with_dir .. [[
        local plain = fs.mkdir
        function fs.mkdir(req, ...) seen.ext_len = req.ext_len return plain(req, ...) end]], "security_ctx = true")
      assert.is_true(m:sh("mkdir $MNT/dir/new", 5))
      assert.equal("true", probe.run(m, "return seen.ext_len >= 8"))
      local labels = helper.read_file("/sys/kernel/security/lsm"):find "selinux" ~= nil
      assert.equal(tostring(labels), probe.run(m, "return seen.created.context ~= nil"))
    end)

    it("no_open: an open handler that answers ENOSYS is not called again", function()
      local m = mount "function fs.open() return nil, E.NOSYS end function fs.release() end"
      for _ = 1, 3 do assert.equal("the first text\n", select(2, m:sh("cat $MNT/file", 5))) end
      assert.equal(1, probe.count(m, "open"))
      assert.equal(0, probe.count(m, "release"))
    end)

    it("no_opendir: an opendir handler that answers ENOSYS is not called again", function()
      local m = mount "function fs.opendir() return nil, E.NOSYS end function fs.releasedir() end"
      for _ = 1, 3 do assert.equal("file\n", select(2, m:sh("ls $MNT", 5))) end
      assert.equal(1, probe.count(m, "opendir"))
      assert.equal(0, probe.count(m, "releasedir"))
    end)

    it("ioctl_dir: a directory's ioctl comes to the handler", function()
      local m = mount [[
        function fs.ioctl(req, ino, cmd)
          seen.ino, seen.dir = ino, bit.band(req.flags, 16) ~= 0
          return 7
        end]]
      assert.equal("7", client.output(m, [[
        local ffi = require "ffi"
        ffi.cdef "int ioctl(int, unsigned long, ...);"
        io.write(ffi.C.ioctl(must.open(MNT, "rdonly, directory"), 0x7801))]], 5))
      assert.equal("1 true", probe.run(m, "return seen.ino, seen.dir"))
    end)

    it("posix_acl: the kernel keeps and enforces access control lists", function()
      local body = [[
        local xattr = {}
        file.mode = 0x8000 + 0x180 -- 0600
        function fs.setxattr(req, ino, name, value) xattr[name .. ino] = value:string() end
        function fs.getxattr(req, ino, name)
          if not xattr[name .. ino] then return nil, E.NODATA end
          return xattr[name .. ino]
        end
        function fs.setattr(req, ino, set, attr)
          if set.mode then file.mode = set.mode end
          fill(ino, attr)
        end]]
      local m = helper.mount {
        source = probe.source(body, "posix_acl = true"), transport = transport,
        options = { "default_permissions", "allow_other" },
      }
      local user = { user = 65534 }
      assert.is_false(m:sh("cat $MNT/file", 5, user))
      local ok, out = m:sh("setfacl -m u:65534:r $MNT/file", 5)
      assert.is_true(ok, out)
      probe.run(m, "file.mode = 0x8000 + 0x1a0 return fractal.notify.inval_inode(2, -1)") -- 0640: the mask
      eventually(function() return m:sh("cat $MNT/file", 5, user) end)
      assert.is_false(m:sh("cat $MNT/file", 5, { user = 65533 }))
      assert.is_false(m:sh("echo >$MNT/file", 5, user))
    end)

    it("parallel_direct_writes: direct writes of one file overlap", function()
      for _, on in ipairs { true, false } do
        local m = mount(overlapping .. ([[
          file.text = ("x"):rep(8192)
          function fs.open(req, ino, open) open.direct_io, open.parallel_direct_writes = true, %s end
          function fs.write(req, ino, data) return overlap(function() return #data end) end]]):format(tostring(on)))
        assert.is_true(m:sh([[
          dd if=/dev/zero of=$MNT/file bs=4096 count=1 conv=notrunc status=none &
          dd if=/dev/zero of=$MNT/file bs=4096 count=1 seek=1 conv=notrunc status=none & wait]], 5))
        assert.equal(on and "2" or "1", probe.run(m, "return seen.most"))
        assert.equal(0, m:unmount())
      end
    end)

    it("max_pages: requests as large as the sysctl allows", function()
      local path = "/proc/sys/fs/fuse/max_pages_limit"
      local before = helper.read_file(path)
      finally(function() helper.write_file(path, before) end)
      helper.write_file(path, "1024\n")
      local largest = [[
        function fs.open(req, ino, open) open.direct_io = true end
        function fs.write(req, ino, data)
          seen.write = math.max(seen.write or 0, #data)
          return #data
        end
        function fs.read(req, ino, buf)
          seen.read = math.max(seen.read or 0, #buf)
          return buf:fill(120)
        end
        file.text = ("x"):rep(2^22)]]
      local m = mount(largest, "max_write = 4194304, mount = { max_read = 4194304 }")
      assert.equal("1024 4194304", probe.run(m, "local c = fractal.conn() return c.max_pages, c.max_write"))
      -- Aligned to a page: else the buffer lies in one page more.
      assert.is_true(m:sh("dd if=/dev/zero of=$MNT/file bs=4M count=1 oflag=direct conv=notrunc status=none", 5))
      assert.is_true(m:sh("dd if=$MNT/file of=/dev/null bs=4M count=1 iflag=direct status=none", 5))
      assert.equal("4194304 4194304", probe.run(m, "return seen.write, seen.read"))
      assert.equal(0, m:unmount())
      -- Reads are smaller where max_read says nothing.
      m = mount(largest, "max_write = 4194304")
      assert.is_true(m:sh("dd if=$MNT/file of=/dev/null bs=4M count=1 iflag=direct status=none", 5))
      assert.equal("262144", probe.run(m, "return seen.read"))
      assert.equal(0, m:unmount())
      -- Beyond the limit a sentence says so.
      assert.truthy(refused(probe.source(nil, "max_write = 4198400"))
        :find("max_write=4198400 is out of range: choose 4096 to 4194304\n", 1, true))
    end)

    it("abort_error: an abort is told apart from an unmount", function()
      local m = mount()
      m.signalled = true
      local holder = m:start "exec 3<$MNT/file; echo open; sleep 20"
      eventually(function() return holder.output():find "open" end)
      m:abort() -- which leaves a mount in use where it is
      assert.equal(1, m:wait(10))
      holder:kill "kill"
      assert.truthy(m.log():find("error: the connection of " .. m.dir .. " was aborted\n", 1, true), m.log())
    end)
  end)
end)

describe("request_timeout", function()
  after_each(helper.teardown)

  -- The kernel looks for old requests every 15 s only.
  it("ends the connection when a request is not answered in time", function()
    local mounts, readers = {}, {}
    for i, transport in ipairs(helper.transports()) do
      mounts[i] = helper.mount {
        source = probe.source("function fs.read() fractal.io.sleep(1000) end", i == 1 and "request_timeout = 1" or ""),
        transport = transport, options = i == 2 and { request_timeout = 1 } or nil,
      }
      mounts[i].signalled = true
      readers[i] = mounts[i]:start "cat $MNT/file"
    end
    for i, m in ipairs(mounts) do
      assert.truthy(readers[i]:wait(60), "the caller still waits")
      assert.truthy(readers[i].output():find "Transport endpoint is not connected", readers[i].output())
      assert.equal(1, m:wait(10))
      assert.truthy(m.log():find("was aborted\n", 1, true), m.log())
    end
  end)
end)
