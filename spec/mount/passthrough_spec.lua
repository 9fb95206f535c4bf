-- fractal.passthrough: what is the source's shows in the mount, and what is done in the mount shows in the source, made
-- by whoever made it; nothing leads out of the source; descriptors come back. Cache modes and kernel passthrough have a
-- spec of their own, and so have the rules of POSIX.

local client = require "spec.client"
local filesystems = require "spec.filesystems"
local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local USER, MEMBER, GROUP = 10001, 10003, 10050

-- Attributes of the root tell the number of inodes that the kernel knows, and how often a handler was called.
local counting = [[
local ffi = require "ffi"
local E = require("fractal").errno
local fs = require "fractal.passthrough" {}
local getxattr = fs.getxattr
function fs.getxattr(req, ino, name)
  if name == "user.inodes" then
    local table = ffi.C.fractal_session_inodes(ffi.C.fractal_worker_session(req.worker), "fractal.passthrough", true)
    return tostring(tonumber(ffi.C.fractal_inodes_count(table)))
  end
  return getxattr(req, ino, name)
end
return fs]]

-- Mounts a directory; settings as for helper.mount, and `below`, where the source lies ("tmpfs" if not said).
local function mount(settings)
  local all = { source = settings.text or [[return require "fractal.passthrough" {}]] }
  for name, value in pairs(settings) do
    all[name] = value
  end
  all.options = {}
  for name, value in pairs(settings.options or {}) do
    all.options[name] = value
  end
  all.options.source = all.options.source or filesystems.source(settings.below or "tmpfs")
  all.options.allow_other = helper.is_root
  local m = helper.mount(all)
  m.source = all.options.source
  return m
end

local function shell(command, arguments, seconds)
  local result = process.run({ "bash", "-c", "exec 2>&1; set -e\n" .. command, "bash", unpack(arguments or {}) },
    seconds or 20)
  return result.status == 0, result.out
end

local function must_shell(...)
  local ok, out = shell(...)
  assert.is_true(ok, out)
  return out
end

local function must_sh(m, ...)
  local ok, out = m:sh(...)
  assert.is_true(ok, out .. m.log())
  return out
end

-- Fails with the first line that differs.
local function assert_same_lines(expected, got)
  local lines = got:gmatch("[^\n]*\n?")
  for line in expected:gmatch("[^\n]*\n?") do
    assert.equal(line, lines())
  end
  assert.is_nil(lines())
end

local function inodes(m)
  return tonumber(must_sh(m, "getfattr --absolute-names --only-values -n user.inodes $MNT", 10))
end

local function descriptors(m)
  return #assert(sys.list(("/proc/%d/fd"):format(m.pid)))
end

describe("the options of passthrough", function()
  after_each(helper.teardown)

  -- Runs the command on a mount that must not come to be; returns its exit status and what it says.
  local function refused(options, user)
    local base = helper.directory()
    helper.write_file(base .. "/script.lua", [[return require "fractal.passthrough" {}]])
    assert(sys.mkdir(base .. "/mnt", "755"))
    local arguments = { base .. "/script.lua", base .. "/mnt" }
    if options then
      table.insert(arguments, 1, "-o")
      table.insert(arguments, 2, options)
    end
    local result = helper.run(arguments, 20, { user = user })
    assert.is_false(helper.is_mounted(base .. "/mnt"))
    return result.status, result.err
  end

  it("ask for a source", function()
    local status, err = refused(nil)
    assert.equal(1, status)
    assert.equal("fractal-lua: error: name the directory to mirror: -o source=DIR\n", err)
  end)

  it("name a source that is not there, or no directory", function()
    local status, err = refused "source=/no/such"
    assert.equal(1, status)
    assert.equal("fractal-lua: error: the source /no/such cannot be opened: No such file or directory; "
      .. "name a directory that is there: -o source=DIR\n", err)
    status, err = refused "source=/proc/self/status"
    assert.equal(1, status)
    assert.truthy(err:find("cannot be opened: Not a directory", 1, true), err)
  end)

  it("name the ways to cache", function()
    local status, err = refused "source=/,cache=sometimes"
    assert.equal(1, status)
    assert.equal("fractal-lua: error: cache=sometimes: choose never, auto or always\n", err)
  end)

  if helper.is_root then
    it("refuse kernel passthrough to an ordinary user", function()
      local status, err = refused("source=/,passthrough=on", USER)
      assert.equal(1, status)
      assert.truthy(err:find("passthrough=on needs root", 1, true), err)
    end)
  end

  it("may come from the script, and the command line wins", function()
    local first, second = helper.directory(), helper.directory()
    helper.write_file(first .. "/first", "1")
    helper.write_file(second .. "/second", "2")
    local text = ([[return require "fractal.passthrough" { source = %q }]]):format(first)
    local m = helper.mount { source = text }
    assert.equal("first\n", must_sh(m, "ls $MNT", 5))
    m = helper.mount { source = text, options = { source = second } }
    assert.equal("second\n", must_sh(m, "ls $MNT", 5))
  end)

  it("take a source relative to the directory the command is run in", function()
    local base = helper.directory()
    helper.write_file(base .. "/script.lua", [[return require "fractal.passthrough" {}]])
    must_shell([[cd "$1"; mkdir data mnt; echo here >data/file
      "$2" -b -o source=data script.lua mnt; timeout 5 cat mnt/file; umount mnt || fusermount3 -u mnt]],
      { base, helper.binary })
  end)
end)

helper.matrix({ transport = helper.transports(), state = { "per-worker", "single" } }, function(settings)
  local function setup(more)
    local all = { transport = settings.transport, state = settings.state }
    for name, value in pairs(more or {}) do
      all[name] = value
    end
    return mount(all)
  end

  describe("a mirror", function()
    after_each(helper.teardown)

    it("shows what the source has, and the source what was done in it", function()
      local m = setup { below = "ext4" }
      must_shell([[cd "$1"; mkdir -p a/b; echo text >a/b/file; ln -s b/file a/link; ln a/b/file a/hard; mkfifo a/fifo
        truncate -s 1G a/sparse; setfattr -n user.colour -v blue a/b/file; touch -d '1931-02-03 04:05:06.789' a/b
        chmod 640 a/b/file; for i in $(seq 3000); do echo $i >a/b/number-$i; done]], { m.source })
      must_sh(m, "cp -a $MNT/a $MNT/copy", 60)
      local list = [[cd "$1"; { find . -type d -printf '%p %y %m %n %u %g %T@\n'
        find . ! -type d -printf '%p %y %m %n %s %u %g %T@ %l\n'; } | sort
        getfattr -R -d . 2>&1; find . -type f -size -1M -exec md5sum {} + | sort]]
      local copied = must_shell(list:gsub("$1", "$1/copy"), { m.source }, 60)
      assert_same_lines(must_shell(list:gsub("$1", "$1/a"), { m.source }, 60), copied)
      assert_same_lines(copied, must_sh(m, (list:gsub('"$1"', '"$MNT/a"')), 60))
      assert.truthy(copied:find("user.colour", 1, true), copied)
    end)

    it("keeps the exact times, before 1970 too, and the birth time", function()
      local m = setup {}
      client.output(m, [[
        local path, source = MNT .. "/file", arg[1] .. "/file"
        must.close(must.open(path, "wronly creat", "644"))
        must.utimens(path, { -1234567890, 987654321 }, { 4294967296, 1 })
        local here, there = must.stat(path), must.stat(source)
        for _, name in ipairs { "atime", "mtime", "ctime", "btime" } do
          assert(here[name].sec == there[name].sec and here[name].nsec == there[name].nsec, name)
        end
        assert(here.atime.sec == -1234567890 and here.atime.nsec == 987654321)
        assert(here.mtime.sec == 4294967296 and here.mtime.nsec == 1)
        assert(here.btime.sec > 1e9)]], 10, { m.source })
    end)

    it("keeps one inode for all names of a file, across renames and removals", function()
      local m = setup { options = { cache = "always" } }
      client.output(m, [[
        must.mkdir(MNT .. "/one")
        must.mkdir(MNT .. "/two")
        local fd = must.open(MNT .. "/one/file", "rdwr creat", "644")
        must.link(MNT .. "/one/file", MNT .. "/two/other")
        must.rename(MNT .. "/one", MNT .. "/three")
        must.write(fd, "written by the first name")
        local a, b = must.stat(MNT .. "/three/file"), must.stat(MNT .. "/two/other")
        assert(a.ino == b.ino and a.nlink == 2 and b.size == 25)
        must.unlink(MNT .. "/three/file")
        must.unlink(MNT .. "/two/other")
        assert(must.fstat(fd).nlink == 0)
        must.write(fd, ", and still there")
        assert(must.pread(fd, 100, 0) == "written by the first name, and still there")
        must.fchmod(fd, "600")
        assert(must.fstat(fd).mode == 384)]], 10)
      assert.same({ "three", "two" }, sys.list(m.source))
    end)

    it("gives a file without a name one", function()
      local m = setup {}
      client.output(m, [[
        local fd = must.open(MNT, "rdwr tmpfile", "640")
        must.write(fd, "nameless")
        must.linkat(-100, "/proc/self/fd/" .. fd, -100, MNT .. "/named", "symlink_follow")
        assert(must.stat(MNT .. "/named").nlink == 1)]], 10)
      assert.equal("nameless", helper.read_file(m.source .. "/named"))
    end)

    it("copies ranges within the source, however long", function()
      local m = setup {}
      must_shell([[head -c 40000000 /dev/urandom >"$1/from"]], { m.source })
      client.output(m, [[
        local from, to = must.open(MNT .. "/from", "rdonly"), must.open(MNT .. "/to", "wronly creat", "644")
        local done, calls = 0, 0
        repeat
          local n = must.copy_file_range(from, done, to, done, 40000000 - done)
          done, calls = done + n, calls + 1
        until n == 0 or done == 40000000
        assert(done == 40000000 and calls < 10, calls)]], 20)
      must_shell([[cmp "$1/from" "$1/to"]], { m.source })
    end)

    it("appends behind what others have appended to the source", function()
      local m = setup { options = { cache = "never" } }
      client.output(m, [[
        local here = must.open(MNT .. "/log", "wronly creat append", "644")
        local there = must.open(arg[1] .. "/log", "wronly append")
        for i = 1, 50 do
          must.write(here, "here ")
          must.write(there, "there ")
        end]], 10, { m.source })
      assert.equal(("here there "):rep(50), helper.read_file(m.source .. "/log"))
    end)
  end)
end)

if helper.is_root then
  describe("callers of a mirror that root serves", function()
    after_each(helper.teardown)

    helper.matrix({ transport = helper.transports(), state = { "per-worker", "single" } }, function(settings)
      it("own what they make, with the groups they are in", function()
        local m = mount { transport = settings.transport, state = settings.state }
        must_shell([[cd "$1"; mkdir open shared; chmod 1777 open; chgrp 10050 shared; chmod 2775 shared]], { m.source })
        client.output(m, ([[
          local function as(uid, groups, fn)
            local pid = must.fork()
            if pid == 0 then
              must.become(uid, uid, groups)
              sys.umask "022"
              local ok, err = pcall(fn)
              if not ok then print(err) end
              io.stdout:flush()
              sys.exit(ok and 0 or 1)
            end
            local _, status = must.waitpid(pid)
            assert(status == 0, "a user's part failed")
          end
          as(%d, {}, function()
            must.close(must.open(MNT .. "/open/file", "wronly creat", "666"))
            must.mkdir(MNT .. "/open/dir", "777")
            must.symlink("target", MNT .. "/open/link")
            must.mkfifo(MNT .. "/open/fifo", "666")
            must.close(must.open(MNT .. "/open", "rdwr tmpfile", "600"))
            assert(select(2, sys.open(MNT .. "/shared/file", "wronly creat", "666")) == "EACCES")
          end)
          as(%d, { %d }, function()
            must.close(must.open(MNT .. "/shared/program", "wronly creat", "2775"))
            must.mkdir(MNT .. "/shared/dir", "775")
          end)]]):format(USER, MEMBER, GROUP), 20)
        local out = must_shell([[cd "$1"; find open shared -mindepth 1 -printf '%p %m %U %G\n' | sort]], { m.source })
        assert.equal(table.concat({
          "open/dir 755 10001 10001", "open/fifo 644 10001 10001", "open/file 644 10001 10001",
          "open/link 777 10001 10001", "shared/dir 2755 10003 10050", "shared/program 2755 10003 10050", "",
        }, "\n"), out)
      end)
    end)

    it("are never somebody else, with two of them at once on one worker", function()
      local m = mount { workers = 1, state = "single" }
      must_shell([[mkdir "$1/open"; chmod 1777 "$1/open"]], { m.source })
      client.output(m, [[
        local pids = {}
        for uid = 20001, 20004 do
          local pid = must.fork()
          if pid == 0 then
            must.become(uid, uid)
            for i = 1, 300 do
              must.close(must.open(("%s/open/%d-%d"):format(MNT, uid, i), "wronly creat excl", "644"))
            end
            sys.exit(0)
          end
          pids[#pids + 1] = pid
        end
        for _ = 1, 300 do must.stat(MNT .. "/open") end
        for _, pid in ipairs(pids) do assert(select(2, must.waitpid(pid)) == 0) end]], 30)
      local wrong = must_shell([[cd "$1/open"; ls | wc -l
        find . -type f -printf '%f %U %G\n' | awk '{ split($1, part, "-"); if (part[1] != $2 || $2 != $3) print }']],
        { m.source })
      assert.equal("1200\n", wrong)
    end)

    it("lose no right to a file that appears while they create it", function()
      local m = mount { text = [[
        local E = require("fractal").errno
        local fs = require "fractal.passthrough" {}
        local lookup, lied = fs.lookup, {}
        function fs.lookup(req, parent, name, entry) -- the file "appears" after the first look
          if name:find "^late" and not lied[name] then
            lied[name] = true
            return nil, E.NOENT
          end
          return lookup(req, parent, name, entry)
        end
        return fs]], state = "single" }
      must_shell([[cd "$1"; chmod 777 .; echo secret >late-secret; echo open >late-open; chmod 600 late-secret
        chmod 666 late-open; mkfifo late-fifo; chmod 666 late-fifo]], { m.source })
      client.output(m, ([[
        must.become(%d, %d)
        assert(select(2, sys.open(MNT .. "/late-secret", "rdwr creat", "644")) == "EACCES")
        local fd = must.open(MNT .. "/late-open", "rdwr creat", "644")
        assert(must.read(fd, 10) == "open\n")
        must.close(must.open(MNT .. "/late-fifo", "rdwr creat nonblock", "644"))
      ]]):format(USER, USER), 10)
    end)
  end)
end

describe("the borders of a source", function()
  after_each(helper.teardown)

  it("hold when a directory becomes a link to somewhere else", function()
    local m = mount { options = { cache = "always" } }
    local outside = helper.directory()
    helper.write_file(outside .. "/file", "outside")
    must_shell([[mkdir "$1/dir"; echo inside >"$1/dir/file"]], { m.source })
    client.output(m, [[
      local source, outside = arg[1], arg[2]
      local dir = must.open(MNT .. "/dir", "rdonly directory")
      must.stat(MNT .. "/dir/file")
      must.rename(source .. "/dir", source .. "/moved")
      must.symlink(outside, source .. "/dir")
      assert(must.read(must.openat(dir, "file", "rdonly"), 100) == "inside\n")
      assert(must.read(must.open(MNT .. "/dir/file", "rdonly"), 100) == "inside\n")
      must.close(must.openat(dir, "new", "wronly creat", "644"))
      must.stat(source .. "/moved/new")]], 10, { m.source, outside })
    assert.same({ "file" }, sys.list(outside))
  end)

  it("hold for .. in a directory that was moved out", function()
    local m = mount { options = { cache = "never" } }
    local outside = must_shell([[outside=$(dirname "$1")/outside; mkdir -p "$1/dir" "$outside"
      echo secret >"$outside/secret"; printf %s "$outside"]], { m.source })
    client.output(m, [[
      local source, outside = arg[1], arg[2]
      local dir = must.open(MNT .. "/dir", "rdonly directory")
      must.rename(source .. "/dir", outside .. "/dir")
      assert(select(2, sys.openat(dir, "../secret", "rdonly")) == "ENOENT")
      assert(must.statx(dir, "..").ino == must.stat(MNT).ino)]], 10, { m.source, outside })
  end)

  it("leave links to the caller", function()
    local m = mount {}
    must_shell([[cd "$1"; mkdir dir; ln -s /proc/self/stat absolute; ln -s dir/file made; ln -s ../../../.. up]],
      { m.source })
    client.output(m, [[
      assert(must.readlink(MNT .. "/absolute") == "/proc/self/stat")
      local pid = must.read(must.open(MNT .. "/absolute", "rdonly"), 100):match("^%d+")
      assert(tonumber(pid) == sys.getpid(), "the link was followed by somebody else")
      must.close(must.open(MNT .. "/made", "wronly creat", "644"))
      assert(must.stat(MNT .. "/dir/file").type == "file")]], 10)
  end)

  if helper.is_root then
    it("include other filesystems below, whose inode numbers stay apart", function()
      local m = mount {}
      must_shell([[mkdir "$1/other"]], { m.source })
      assert(sys.mount_tmpfs(m.source .. "/other"))
      finally(function() sys.umount(m.source .. "/other") end)
      must_shell([[for i in $(seq 50); do echo $i >"$1/$i"; echo $i >"$1/other/$i"; done]], { m.source })
      local doubled = must_sh(m, "find $MNT -type f -printf '%i\n' | sort | uniq -d", 10)
      assert.equal("", doubled)
      local numbers = must_sh(m, "cd $MNT/other && for f in *; do stat -c '%i %n' $f; done | sort; ls -i | wc -l", 10)
      assert.truthy(numbers:find("\n50\n$"), numbers)
      assert.equal(must_sh(m, "ls -i1 $MNT/other | awk '{print $1, $2}' | sort; echo 50", 10), numbers)
    end)

    it("do not lead into the mount itself", function()
      local base = helper.directory()
      assert(sys.mkdir(base .. "/mnt", "755"))
      helper.write_file(base .. "/file", "text")
      local m = mount { options = { source = base }, dir = base .. "/mnt" }
      client.output(m, [[
        assert(select(2, sys.stat(MNT .. "/mnt")) == "EDEADLK")
        assert(must.stat(MNT .. "/file").size == 4)
        local found = false
        for _, name in ipairs(must.list(MNT)) do found = found or name == "mnt" end
        assert(found)]], 10)
      local _, out = m:sh("find $MNT -name file", 10)
      assert.truthy(out:find("/mnt/file\n", 1, true), out)
    end)
  end

  it("may be covered by the mount", function()
    local base = helper.directory()
    helper.write_file(base .. "/file", "text")
    local m = mount { options = { source = base }, dir = base }
    assert.equal("text", must_sh(m, "cat $MNT/file; echo more >$MNT/other", 10))
    assert.equal(0, m:unmount())
    assert.equal("more\n", helper.read_file(base .. "/other"))
  end)
end)

describe("flock on a mirror", function()
  after_each(helper.teardown)

  helper.each_transport(function(transport)
    it("meets locks on the source, waits for them, and ends with a signal", function()
      local m = mount { transport = transport }
      helper.write_file(m.source .. "/file", "")
      client.output(m, [[
        local ffi = require "ffi"
        local C = require "fractal.testing.sys_cdef"
        local there = must.open(arg[1] .. "/file", "rdwr")
        local here = must.open(MNT .. "/file", "rdwr")
        must.flock(there, "ex")
        assert(select(2, sys.flock(here, "sh nb")) == "EAGAIN")
        -- A waiting lock is interrupted.
        local pid = must.fork()
        if pid == 0 then
          C.signal(sys.K.signals.usr1, ffi.cast("void *", C.getpid))
          C.siginterrupt(sys.K.signals.usr1, 1)
          local _, err = sys.flock(here, "ex")
          sys.exit(err == "EINTR" and 0 or 1)
        end
        sys.sleep(0.3)
        must.kill(pid, "usr1")
        assert(select(2, must.waitpid(pid)) == 0, "the wait did not end with EINTR")
        -- A waiting lock comes.
        pid = must.fork()
        if pid == 0 then
          must.flock(here, "ex")
          sys.exit(sys.stat(MNT .. "/released") and 0 or 1)
        end
        sys.sleep(0.2)
        must.stat(MNT .. "/file") -- the mount goes on meanwhile
        must.close(must.open(arg[1] .. "/released", "wronly creat", "644"))
        must.flock(there, "un")
        assert(select(2, must.waitpid(pid)) == 0, "the lock came too early")
        assert(select(2, sys.flock(there, "ex nb")) == "EAGAIN")
        must.close(here)
        local limit = sys.clock("monotonic") + 5
        while not sys.flock(there, "ex nb") do assert(sys.clock("monotonic") < limit, "the lock outlives its file") end
        ]], 20, { m.source })
    end)
  end)

  it("has nothing to do with record locks, which are the mount's own", function()
    local m = mount {}
    helper.write_file(m.source .. "/file", "text")
    client.output(m, [[
      local here, there = must.open(MNT .. "/file", "rdwr"), must.open(arg[1] .. "/file", "rdwr")
      must.lock(here, "ofd_setlk", "wr")
      must.lock(there, "ofd_setlk", "wr")
      local again = must.open(MNT .. "/file", "rdwr")
      assert(select(2, sys.lock(again, "ofd_setlk", "wr")) == "EAGAIN")]], 10, { m.source })
  end)
end)

describe("descriptors of a mirror", function()
  after_each(helper.teardown)

  if helper.is_root then
    helper.each_transport(function(transport)
      it("come back with the lookups, after thousands of files", function()
        local m = mount { text = counting, transport = transport }
        local before = descriptors(m)
        assert.equal(1, inodes(m))
        must_shell([[mkdir "$1/tree"; cd "$1/tree"
          for d in $(seq 100); do mkdir $d; (cd $d; seq 200 | xargs touch); done]], { m.source }, 60)
        must_sh(m, "cp -a $MNT/tree $MNT/copy && diff -r $MNT/tree $MNT/copy && rm -r $MNT/copy", 120)
        -- Another spec beside this one may have dropped the machine's caches.
        assert.is_true(helper.eventually(20, function()
          must_sh(m, "find $MNT/tree -size +1 | wc -l", 60)
          return inodes(m) > 1
        end))
        helper.eventually(20, function()
          m:drop_names()
          return inodes(m) == 1
        end)
        assert.equal(1, inodes(m))
        assert.equal(before, descriptors(m))
      end)
    end)

    it("are given back where there are too few", function()
      local directory = helper.directory()
      helper.write_file(directory .. "/limited", ('#!/bin/sh\nulimit -n 200\nexec "%s" "$@"\n'):format(helper.binary))
      assert(sys.chmod(directory .. "/limited", "755"))
      local binary = helper.binary
      helper.binary = directory .. "/limited"
      finally(function() helper.binary = binary end)
      local m = mount {}
      must_shell([[cd "$1"; for d in $(seq 20); do mkdir $d; (cd $d; seq 100 | xargs touch); done]], { m.source })
      assert.equal("2000\n", must_sh(m, "find $MNT -type f -exec stat -c %i {} + | sort -u | wc -l", 60))
      must_sh(m, "cp -a $MNT/1 $MNT/copy && cat $MNT/*/* | wc -c", 60)
      assert.equal("", (m.log():gsub("mounted [^\n]*\n", "")))
    end)

    it("make handles that do not come to mean another file", function()
      local m = mount { options = { cache = "never" } }
      local out = client.output(m, [[
        local ffi = require "ffi"
        ffi.cdef "int name_to_handle_at(int, const char *, void *, int *, int);"
        ffi.cdef "int open_by_handle_at(int, void *, int);"
        local function handle_of(path)
          local handle, id = ffi.new("uint32_t[40]", { 128 }), ffi.new "int[1]"
          assert(ffi.C.name_to_handle_at(-100, path, handle, id, 0) == 0, ffi.errno())
          return handle
        end
        local mount = must.open(MNT, "rdonly directory")
        must.close(must.open(MNT .. "/old", "wronly creat", "644"))
        local handle = handle_of(MNT .. "/old")
        local fd = ffi.C.open_by_handle_at(mount, handle, 0)
        assert(fd >= 0, ffi.errno())
        must.close(fd)
        must.unlink(MNT .. "/old")
        assert(os.execute("mount -i -o remount " .. MNT) == 0)
        -- The old number comes again once the kernel has told that it forgets the old file.
        local i, stale, reused, limit = 0, 0, 0, sys.clock "monotonic" + 10
        repeat
          i = i + 1
          must.close(must.open(MNT .. "/new" .. i, "wronly creat", "644"))
          must.stat(MNT .. "/new" .. i)
          local new = handle_of(MNT .. "/new" .. i)
          -- Behind length and type: 64 bits of node id, 32 of generation.
          if new[2] == handle[2] and new[3] == handle[3] then reused = reused + 1 end
          if ffi.C.open_by_handle_at(mount, handle, 0) < 0 and ffi.errno() == 116 then stale = stale + 1 end
          if i > 20 then sys.sleep(0.01) end
        until i >= 20 and (reused > 0 or sys.clock "monotonic" > limit)
        print(i - stale, reused)]], 20)
      local taken, reused = out:match("(%d+)%s+(%d+)")
      assert.equal("0", taken, out)
      assert.is_true(tonumber(reused) >= 1, out)
    end)
  end
end)

describe("a script that inherits from passthrough", function()
  after_each(helper.teardown)

  it("may hide names and change contents", function()
    local m = mount { text = [[
      local E = require("fractal").errno
      local fs = require "fractal.passthrough" {}
      local lookup, read = fs.lookup, fs.read
      function fs.lookup(req, parent, name, entry)
        if name:find "^hidden" then return nil, E.NOENT end
        return lookup(req, parent, name, entry)
      end
      for _, operation in ipairs { "readdir", "readdirplus" } do
        local old = fs[operation]
        fs[operation] = function(req, ino, dir, offset, fh)
          local filter = {}
          function filter:add(name, ...) return name:find "^hidden" ~= nil or dir:add(name, ...) end
          return old(req, ino, filter, offset, fh)
        end
      end
      function fs.read(req, ino, buf, offset, fh)
        local n, err = read(req, ino, buf, offset, fh)
        for i = 0, (n or 0) - 1 do
          if buf.ptr[i] == 97 then buf.ptr[i] = 65 end
        end
        return n, err
      end
      return fs]] }
    must_shell([[cd "$1"; echo banana >shown; echo no >hidden]], { m.source })
    assert.equal("shown\nbAnAnA\n", must_sh(m, "ls $MNT; cat $MNT/shown; ! cat $MNT/hidden 2>/dev/null", 5))
  end)

  it("hears of closes when it asks", function()
    local m = mount { text = [[
      local log = require("fractal").log
      local fs = require "fractal.passthrough" {}
      local flush = fs.flush
      function fs.flush(req, ino, fh)
        log.info("closed")
        return flush(req, ino, fh)
      end
      return fs]] }
    must_sh(m, "echo text >$MNT/file", 5)
    assert.truthy(m.log():find("closed", 1, true), m.log())
  end)
end)
