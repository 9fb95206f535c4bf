-- Idmapped mounts and file handles: the capabilities that only rare system calls make use of.

local client = require "spec.client"
local helper = require "spec.helper"
local probe = require "spec.probe"

-- System calls that only these specs make. `try` gives a call's result, or nil and the name of its errno.
local calls = [[
  local ffi = require "ffi"
  ffi.cdef [=[
    struct spec_mount_attr { uint64_t set, clear, propagation, userns; };
    struct spec_handle { unsigned bytes; int type; uint8_t handle[128]; };
    int unshare(int);
    int open_tree(int, const char *, unsigned);
    int mount_setattr(int, const char *, unsigned, struct spec_mount_attr *, size_t);
    int move_mount(int, const char *, int, const char *, unsigned);
    int name_to_handle_at(int, const char *, struct spec_handle *, int *, int);
    int open_by_handle_at(int, struct spec_handle *, int);
    const char *strerrorname_np(int);
  ]=]
  local C, AT_FDCWD, AT_EMPTY_PATH = ffi.C, -100, 0x1000
  local function try(result)
    if result >= 0 then return result end
    return nil, ffi.string(C.strerrorname_np(ffi.errno()))
  end
]]

-- Makes `tree`, a copy of the mount, and maps its owners (0 is shown as 100000); `ok, err` tell how that went.
local map_owners = [[
  local CLONE_NEWUSER, OPEN_TREE_CLONE, MOUNT_ATTR_IDMAP = 0x10000000, 1, 0x00100000
  local from, to = sys.pipe()
  local pid = sys.fork()
  if pid == 0 then
    C.unshare(CLONE_NEWUSER)
    sys.write(to, "x")
    sys.sleep(20)
    sys.exit(0)
  end
  sys.read(from, 1)
  for _, name in ipairs { "uid_map", "gid_map" } do
    local file = assert(io.open(("/proc/%d/%s"):format(pid, name), "w"))
    file:write("0 100000 65536")
    assert(file:close())
  end
  local userns = must.open(("/proc/%d/ns/user"):format(pid), "rdonly")
  local tree = assert(try(C.open_tree(AT_FDCWD, MNT, OPEN_TREE_CLONE)))
  local attr = ffi.new("struct spec_mount_attr", MOUNT_ATTR_IDMAP, 0, 0, userns)
  local ok, err = try(C.mount_setattr(tree, "", AT_EMPTY_PATH, attr, 32))
  sys.kill(pid, "kill")
]]

-- Gets a handle of "file", has the kernel forget the inode, and opens the handle: writes what it reads, or an errno.
local through_handle = calls .. [[
  local handle, id = ffi.new("struct spec_handle", 128), ffi.new "int[1]"
  local ok, err = try(C.name_to_handle_at(AT_FDCWD, MNT .. "/file", handle, id, 0))
  if not ok then io.write(err) return end
  must.setxattr(MNT, "user.run", "return fractal.notify.prune { 2 }")
  sys.sleep(0.3)
  local fd
  fd, err = try(C.open_by_handle_at(must.open(MNT, "rdonly"), handle, 0))
  io.write(fd and (must.read(fd, 9)) or err)]]

-- "." of an inode is the inode itself.
local exporting = [[
  local plain = fs.lookup
  function fs.lookup(req, parent, name, entry)
    if name ~= "." then return plain(req, parent, name, entry) end
    entry.ino = parent
    fs.getattr(req, parent, entry.attr)
  end]]

helper.each_transport(function(transport)
  describe("the capability", function()
    after_each(helper.teardown)

    local function mount(body, settings, options)
      return helper.mount { source = probe.source(body, settings), transport = transport, options = options }
    end

    it("allow_idmap: a mount whose owners are mapped", function()
      local m = mount([[
        function fs.mkdir(req, parent, name, mode, entry)
          seen.creator = req.uid .. " " .. req.gid
          entry.ino, entry.attr.mode = 3, 0x41ed
        end
        function fs.unlink(req, parent, name) seen.remover = req.uid end]], "allow_idmap = true",
        { "default_permissions", "allow_other" })
      local target = helper.directory()
      finally(function() m:sh("umount -l " .. target, 5) end)
      client.output(m, calls .. map_owners .. [[
        assert(ok, err)
        local MOVE_MOUNT_F_EMPTY_PATH = 4
        assert(try(C.move_mount(tree, "", AT_FDCWD, arg[1], MOVE_MOUNT_F_EMPTY_PATH)))]], 10, { target })
      assert.equal("0 100000\n", select(2, m:sh("echo $(stat -c %u $MNT/file " .. target .. "/file)", 5)))
      client.output(m, "must.become(100007, 100008) must.mkdir(arg[1] .. '/new')", 5, { target })
      assert.equal("7 8", probe.run(m, "return seen.creator"))
      -- Other requests do not tell who the caller is.
      m:sh("rm $MNT/file", 5)
      assert.equal("4294967295", probe.run(m, "return seen.remover"))
    end)

    it("allow_idmap off: a mapped mount is refused", function()
      local m = mount()
      assert.equal("EINVAL", client.output(m, calls .. map_owners .. "io.write(tostring(err))", 10))
    end)

    -- What a client gets that opens a handle of a forgotten inode.
    local function opened(settings)
      local m = mount(exporting, settings)
      local result = client.output(m, through_handle, 10)
      assert.equal(0, m:unmount())
      return result
    end

    it("export_support: a file handle finds an inode that the kernel has forgotten", function()
      assert.equal("the first", opened "export_support = true")
      assert.equal("ESTALE", opened "export_support = false")
    end)

    it("no_export_support: file handles are refused", function()
      assert.equal("EOPNOTSUPP", opened "no_export_support = true")
      assert.equal("ESTALE", opened "no_export_support = false")
    end)
  end)
end)
