-- Operations beyond the everyday ones, as a handler in Lua gets them: nothing that the kernel sends is missing. What
-- interrupts, forgets, locks and ordinary calls do is in interrupt_spec, forget_spec, locks_spec and the POSIX suite.

local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

local function eventually(fn, what)
  assert.truthy(helper.eventually(5, fn), what)
end

-- What a client does with ioctl(2) on "file": ioctl(direction, size, in) → result, the bytes after it.
local ioctl = [[
  local ffi = require "ffi"
  ffi.cdef "int ioctl(int, unsigned long, void *);"
  local fd = must.open(MNT .. "/file", "rdwr")
  local function ioctl(direction, size, bytes, code)
    local buffer = ffi.new("char[?]", 16384, bytes or "")
    local request = direction * 2^30 + size * 2^16 + 0x7800 + (code or 1)
    local r = ffi.C.ioctl(fd, request, buffer)
    if r < 0 then
      ffi.cdef "const char *strerrorname_np(int);"
      return ffi.string(ffi.C.strerrorname_np(ffi.errno()))
    end
    return r, ffi.string(buffer, size)
  end
]]

helper.each_transport(function(transport)
  describe("the operation", function()
    after_each(helper.teardown)

    local function mount(body, settings, options)
      return helper.mount { source = probe.source(body, settings), transport = transport, options = options }
    end

    it("ioctl: bytes in, out and both ways, by what the command says", function()
      local m = mount [[
        function fs.ioctl(req, ino, cmd, arg, input, output, fh)
          seen.cmd, seen.input, seen.room = cmd, input:string(), #output
          if cmd % 256 == 2 then return nil, E.PERM end
          if #output > 0 then return 5, output:put((input:string():upper() .. ("z"):rep(#output)):sub(1, #output)) end
          return 3
        end]]
      -- _IO, _IOW, _IOR, _IOWR: 0, 1, 2, 3
      assert.equal("3", client.output(m, ioctl .. "io.write((ioctl(0, 0)))", 5))
      assert.equal("0", probe.run(m, "return #seen.input + seen.room"))
      assert.equal("3", client.output(m, ioctl .. "io.write((ioctl(1, 4, 'abcd')))", 5))
      assert.equal("abcd 0", probe.run(m, "return seen.input, seen.room"))
      assert.equal("5 zzzz", client.output(m, ioctl .. "local r, out = ioctl(2, 4, 'abcd') io.write(r, ' ', out)", 5))
      assert.equal(" 4", probe.run(m, "return seen.input, seen.room"))
      assert.equal("5 ABCD", client.output(m, ioctl .. "local r, out = ioctl(3, 4, 'abcd') io.write(r, ' ', out)", 5))
      assert.equal("5 true", client.output(m, ioctl .. [[
        local buffer = ffi.new("char[16383]")
        ffi.fill(buffer, 16383, ("z"):byte())
        local r = ffi.C.ioctl(fd, 3 * 2^30 + 16383 * 2^16 + 0x7801, buffer)
        io.write(r, " ", tostring(ffi.string(buffer, 16383) == ("Z"):rep(16383)))]], 5))
      assert.equal("EPERM", client.output(m, ioctl .. "io.write((ioctl(0, 0, nil, 2)))", 5))
    end)

    it("poll: events asked for and there, and a handle only where somebody waits", function()
      local m = mount [[
        function fs.poll(req, ino, events, handle, fh)
          seen.events, seen.handle = events, handle
          return file.ready or 0
        end]]
      local function ask(milliseconds)
        return client.output(m, ("io.write((must.poll(must.open(MNT .. '/file', 'rdwr'), 'in, out', %d)))")
          :format(milliseconds), 5)
      end
      assert.equal("0", ask(0))
      assert.equal("5 nil", probe.run(m, "return bit.band(seen.events, 5), tostring(seen.handle)"))
      assert.equal("0", ask(50))
      assert.equal("true", probe.run(m, "return type(seen.handle) == 'number'"))
      probe.run(m, "file.ready = 4")
      assert.equal("4", ask(1000))
    end)

    it("fallocate: mode, offset and length", function()
      local m = mount [[
        function fs.fallocate(req, ino, mode, offset, length, fh)
          seen.args = ("%d %d %d"):format(mode, offset, length)
          if mode == 0x20 then return nil, E.OPNOTSUPP end
        end]]
      assert.is_true(m:sh("fallocate -o 4096 -l 8192 $MNT/file", 5))
      assert.equal("0 4096 8192", probe.run(m, "return seen.args"))
      assert.is_true(m:sh("fallocate -p -o 4294967296 -l 4096 $MNT/file", 5))
      assert.equal("3 4294967296 4096", probe.run(m, "return seen.args"))
      assert.is_true(m:sh("fallocate -z -n -o 0 -l 1 $MNT/file", 5))
      assert.equal("17 0 1", probe.run(m, "return seen.args"))
      -- The kernel refuses other modes itself.
      assert.truthy(select(2, m:sh("fallocate -i -o 0 -l 4096 $MNT/file", 5)):find "not supported")
    end)

    it("lseek: the next data and the next hole", function()
      local m = mount [[
        function fs.lseek(req, ino, offset, whence, fh)
          if offset >= 100 then return nil, E.NXIO end
          return whence == fractal.SEEK_DATA and 50 or 100
        end
        file.text = ("x"):rep(100)]]
      assert.equal("50 100 ENXIO 70", client.output(m, [[
        local fd = must.open(MNT .. "/file")
        io.write(must.lseek(fd, 7, "data"), " ", must.lseek(fd, 7, "hole"), " ", select(2, sys.lseek(fd, 100, "data")),
          " ", (must.lseek(fd, 70, "set")))]], 5))
      assert.equal(3, probe.count(m, "lseek"))
    end)

    it("copy_file_range: both files, both offsets, more than 4 GiB at once", function()
      local m = mount [[
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          if ino == 2 then attr.size = 2^34 end
        end
        function fs.lookup(req, parent, name, entry)
          if name ~= "file" then return nil, E.NOENT end
          entry.ino = 2
          fs.getattr(req, 2, entry.attr)
        end
        function fs.open(req, ino, open) open.fh = open.flags % 4 + 40 end
        function fs.copy_file_range(req, ino, offset, fh, newino, newoffset, newfh, length, flags)
          seen.args = ("%d %.0f %d %d %.0f %d %.0f %d"):format(ino, offset, fh, newino, newoffset, newfh, length, flags)
          return seen.limit or length
        end]]
      assert.equal("5000", client.output(m, [[
        local a, b = must.open(MNT .. "/file"), must.open(MNT .. "/file", "wronly")
        io.write((must.copy_file_range(a, 10, b, 2^33, 5000)))]], 5))
      assert.equal("2 10 40 2 8589934592 41 5000 0", probe.run(m, "return seen.args"))
      probe.run(m, "seen.limit = 7")
      assert.equal("7", client.output(m, [[
        local a, b = must.open(MNT .. "/file"), must.open(MNT .. "/file", "wronly")
        io.write((must.copy_file_range(a, 10, b, 2^33, 5000)))]], 5))
    end)

    it("rename: flags of renameat2", function()
      local m = mount [[
        function fs.lookup(req, parent, name, entry)
          if name ~= "file" and name ~= "other" then return nil, E.NOENT end
          entry.ino = name == "file" and 2 or 3
          fill(2, entry.attr)
        end
        function fs.rename(req, parent, name, newparent, newname, flags)
          seen.args = ("%d %s %d %s %d"):format(parent, name, newparent, newname, flags)
          if flags ~= 0 then return nil, E.PERM end
        end]]
      local function rename(flags)
        return client.output(m, [[
          local ok, err = sys.rename2(MNT .. "/file", MNT .. "/other", arg[1])
          io.write(tostring(err or ok))]], 5, { flags })
      end
      -- Both names are there: the kernel itself refuses.
      assert.equal("EEXIST", rename "noreplace")
      assert.equal("nil", probe.run(m, "return tostring(seen.args)"))
      assert.equal("EPERM", rename "exchange")
      assert.equal("1 file 1 other 2", probe.run(m, "return seen.args"))
      assert.equal("EPERM", rename "whiteout")
      assert.equal("1 file 1 other 4", probe.run(m, "return seen.args"))
      client.output(m, "must.rename(MNT .. '/other', MNT .. '/new')", 5)
      assert.equal("1 other 1 new 0", probe.run(m, "return seen.args"))
    end)

    it("tmpfile: a file without a name", function()
      local m = mount [[
        function fs.tmpfile(req, parent, mode, entry, open)
          seen.args = ("%d %o %o"):format(parent, mode, req.umask)
          seen.flags = bit.band(open.flags, 3)
          entry.ino, entry.attr.mode, entry.attr.nlink, open.fh = 9, mode, 0, 77
        end
        function fs.write(req, ino, data, offset, fh)
          seen.write = ("%d %d %s"):format(ino, fh, data:string())
          return #data
        end
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          if ino == 9 then attr.nlink = 0 end
        end]]
      client.output(m, [[
        sys.umask "022"
        local fd = must.open(MNT, "rdwr, tmpfile", "666")
        must.write(fd, "unnamed")]], 5)
      assert.equal("1 100644 22 2", probe.run(m, "return seen.args, seen.flags"))
      assert.equal("9 77 unnamed", probe.run(m, "return seen.write"))
    end)

    it("statx: the time of birth", function()
      local m = mount [[
        function fs.statx(req, ino, stx, mask, flags, fh)
          seen.args = ("%s %s"):format(tostring(bit.band(mask, 0x800) ~= 0), tostring(fh))
          stx.mask = 0xfff
          stx.mode, stx.size, stx.ino = file.mode, 15, ino
          stx.sx_btime.sec, stx.sx_btime.nsec = -86400, 5
        end]]
      assert.equal("-86400 5", client.output(m, [[
        local time = must.stat(MNT .. "/file").btime
        io.write(time.sec, " ", time.nsec)]], 5))
      assert.equal("true nil", probe.run(m, "return seen.args"))
    end)

    it("readdirplus: forced, and by what is used", function()
      local body = [[
        file.names = {}
        for i = 1, 50 do file.names[i] = ("file%02d"):format(i) end
        local function attributes(ino, attr)
          fill(ino, attr)
          seen[ino] = true
        end
        function fs.lookup(req, parent, name, entry)
          local number = tonumber(name:match "^file(%d%d)$")
          if not number then return nil, E.NOENT end
          entry.ino = 100 + number
          fill(2, entry.attr)
          entry.attr.ino = 0
        end
        function fs.readdir(req, ino, dir, offset)
          for i = offset + 1, #file.names do
            if not dir:add(file.names[i], 100 + i, "file", i) then break end
          end
        end
        function fs.readdirplus(req, ino, dir, offset)
          for i = offset + 1, #file.names do
            local function entry_of(entry)
              entry.ino = 100 + i
              attributes(100 + i, entry.attr)
            end
            if not dir:add(file.names[i], entry_of, i) then break end
          end
        end
        function fs.forget(req, ino, nlookup) seen.forgotten = (seen.forgotten or 0) + nlookup end]]
      local m = mount(body, nil, { "noreaddirplus_auto" })
      assert.equal("50\n", select(2, m:sh("ls $MNT | wc -l", 5)))
      assert.equal(0, probe.count(m, "readdir"))
      -- Their attributes are there: nobody asks again.
      assert.is_true(m:sh("ls -l $MNT", 5))
      assert.equal(0, probe.count(m, "lookup"))
      assert.equal(0, m:unmount())
      m = mount(body)
      -- The first read of a directory asks for attributes; as nobody uses them the next one does not.
      assert.is_true(m:sh("ls -U $MNT", 5))
      assert.equal(1, probe.count(m, "readdirplus"))
      assert.is_true(probe.count(m, "readdir") >= 1)
      assert.equal(0, m:unmount())
      m = mount(body, nil, { "noreaddirplus" })
      assert.equal("50\n", select(2, m:sh("ls -l $MNT | grep -c file", 5)))
      assert.equal(0, probe.count(m, "readdirplus"))
      assert.equal(50, probe.count(m, "lookup"))
    end)

    it("syncfs, bmap and destroy: the kernel does not send them for this kind of mount", function()
      local m = mount [[
        function fs.syncfs() return nil, E.IO end
        function fs.bmap() return 1 end
        function fs.destroy() fractal.log.info("destroyed once") end]]
      assert.equal("true", client.output(m, [[
        local fd = must.open(MNT .. "/file")
        local ffi = require "ffi"
        ffi.cdef "int ioctl(int, unsigned long, void *);"
        ffi.C.ioctl(fd, 1, ffi.new("int[1]")) -- FIBMAP
        io.write(tostring((sys.syncfs(fd))))]], 5))
      assert.equal("0 0", probe.run(m, "return calls.syncfs or 0, calls.bmap or 0"))
      assert.equal(0, m:unmount())
      assert.equal(1, select(2, m.log():gsub("destroyed once", "")))
    end)

    it("forget: many come in batches", function()
      local m = mount [[
        function fs.lookup(req, parent, name, entry)
          if not name:find "^f%d+$" then return nil, E.NOENT end
          entry.ino = 1000 + tonumber(name:sub(2))
          fill(2, entry.attr)
          entry.attr.ino = 0
          seen.looked = (seen.looked or 0) + 1
        end
        function fs.forget(req, ino, nlookup) seen.forgotten = (seen.forgotten or 0) + nlookup end]]
      client.output(m, "for i = 1, 500 do must.stat(MNT .. '/f' .. i) end", 10)
      assert.equal("500 0", probe.run(m, "return seen.looked, seen.forgotten or 0"))
      probe.run(m, [[
        local list = {}
        for i = 1, 500 do list[i] = 1000 + i end
        return fractal.notify.prune(list)]])
      eventually(function() return probe.run(m, "return seen.forgotten or 0") == "500" end)
    end)

    it("lookup, mkdir, unlink, rmdir, readlink, readdir: names and parents", function()
      local m = mount [[
        local nodes = { dir = 3, link = 4 }
        local modes = { [3] = 0x41ff, [4] = 0xa1ff }
        local plain = fs.lookup
        function fs.lookup(req, parent, name, entry)
          seen.lookup = parent .. " " .. name
          if parent ~= 1 or not nodes[name] then return plain(req, parent, name, entry) end
          entry.ino, entry.generation, entry.attr.mode, entry.attr.size = nodes[name], 7, modes[nodes[name] ], 4
        end
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          attr.mode = modes[ino] or attr.mode
        end
        function fs.mkdir(req, parent, name, mode, entry)
          seen.args = ("mkdir %d %s %o %o"):format(parent, name, mode, req.umask)
          entry.ino, entry.attr.mode = 5, 0x4000 + mode % 4096
        end
        function fs.unlink(req, parent, name) seen.args = ("unlink %d %s"):format(parent, name) end
        function fs.rmdir(req, parent, name) seen.args = ("rmdir %d %s"):format(parent, name) end
        function fs.readlink(req, ino) return "to " .. ino end
        function fs.readdir(req, ino, dir, offset, fh)
          for i = offset + 1, 3 do
            if not dir:add(("name%d"):format(i), 10 + i, i == 2 and "dir" or "file", i) then break end
          end
        end]]
      local function try(text)
        client.output(m, "sys.umask '022' " .. text, 5)
        return probe.run(m, "return seen.args")
      end
      assert.equal("mkdir 3 new 755 22", try "must.mkdir(MNT .. '/dir/new', '777')")
      assert.equal("3 new", probe.run(m, "return seen.lookup"))
      assert.equal("rmdir 1 dir", try "must.rmdir(MNT .. '/dir')")
      assert.equal("unlink 1 file", try "must.unlink(MNT .. '/file')")
      assert.equal("to 4", client.output(m, "io.write((must.readlink(MNT .. '/link')))", 5))
      assert.equal("name1 name2 name3\n", select(2, m:sh("cd $MNT && echo *", 5)))
    end)

    it("setattr: what changes and nothing else, times before 1970, now", function()
      local m = mount [[
        function fs.setattr(req, ino, set, attr)
          local list = {}
          for _, name in ipairs { "mode", "uid", "gid", "size", "atime", "mtime", "ctime" } do
            if set[name] ~= nil then list[#list + 1] = name .. "=" .. tostring(set[name]) end
          end
          seen.set = table.concat(list, " ")
          seen.exact = ("%d.%09d"):format(set.mtime_sec, set.mtime_nsec)
          fill(ino, attr)
        end]]
      local function change(text)
        client.output(m, text, 5)
        return probe.run(m, "return seen.set")
      end
      assert.equal("mode=" .. 0x8180, change "must.chmod(MNT .. '/file', '600')")
      assert.equal("uid=7 gid=8", change "must.chown(MNT .. '/file', 7, 8)")
      assert.equal("gid=8", change "must.chown(MNT .. '/file', -1, 8)")
      assert.equal("size=5", change "must.truncate(MNT .. '/file', 5)")
      assert.equal("atime=now mtime=now", change "must.utimens(MNT .. '/file', 'now', 'now')")
      assert.equal("mtime=-1.5", change "must.utimens(MNT .. '/file', 'omit', { -2, 500000000 })")
      assert.equal("-2.500000000", probe.run(m, "return seen.exact"))
    end)

    it("getattr: times before 1970 and to the nanosecond", function()
      local m = mount [[
        function fs.getattr(req, ino, attr)
          fill(ino, attr)
          attr.atime, attr.mtime, attr.ctime = -1.5, { sec = -2^40, nsec = 123456789 }, { sec = 2^40, nsec = 1 }
        end
        function fs.lookup(req, parent, name, entry)
          entry.ino = 2
          fs.getattr(req, 2, entry.attr)
        end]]
      assert.equal("-2.500000000 -1099511627776.123456789 1099511627776.000000001", client.output(m, [[
        local st = must.stat(MNT .. "/file")
        local function show(t) return ("%d.%09d"):format(t.sec, t.nsec) end
        io.write(show(st.atime), " ", show(st.mtime), " ", show(st.ctime))]], 5))
    end)

    it("open, read, write, flush, fsync, release: flags, owners, handles", function()
      local m = mount [[
        function fs.open(req, ino, open)
          seen.open = bit.band(open.flags, 0x403)
          seen.same = open.flags == req.flags
          open.fh, open.direct_io = 99, true
        end
        function fs.read(req, ino, buf, offset, fh)
          seen.read = ("%d %d %d %d"):format(#buf, offset, fh, bit.band(req.flags, 0x403))
          return 0
        end
        function fs.write(req, ino, data, offset, fh)
          seen.write = ("%d %d %d %d %d"):format(#data, offset, fh, bit.band(req.flags, 0x403), req.write_flags)
          seen.writer = req.lock_owner
          return #data
        end
        function fs.flush(req, ino, fh) seen.flush = ("%d %s"):format(fh, tostring(req.lock_owner == seen.writer)) end
        function fs.fsync(req, ino, datasync, fh) seen.fsync = ("%s %d"):format(tostring(datasync), fh) end
        function fs.release(req, ino, fh) seen.release = ("%d %d"):format(fh, bit.band(req.flags, 0x403)) end
        function fs.opendir(req, ino, open) open.fh = 55 end
        function fs.fsyncdir(req, ino, datasync, fh) seen.fsyncdir = ("%s %d"):format(tostring(datasync), fh) end
        function fs.releasedir(req, ino, fh) seen.releasedir = fh end]]
      client.output(m, [[
        local fd = must.open(MNT .. "/file", "rdwr, append")
        sys.pread(fd, 100, 2^40)
        must.write(fd, "text")
        must.fdatasync(fd)
        must.close(fd)]], 5)
      assert.equal("1026 true", probe.run(m, "return seen.open, seen.same"))
      assert.equal("100 1099511627776 99 1026", probe.run(m, "return seen.read"))
      assert.equal("4 15 99 1026 2", probe.run(m, "return seen.write"))
      assert.equal("true 99", probe.run(m, "return seen.fsync"))
      assert.equal("99 true 16", probe.run(m, "return seen.flush, #seen.writer"))
      eventually(function() return probe.run(m, "return seen.release") == "99 1026" end)
      client.output(m, [[
        must.fsync(must.open(MNT .. "/file", "rdwr"))
        must.fsync(must.open(MNT, "rdonly, directory"))]], 5)
      assert.equal("false 99 false 55", probe.run(m, "return seen.fsync, seen.fsyncdir"))
      eventually(function() return probe.run(m, "return seen.releasedir") == "55" end)
    end)

    it("mknod, create, symlink, link: modes, devices, the umask", function()
      local m = mount [[
        local function made(req, ino, mode, entry)
          entry.ino, entry.attr.mode = ino, mode
          entry.entry_ttl = 0
        end
        function fs.mknod(req, parent, name, mode, rdev, entry)
          seen.args = ("%s %o %d %o"):format(name, mode, rdev, req.umask)
          made(req, 10, mode, entry)
          entry.attr.rdev = rdev
        end
        function fs.create(req, parent, name, mode, entry, open)
          seen.args = ("%s %o %d %o"):format(name, mode, bit.band(open.flags, 0xc3), req.umask)
          made(req, 11, mode, entry)
        end
        function fs.symlink(req, parent, name, target, entry)
          seen.args = name .. " " .. target
          made(req, 12, 0xa1ff, entry)
        end
        function fs.link(req, ino, parent, name, entry)
          seen.args = ("%d %d %s"):format(ino, parent, name)
          made(req, 2, file.mode, entry)
        end]]
      local function make(text)
        client.output(m, "sys.umask '027' " .. text, 5)
        return probe.run(m, "return seen.args")
      end
      assert.equal("pipe 10640 0 27", make "must.mkfifo(MNT .. '/pipe', '666')")
      assert.equal("null 20640 259 27", make "must.mknod(MNT .. '/null', 'char', '666', sys.makedev(1, 3))")
      assert.equal("new 100750 193 27", make "must.open(MNT .. '/new', 'wronly, creat, excl', '777')")
      assert.equal("sym over/there", make "must.symlink('over/there', MNT .. '/sym')")
      assert.equal("2 1 hard", make "must.link(MNT .. '/file', MNT .. '/hard')")
    end)

    it("setxattr, getxattr, listxattr, removexattr: flags, probing, bounds", function()
      local m = mount [[
        function fs.setxattr(req, ino, name, value, flags)
          seen.set = ("%s %s %d"):format(name, value:string(), flags)
          if flags == fractal.XATTR_CREATE then return nil, E.EXIST end
        end
        function fs.getxattr(req, ino, name)
          if name == "user.long" then return ("v"):rep(1000) end
          return nil, E.NODATA
        end
        function fs.listxattr() return { "user.one", "user.two" } end
        function fs.removexattr(req, ino, name) seen.removed = name end]]
      assert.equal("EEXIST 1000 ERANGE ENODATA user.one,user.two 18 ERANGE", client.output(m, [[
        local path = MNT .. "/file"
        local _, a = sys.setxattr(path, "user.new", "value", "create")
        must.setxattr(path, "user.new", "", "replace")
        local _, b = sys.getxattr(path, "user.long", 10)
        local _, c = sys.getxattr(path, "user.none")
        local _, d = sys.listxattr(path, 5)
        must.removexattr(path, "user.one")
        io.write(table.concat({ a, must.getxattr(path, "user.long", 0), b, c, table.concat(must.listxattr(path), ","),
          must.listxattr(path, 0), d }, " "))]], 5))
      assert.equal("user.new  2 user.one", probe.run(m, "return seen.set, seen.removed"))
    end)

    it("access and statfs", function()
      local m = mount [[
        function fs.access(req, ino, mask)
          seen.mask = mask
          if mask == 2 then return nil, E.ACCES end
        end
        function fs.statfs(req, ino, st) st.blocks, st.bfree, st.bavail, st.files, st.ffree = 2^40, 7, 6, 5, 4 end]]
      assert.equal("true EACCES 1099511627776 7 6 5 4 255", client.output(m, [[
        local ok = sys.access(MNT .. "/file", "r, x")
        local _, err = sys.access(MNT .. "/file", "w")
        local st = must.statvfs(MNT)
        io.write(table.concat({ tostring(ok), err, ("%.0f"):format(st.blocks), st.bfree, st.bavail, st.files, st.ffree,
          st.namemax }, " "))]], 5))
    end)

    -- What a caller gets where an operation has no handler.
    local path = "MNT .. '/file'"
    local missing = {
      { "mkdir", "sys.mkdir(MNT .. '/x')", "ENOSYS" },
      { "unlink", "sys.unlink(" .. path .. ")", "ENOSYS" },
      { "rmdir", "sys.rmdir(MNT .. '/file')", "ENOTDIR" },
      { "symlink", "sys.symlink('x', MNT .. '/x')", "ENOSYS" },
      { "link", "sys.link(" .. path .. ", MNT .. '/x')", "EPERM" },
      { "rename", "sys.rename(" .. path .. ", MNT .. '/x')", "ENOSYS" },
      { "rename with flags", "sys.rename2(" .. path .. ", MNT .. '/x', 'noreplace')", "EINVAL" },
      { "create and mknod", "sys.open(MNT .. '/x', 'wronly, creat', '600')", "ENOSYS" },
      { "tmpfile", "sys.open(MNT, 'rdwr, tmpfile', '600')", "EOPNOTSUPP" },
      { "setxattr", "sys.setxattr(" .. path .. ", 'user.x', 'y')", "EOPNOTSUPP" },
      { "getxattr", "sys.getxattr(" .. path .. ", 'user.x')", "ENODATA" },
      { "listxattr", "sys.listxattr(" .. path .. ")", "EOPNOTSUPP" },
      { "removexattr", "sys.removexattr(" .. path .. ", 'user.x')", "EOPNOTSUPP" },
      { "fallocate", "sys.fallocate(must.open(" .. path .. ", 'rdwr'), 0, 0, 10)", "EOPNOTSUPP" },
      { "fsync", "sys.fsync(must.open(" .. path .. ", 'rdwr'))", "true" },
      { "access", "sys.access(" .. path .. ", 'r')", "true" },
      { "lseek", "sys.lseek(must.open(" .. path .. "), 0, 'hole')", "15" },
      { "copy_file_range",
        "sys.copy_file_range(must.open(" .. path .. "), 0, must.open(" .. path .. ", 'rdwr'), 100, 5)", "5" },
      { "poll", "sys.poll(must.open(" .. path .. "), 'in', 0)", "1" },
      { "statfs", "must.statvfs(MNT).blocks", "0" },
      { "readlink", "sys.readlink(" .. path .. ")", "EINVAL" },
    }
    it("without a handler gives the documented errno", function()
      local m = mount()
      for _, case in ipairs(missing) do
        assert.equal(case[3], client.output(m, ([[
          local result, err = %s
          io.write(tostring(err or result))]]):format(case[2]), 5), case[1])
      end
      assert.equal("ENOTTY", client.output(m, ioctl .. "io.write((ioctl(0, 0)))", 5))
      -- read and write are in the way of these: without them nothing can be tried.
      m = mount "fs.read, fs.write, fs.readdir, fs.setattr = nil"
      for _, case in ipairs {
        { "read", "sys.read(must.open(" .. path .. "), 10)", "ENOSYS" },
        { "write", "sys.write(must.open(" .. path .. ", 'wronly'), 'x')", "ENOSYS" },
        { "readdir", "sys.list(MNT)", "ENOSYS" },
        { "setattr", "sys.chmod(" .. path .. ", '600')", "ENOSYS" },
      } do
        assert.equal(case[3], client.output(m, ([[
          local result, err = %s
          io.write(tostring(err or result))]]):format(case[2]), 5), case[1])
      end
    end)
  end)
end)
