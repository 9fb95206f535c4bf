-- fractal.pathfs: filesystems by path, from the least that serves a file to complete ones in Lua tables and over a
-- directory, which pass the POSIX suite; and what mistakes in their handlers are told.

local client = require "spec.client"
local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

local both_states = { transport = helper.transports(), state = { "single", "per-worker" } }

-- The table filesystem with a value for hide_unlinked.
local function table_script(hide)
  return (helper.read_file("spec/mount/pathfs_table.lua"):gsub("hide_unlinked = HIDE", "hide_unlinked = " .. hide))
end

-- Text of a filesystem with one file and these further lines.
local function one_file(body)
  return ([[
local fractal = require "fractal"
local E = fractal.errno
local fs = fractal.pathfs { name = "one", attr_ttl = 0, entry_ttl = 0 }
function fs.getattr(path)
  if path == "/" then return { type = "dir", mode = "0755" } end
  if path == "/file" then return { type = "file", mode = "0666", size = 5 } end
  return nil, E.NOENT
end
function fs.readdir(path) return { "file" } end
function fs.read(path, buf, offset) return ("12345"):sub(offset + 1, offset + #buf) end
BODY
return fs]]):gsub("BODY", { BODY = body })
end

local function succeeds(m, command, expected)
  local ok, out = m:sh(command, 20)
  assert.is_true(ok, ("%s\n%s\nthe log:\n%s"):format(command, out, m.log()))
  if expected then assert.equal(expected, out) end
end

local function logged(m, wanted)
  assert.truthy(m.log():find(wanted, 1, true), ("no %q in the log:\n%s"):format(wanted, m.log()))
end

-- Runs the POSIX suite with skips (pattern → reason), as root or another user; fails with its report.
local function passes_posix(m, skip, user)
  local words = {}
  for pattern, reason in pairs(skip) do words[#words + 1] = ("[%q] = %q"):format(pattern, reason) end
  local out = client.output(m, ([[
    local posix = require "fractal.testing.posix"
    local dir, user = MNT, tonumber(arg[1])
    if user then
      dir = MNT .. "/own"
      must.mkdir(dir, "755")
      must.chown(dir, user, user)
      must.become(user, user)
    end
    local result = posix.run(dir, { timeout = 20, skip = { %s } })
    print(posix.format(result))
    print("ran " .. result.passed .. (result.failed > 0 and " with failures" or " without failures"))]])
    :format(table.concat(words, ", ")), 280, { user })
  assert.truthy(out:find("without failures", 1, true), out .. "\nthe log:\n" .. m.log())
  assert.is_true(tonumber(out:match("ran (%d+)")) > 700, out)
end

describe("fractal.pathfs", function()
  after_each(helper.teardown)

  helper.matrix(both_states, function(settings)
    local function mount(more)
      for name, value in pairs(settings) do more[name] = value end
      return helper.mount(more)
    end

    it("serves examples/hello.lua", function()
      local m = mount { script = "examples/hello.lua" }
      succeeds(m, "cat $MNT/hello && ls $MNT && stat -c '%F %a %s' $MNT $MNT/hello",
        "Hello, world!\nhello\ndirectory 755 0\nregular file 444 14\n")
      succeeds(m, "! cat $MNT/other && ! touch $MNT/new")
      assert.equal(0, m:unmount())
    end)

    it("keeps open files and directories through renames and removals", function()
      local source = helper.directory()
      local m = mount { script = "spec/mount/pathfs_mirror.lua", options = { source = source } }
      succeeds(m, [[set -e; cd $MNT
        mkdir -p a/b/c; echo one > a/b/c/file; exec 5<>a/b/c/file; exec 6<a/b
        mv a moved; echo two >&5; cat moved/b/c/file; mkdir moved/b/new
        rm moved/b/c/file; echo three >&5
        test "$(stat -L -c %h /proc/self/fd/5)" = 0; test -z "$(ls -A moved/b/c)"; test "$(ls -A)" = moved
        cat /proc/self/fd/5; rm -r moved; exec 5>&- 6<&-; test -z "$(ls -A)"]], "two\ntwo\nthree\n")
      local ok = helper.eventually(5, function() return m:sh("test -z \"$(ls -A " .. source .. ")\"", 5) end)
      assert.truthy(ok, "a hidden file was left behind in " .. source)
    end)

    it("lists large directories whole, while names come and go", function()
      local m = mount { script = "spec/mount/pathfs_mirror.lua", options = { source = helper.directory() } }
      client.output(m, [[
        must.chdir(MNT)
        for i = 1, 3000 do must.close(must.open("name" .. i, "wronly creat", "644")) end
        local fd = must.open(".", "rdonly directory")
        local seen, count = {}, 0
        local list = must.getdents(fd, 4096)
        for i = 2001, 3000 do must.unlink("name" .. i) end
        for i = 1, 500 do must.close(must.open("late" .. i, "wronly creat", "644")) end
        while #list > 0 do
          for _, entry in ipairs(list) do
            assert(not seen[entry.name], "twice: " .. entry.name)
            seen[entry.name] = true
          end
          list = must.getdents(fd, 4096)
        end
        for i = 1, 2000 do assert(seen["name" .. i], "missing: name" .. i) end
        assert(seen["."] and seen[".."])
        assert(#must.list(".") == 2500)]], 30)
    end)
  end)

  helper.each_transport(function(transport)
    -- Sanitizers slow the suite down: each filesystem then passes it on one transport.
    local function has_time(wanted)
      return not helper.quick or transport == wanted or #helper.transports() == 1
    end

    describe("over Lua tables", function()
      if not has_time "uring" then
        return
      end
      local hidden = {
        ["^open/O_NOATIME by the owner works"] = "the handlers do not look at O_NOATIME",
      }
      local by_handle = {
        ["^open/O_NOATIME by the owner works"] = "the handlers do not look at O_NOATIME",
        ["^unlink/an unlinked file can be reopened through /proc"] = "no path leads there, and open has no handle",
        ["^xattrs/the f forms act on a descriptor"] = "handlers of attributes have no handle",
      }
      if not helper.is_root then
        it("passes the POSIX suite", function()
          passes_posix(helper.mount { source = table_script("true"), transport = transport }, hidden)
        end)
        return
      end

      it("passes the POSIX suite as root", function()
        local m = helper.mount { source = table_script("true"), transport = transport,
          options = { allow_other = true, dev = true, suid = true } }
        passes_posix(m, hidden)
      end)
      it("passes it for an ordinary user", function()
        local m = helper.mount { source = table_script("true"), transport = transport,
          options = { allow_other = true } }
        passes_posix(m, hidden, 65534)
      end)
      it("passes it with removed files that are found by their handles", function()
        local m = helper.mount { source = table_script("false"), transport = transport,
          options = { allow_other = true, dev = true, suid = true } }
        passes_posix(m, by_handle)
      end)
    end)

    local spec = has_time "dev" and it or function() end
    spec("passes the POSIX suite over a directory, with states that share nothing", function()
      local root = helper.is_root
      local m = helper.mount { script = "spec/mount/pathfs_mirror.lua", transport = transport,
        options = { source = helper.tmpfs(), allow_other = root, dev = root, suid = root } }
      passes_posix(m, {
        ["^names/a tree deeper than PATH_MAX"] = "the mirror's own system calls take whole paths",
        ["^open/O_NOATIME by the owner works"] = "the handlers do not look at O_NOATIME",
        ["^open/O_DIRECT"] = "the handlers do not look at O_DIRECT",
        ["^open/creation mode 7777"] = "a change of owner takes the set-id bits of a new file away",
        ["^owners/creating"] = "a change of owner takes the set-id bits of a new file away",
        ["^owners/a member of the group keeps"] = "a change of owner takes the set-id bits of a new file away",
        ["^owners/files in a set%-group%-id"] = "new files are given to the caller's group",
        ["^owners/directories in a set%-group%-id"] = "new files are given to the caller's group",
        ["^rename/a name is always there while"] = "renames that overtake an open twice end it with ESTALE",
        ["^directories/the name of a removed directory"] = "the state that removed it alone knows what it was",
        ["^readdir/'%.' and '%.%.' tell"] = "the state that looked a name up alone knows the number the script gave",
        ["^directories/a removed open directory"] = "the state that removed it alone knows what it was",
        ["^acls/"] = "there are no handlers of extended attributes",
        ["^special/mknod of? ?a? ?file"] = "mknod makes fifos only",
        ["^special/mknod makes a"] = "mknod makes fifos only",
        ["^special/mknod of a socket"] = "mknod makes fifos only",
        ["^special/mknod without a type"] = "mknod makes fifos only",
      })
    end)
  end)

  if helper.is_root then
    it("is mounted by an ordinary user", function()
      local m = helper.mount { source = one_file "", user = 65534 }
      local ok, out = m:sh("cat $MNT/file; ls -l $MNT | wc -l", 10, { user = 65534 })
      assert.is_true(ok, out)
      assert.equal("123452\n", out)
      assert.equal(0, m:unmount())
    end)
  end
end)

describe("sugar of fractal.pathfs", function()
  after_each(helper.teardown)

  it("takes iterators, tables and pairs from readdir", function()
    for _, body in ipairs {
      'return { "file", { name = "sub", type = "dir" } }',
      'local list, i = { "file", "sub" }, 0 return function() i = i + 1 return list[i] end',
      'return pairs { file = true, sub = { type = "dir" } }',
      'return ipairs { "file", { name = "sub", mode = "040755" } }',
      'return { ".", "..", "file", "sub" }',
    } do
      local m = helper.mount { source = one_file("function fs.readdir(path) " .. body .. " end") }
      succeeds(m, "ls $MNT 2>/dev/null | tr '\\n' ' '; ls -a $MNT 2>/dev/null | wc -l", "file sub 4\n")
      assert.equal(0, m:unmount())
    end
  end)

  it("tells the request in hand, and forgets what fractal.invalidate names", function()
    local m = helper.mount { source = one_file [[
      local size = 5
      function fs.getattr(path)
        if path == "/" then return { type = "dir", mode = "0755" } end
        local req = fractal.request()
        return { type = "file", mode = "0666", size = size, uid = req.uid, gid = req.pid > 0 and 7 or 8,
          attr_ttl = 3600, entry_ttl = 3600 }
      end
      function fs.write(path, data)
        size = 77
        assert(fractal.invalidate("/file"))
        assert(fractal.invalidate("/not/there"))
        return #data
      end]] }
    succeeds(m, "stat -c '%s %u %g' $MNT/file", ("5 %d 7\n"):format(sys.geteuid()))
    succeeds(m, "printf x | dd of=$MNT/file conv=notrunc status=none")
    assert.truthy(helper.eventually(5, function()
      local _, out = m:sh("stat -c %s $MNT/file", 5)
      return out == "77\n"
    end))
  end)

  it("gives any Lua value back as a file handle, and options of open to the kernel", function()
    local m = helper.mount { source = one_file [[
      function fs.open(path, flags) return { text = "opened\n" }, { direct_io = true } end
      function fs.read(path, buf, offset, fh) return fh.text:sub(offset + 1, offset + #buf) end
      function fs.release(path, fh) fractal.log.info("released %s %s", path, fh.text) end]] }
    succeeds(m, "cat $MNT/file", "opened\n") -- longer than its size
    assert.truthy(helper.eventually(5, function() return m.log():find("released /file opened", 1, true) end))
  end)

  it("makes a file by mknod and open where there is no create, and by create where there is no mknod", function()
    for _, name in ipairs { "mknod", "create" } do
      local m = helper.mount { source = one_file(([[
        local made = {}
        local old = fs.getattr
        function fs.getattr(path)
          if made[path] then return made[path] end
          return old(path)
        end
        function fs.%s(path, mode) made[path] = { mode = mode, size = 0 } end]]):format(name)) }
      succeeds(m, "touch $MNT/new 2>/dev/null; test -f $MNT/new")
      client.output(m, [[must.mknod(MNT .. "/by-mknod", "file", "600")]], 5)
      assert.equal(0, m:unmount())
    end
  end)
end)

-- Title, handlers, what the caller does, its error, what the log says.
local mistakes = {
  { "no mode", 'function fs.getattr(path) if path == "/" then return { type = "dir" } end return { size = 3 } end',
    "stat $MNT/x", "Input/output error", 'getattr of "/x" returned no mode; expected type = "file" or "dir"' },
  { "a misspelt type", 'function fs.getattr(path) return { type = path == "/" and "dir" or "fille" } end',
    "stat $MNT/x", "Input/output error", 'getattr of "/x" returned type the string "fille"; did you mean \'file\'?' },
  { "a misspelt field", [[function fs.getattr(path)
      if path == "/" then return { type = "dir" } end return { type = "file", mdoe = "0644", mode = false } end]],
    "stat $MNT/x", "Input/output error", "'mdoe' is no field; did you mean 'mode'?" },
  { "nothing", 'function fs.getattr(path) if path == "/" then return { type = "dir" } end end',
    "stat $MNT/x", "Input/output error", 'getattr of "/x" returned nothing; expected a table' },
  { "a size that is a string", [[function fs.getattr(path)
      if path == "/" then return { type = "dir" } end return { type = "file", size = "3" } end]],
    "stat $MNT/x", "Input/output error", 'getattr of "/x" returned size the string "3"; expected a number there' },
  { "an errno out of range",
    'function fs.getattr(path) if path == "/" then return { type = "dir" } end return nil, 999 end',
    "stat $MNT/x", "Input/output error", 'getattr of "/x" returned nil, 999; expected an errno of 1 to 511' },
  { "a table that is no list", "function fs.readdir(path) return { a = 1 } end",
    "ls $MNT", "Input/output error", 'readdir of "/" returned a table without a list in it' },
  { "a name with a slash", 'function fs.readdir(path) return { "a/b" } end',
    "ls $MNT", "Input/output error", 'readdir of "/" returned the name "a/b"; expected a list or an iterator' },
  { "nil from readdir", "function fs.readdir(path) end",
    "ls $MNT", "Input/output error", 'readdir of "/" returned nothing; expected a list or an iterator' },
  { "a name that getattr does not know",
    'function fs.readdir(path) return { { name = "ghost", type = "dir" } } end',
    "ls -l $MNT", "ghost", 'readdir lists "/ghost", but getattr of it returned ENOENT' },
  { "more bytes than asked for", [[function fs.open() return nil, { direct_io = true } end
      function fs.read(path, buf, offset) return ("x"):rep(#buf + 1) end]],
    "cat $MNT/file", "Input/output error", "expected at most the" },
  { "no count from write", "function fs.write(path, data) end",
    "printf x | dd of=$MNT/file conv=notrunc status=none", "Input/output error",
    'write of "/file" returned nothing; expected a number of bytes' },
  { "an unknown option of open", "function fs.open() return 1, { direct_oi = true } end",
    "cat $MNT/file", "Input/output error", "the option 'direct_oi'; did you mean 'direct_io'?" },
  { "false from a handler", "function fs.unlink(path) return false end",
    "rm -f $MNT/file", "Input/output error", 'unlink of "/file" returned false; expected nothing for success' },
  { "no chmod", "", "chmod 600 $MNT/file", "Function not implemented",
    'the script has no chmod handler; add `function fs.chmod(path, mode, fh)`' },
  { "no truncate", "function fs.write(path, data) return #data end",
    "truncate -s 0 $MNT/file", "Function not implemented", "add `function fs.truncate(path, size, fh)`" },
}

describe("mistakes with fractal.pathfs", function()
  after_each(helper.teardown)

  for _, case in ipairs(mistakes) do
    it(("%s: the sentence says what to do"):format(case[1]), function()
      local m = helper.mount { source = one_file(case[2]) }
      local ok, out = m:sh(case[3], 10)
      assert.is_false(ok, out)
      assert.truthy(out:find(case[4], 1, true), out)
      logged(m, case[5])
      assert.is_true(m:sh("test -d $MNT", 5))
    end)
  end

  it("an error in getattr spoils one entry of a listing, not the others", function()
    local m = helper.mount { source = one_file [[
      local old = fs.getattr
      function fs.getattr(path) if path == "/bad" then error("spoilt") end return old(path) end
      function fs.readdir(path) return { "bad", "file" } end]] }
    local _, out = m:sh("ls -l $MNT", 10)
    assert.truthy(out:find(" file\n", 1, true), out)
    logged(m, "spoilt")
  end)

  it("file handles of states that share nothing are numbers", function()
    local m = helper.mount { source = one_file "function fs.open() return {} end", state = "per-worker" }
    local ok = m:sh("cat $MNT/file", 10)
    assert.is_false(ok)
    logged(m, 'open of "/file" returned a table; expected a whole number from 0 on, as state=per-worker wants it')
  end)

  it("--check knows the handlers by path", function()
    local path = helper.directory() .. "/script.lua"
    helper.write_file(path, one_file "function fs.raed() end function fs.lookup() end fs.getattr = nil")
    local result = helper.run { "--check", path }
    assert.equal(1, result.status)
    assert.truthy(result.out:find("'raed' is no handler; did you mean 'read'?", 1, true), result.out)
    assert.truthy(result.out:find("'lookup' is a handler of fractal.lowlevel", 1, true), result.out)
    assert.truthy(result.out:find("no getattr: nothing in the mount can be reached", 1, true), result.out)
    helper.write_file(path, one_file "function fs.write() end")
    assert.equal(0, helper.run({ "--check", path }).status)
  end)
end)
