-- What a mistake in a script does: the log says where and what, the caller gets EIO, the mount goes on.

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local one_file = script.one_file

-- The lines of a log without the command's name.
local function lines_of(log)
  local lines = {}
  for line in log:gmatch("[^\n]+") do
    lines[#lines + 1] = line:gsub("^fractal%-lua: ", "")
  end
  return lines
end

local function count(list, wanted)
  local n = 0
  for _, line in ipairs(list) do
    if line == wanted then n = n + 1 end
  end
  return n
end

-- Passes when the log has that very line; shows the whole log when not.
local function assert_logged(m, wanted)
  local log = m.log()
  assert.is_true(count(lines_of(log), wanted) > 0, ("no line %q in the log:\n%s"):format(wanted, log))
end

-- The command fails with this errno's text, and the mount still serves.
local function assert_fails(m, command, text)
  local ok, out = m:sh(command, 5)
  assert.is_false(ok)
  assert.truthy(out:find(text, 1, true), out)
  assert.is_true(m:sh("test -d $MNT", 5))
end

local expected_mode = "expected attr.mode with S_IF bits, or a table with type and mode"
local expected_errno = "expected an errno of 1 to 511 such as E.NOENT behind nil"

-- One sentence for each wrong result: the handlers, what the caller does, what the log says.
local wrong_results = {
  {
    "getattr without a mode",
    "function fs.getattr(req, ino, attr) if ino == 1 then fill(ino, attr) end end",
    "stat $MNT/file",
    "getattr of inode 2: the handler returned no mode; " .. expected_mode,
  },
  {
    "getattr with permission bits only",
    "function fs.getattr(req, ino, attr) fill(ino, attr) if ino == 2 then attr.mode = 0x1a4 end end",
    "stat $MNT/file",
    "getattr of inode 2: the handler returned a mode without a file type; " .. expected_mode,
  },
  {
    "lookup without an inode number",
    "function fs.lookup(req, parent, name, entry) entry.attr.mode = 0x81a4 end",
    "stat $MNT/file",
    'lookup of "file" in inode 1: the handler returned no ino; expected entry.ino, or nil and an errno such as E.NOENT',
  },
  {
    "lookup without a file type",
    "function fs.lookup(req, parent, name, entry) entry.ino = 2 end",
    "stat $MNT/file",
    'lookup of "file" in inode 1: the handler returned no file type in mode; expected entry.attr.mode with S_IF bits',
  },
  {
    "an errno above 511",
    "function fs.lookup() return nil, 512 end",
    "stat $MNT/file",
    'lookup of "file" in inode 1: the handler returned nil, 512; ' .. expected_errno,
  },
  {
    "a negative errno, as C has them",
    "function fs.lookup() return nil, -2 end",
    "stat $MNT/file",
    'lookup of "file" in inode 1: the handler returned nil, -2; ' .. expected_errno,
  },
  {
    "the name of an errno",
    'function fs.read() return nil, "ENOENT" end',
    "cat $MNT/file",
    'read of inode 2: the handler returned nil, the string "ENOENT"; ' .. expected_errno,
  },
  {
    "read of more than was asked for",
    "function fs.read(req, ino, buf) return #buf + 1 end",
    "dd if=$MNT/file bs=64 count=1",
    "read of inode 2: the handler returned 65; expected a number of bytes from 0 to 64",
  },
  {
    "read of a fraction",
    "function fs.read(req, ino, buf) return 0.5 end",
    "dd if=$MNT/file bs=64 count=1",
    "read of inode 2: the handler returned 0.5; expected a number of bytes from 0 to 64",
  },
  {
    "read of nothing",
    "function fs.read() end",
    "cat $MNT/file",
    "read of inode 2: the handler returned nothing; expected a number of bytes, or nil and an errno",
  },
  {
    "read of a table",
    "function fs.read() return {} end",
    "dd if=$MNT/file bs=64 count=1",
    "read of inode 2: the handler returned a table; expected a number of bytes from 0 to 64",
  },
  {
    "write of more than came",
    "function fs.write(req, ino, data) return #data + 1 end",
    "echo -n abc >>$MNT/file",
    "write of inode 2: the handler returned 4; expected a number of bytes from 0 to 3",
  },
  {
    "a negative errno as the result",
    "function fs.unlink() return -2 end",
    "rm $MNT/file",
    'unlink of "file" in inode 1: the handler returned -2; expected nothing for success, or nil and an errno',
  },
  {
    "false as the result",
    "function fs.mkdir() end function fs.rmdir() end function fs.access() return false end",
    "test -r $MNT/file || cat $MNT/missing/file || { echo Input/output error; false; }",
    "access of inode 2: the handler returned false; expected nothing for success, or nil and an errno",
  },
  {
    "readlink without a target",
    "function fs.lookup(req, parent, name, entry) entry.ino, entry.attr.mode = 3, 0xa1ff end "
      .. "function fs.getattr(req, ino, attr) attr.mode = ino == 1 and 0x41ed or 0xa1ff end "
      .. "function fs.readlink() end",
    "cat $MNT/link",
    "readlink of inode 3: the handler returned nil; expected a string or a view, or nil and an errno",
  },
  {
    "a number as an extended attribute",
    "function fs.getxattr() return 5 end",
    "getfattr -n user.x $MNT/file",
    'getxattr of "user.x" in inode 2: the handler returned 5; expected a string or a view, or nil and an errno',
  },
}

-- Mistakes that raise: the log has the message with the script's line, marked `-- HERE`.
local mistakes = {
  { "error()", 'function fs.read() error("out of cheese") end -- HERE', "out of cheese" },
  { "an error that is a table", "function fs.read() error({}) end -- HERE", nil },
  { "nil in arithmetic", "function fs.read() return nil + 1 end -- HERE",
    "attempt to perform arithmetic on a nil value" },
  { "an unknown errno", "function fs.read() return nil, E.NOCHEESE end -- HERE",
    "E.NOCHEESE is no errno; see errno(3) for the names" },
  { "a view that was kept", [[
    local kept
    function fs.read(req, ino, buf)
      if kept then kept:byte(0) end -- HERE
      kept = buf
      return 0
    end]], "buffer used after reply" },
  { "a view of written data that was kept", [[
    local kept
    function fs.write(req, ino, data) kept = data return #data end
    function fs.read(req, ino, buf)
      return #kept:string() -- HERE
    end]], "buffer used after reply" },
  { "a part of a view that was kept", [[
    local kept
    function fs.read(req, ino, buf)
      if kept then kept:put("x") end -- HERE
      kept = buf:sub(1, 2)
      return 0
    end]], "buffer used after reply" },
  { "put beyond the end", 'function fs.read(req, ino, buf) buf:put("abc", #buf - 2) end -- HERE',
    "buffer access out of bounds: 3 bytes at 62 of 64" },
  { "put before the beginning", 'function fs.read(req, ino, buf) buf:put("abc", -1) end -- HERE',
    "buffer access out of bounds: 3 bytes at -1 of 64" },
  { "string beyond the end", "function fs.read(req, ino, buf) buf:string(60, 5) end -- HERE",
    "buffer access out of bounds: 5 bytes at 60 of 64" },
  { "fill beyond the end", "function fs.read(req, ino, buf) buf:fill(0, 0, 65) end -- HERE",
    "buffer access out of bounds: 65 bytes at 0 of 64" },
  { "byte beyond the end", "function fs.read(req, ino, buf) buf:byte(64) end -- HERE",
    "buffer access out of bounds: 1 bytes at 64 of 64" },
  { "sub beyond the end", "function fs.read(req, ino, buf) buf:sub(1, 64) end -- HERE",
    "buffer access out of bounds: 64 bytes at 1 of 64" },
  { "beyond the end of a part", "function fs.read(req, ino, buf) buf:sub(10, 10):byte(10) end -- HERE",
    "buffer access out of bounds: 1 bytes at 10 of 10" },
  { "changing what the caller sent", 'function fs.write(req, ino, data) data:put("x") end -- HERE',
    "this buffer is read-only: it holds what the caller sent" },
  { "filling what the caller sent", "function fs.write(req, ino, data) data:fill(0) end -- HERE",
    "this buffer is read-only: it holds what the caller sent" },
  { "a misspelt field of attr", "function fs.read(req) local a = ffi.new('struct fractal_attr') a.sise = 1 end -- HERE",
    "attr has no field 'sise'" },
}

helper.each_transport(function(transport)
  describe("a handler that raises an error", function()
    after_each(helper.teardown)

    for _, case in ipairs(mistakes) do
      local what, body, message = unpack(case, 1, 3)
      it("by " .. what .. " is named with its line; the caller gets EIO", function()
        local source = one_file(body)
        local m = helper.mount { source = source, transport = transport }
        assert_fails(m, [[
          echo -n before >>$MNT/file
          dd if=$MNT/file bs=64 count=1 && dd if=$MNT/file bs=64 count=1]], "Input/output error")
        local place = ("/script.lua:%d: "):format(script.line_of(source, "-- HERE"))
        local log = m.log()
        local source_line = ("  > %5d | "):format(script.line_of(source, "-- HERE"))
        assert.truthy(log:match("\n  at (%S+) in function"):find(place:sub(1, -2), 1, true), log)
        assert.truthy(log:find(source_line, 1, true), log)
        assert.truthy(log:find("\n  the caller got EIO\n", 1, true), log)
        if message then
          assert.truthy(log:find(place .. message .. "\n", 1, true), log)
        end
        assert.equal(0, m:unmount())
      end)
    end

    it("appears with operation, name, inode and caller, and with every function of the script", function()
      local source = one_file [[
        local function inner() return ("x") + 1 end -- INNER
        function fs.mkdir(req, parent, name)
          local result = inner() -- OUTER
          return result
        end]]
      local m = helper.mount { source = source, transport = transport }
      assert_fails(m, "mkdir $MNT/directory", "Input/output error")
      local log = m.log()
      local at_inner = ("script.lua:%d: attempt to perform"):format(script.line_of(source, "-- INNER"))
      local in_mkdir = ("script.lua:%d: in function 'mkdir'\n"):format(script.line_of(source, "-- OUTER"))
      assert.truthy(log:match('error: error in mkdir of "directory" in inode 1 by mkdir %(pid %d+%)\n'
        .. "  arguments: mode 0755, umask 022\n"), log)
      assert.truthy(log:find(at_inner, 1, true), log)
      assert.truthy(log:find("in function 'inner'\n", 1, true), log)
      assert.truthy(log:find(in_mkdir, 1, true), log)
    end)

    it("does not stop the others", function()
      local m = helper.mount {
        source = one_file "function fs.mkdir() error('no') end function fs.read(req, ino, buf) return 100 end",
        transport = transport,
      }
      client.output(m, [[
        for i = 1, 200 do
          local ok, err = sys.mkdir(MNT .. "/directory")
          assert(not ok and err == "EIO", err)
          assert(must.stat(MNT .. "/file").size == 100)
        end]], 20)
      assert.equal(0, m:unmount())
      local log = m.log()
      assert.equal(1, select(2, log:gsub("error: error in mkdir", "")), log)
      local counted = 0
      for n in log:gmatch("… the same (%d+) times? more: mkdir at [^\n]*script.lua:%d+") do
        counted = counted + n
      end
      assert.equal(199, counted, log)
    end)
  end)

  describe("a wrong result", function()
    after_each(helper.teardown)

    for _, case in ipairs(wrong_results) do
      local what, body, command, sentence = unpack(case)
      it("is named: " .. what, function()
        local m = helper.mount { source = one_file(body), transport = transport }
        assert_fails(m, command, "Input/output error")
        assert_logged(m, "error: " .. sentence)
        assert.equal(0, m:unmount())
      end)
    end

    it("is not: a string longer than asked for is cut", function()
      local m = helper.mount {
        source = one_file "function fs.read() return ('x'):rep(90) .. 'y' end", transport = transport,
      }
      local ok, out = m:sh("dd if=$MNT/file bs=64 count=1 status=none | wc -c", 5)
      assert.is_true(ok)
      assert.equal("64\n", out)
      assert.equal(1, #lines_of(m.log()))
    end)
  end)

  describe("a missing handler", function()
    after_each(helper.teardown)

    it("gives the documented errno and one hint for each operation", function()
      local m = helper.mount { source = one_file "", transport = transport }
      for _ = 1, 3 do
        assert_fails(m, "touch $MNT/new", "Function not implemented")
        assert_fails(m, "mkdir $MNT/new", "Function not implemented")
      end
      local lines = lines_of(m.log())
      table.remove(lines, 1) -- the ready line
      for i, line in ipairs(lines) do
        lines[i] = line:gsub("%(pid %d+%)", "(pid N)")
      end
      assert.same({
        "warning: open(2) with O_CREAT by touch (pid N) failed with ENOSYS: the script has no create or mknod handler; "
          .. "add `function fs.create(req, parent, name, mode, entry, open)`",
        "warning: mkdir(2) by mkdir (pid N) failed with ENOSYS: the script has no mkdir handler; "
          .. "add `function fs.mkdir(req, parent, name, mode, entry)`",
      }, lines)
    end)

    it("is hinted at once for all states", function()
      local m = helper.mount { source = one_file "", transport = transport, state = "per-worker" }
      for cpu = 0, 1 do
        assert_fails(m, ("taskset -c %d mkdir $MNT/new"):format(cpu), "Function not implemented")
      end
      assert.equal(1, select(2, m.log():gsub("warning: mkdir%(2%) by mkdir", "")), m.log())
    end)
  end)

  describe("init", function()
    after_each(helper.teardown)

    -- Mounts a script that must not come to be mounted; returns the result of the command and its log lines.
    local function refused(source, state)
      local dir = helper.directory()
      helper.write_file(dir .. "/script.lua", source)
      local options = ("transport=%s,state=%s"):format(transport, state or "single")
      local mountpoint = helper.directory()
      local result = helper.run { "-o", options, dir .. "/script.lua", mountpoint }
      assert.is_false(helper.is_mounted(mountpoint))
      assert.equal("", result.out)
      assert.equal(1, result.status)
      return lines_of(result.err), result.err
    end

    it("that raises an error: exit status 1, nothing mounted", function()
      local source = one_file 'function fs.init() error("no luck") end -- HERE'
      local lines, log = refused(source)
      local place = ("/script.lua:%d: no luck"):format(script.line_of(source, "-- HERE"))
      assert.equal("error: error in init", lines[1], log)
      assert.equal(place, lines[2]:sub(-#place), log)
      assert.truthy(lines[3]:find("^  at .*/script.lua:%d+: in function 'init'$"), log)
    end)

    it("that returns an errno: exit status 1, nothing mounted", function()
      assert.same({ "error: init returned Permission denied: not mounted" },
        refused(one_file "function fs.init() return nil, E.ACCES end"))
    end)

    it("that fails in one state of several: exit status 1, nothing mounted", function()
      local counter = helper.directory() .. "/counter"
      local lines = refused(one_file(([[
        function fs.init()
          local file = assert(io.open(%q, "a"))
          file:write("x")
          local n = file:seek("end")
          file:close()
          if n == 2 then return nil, E.NOSPC end
        end]]):format(counter)), "per-worker")
      assert.same({ "error: init returned No space left on device: not mounted" }, lines)
      assert.equal("xx", helper.read_file(counter))
    end)

    it("runs once for each state, destroy too", function()
      for _, case in ipairs { { "single", 1 }, { "per-worker", 2 } } do
        local m = helper.mount {
          source = one_file [[
            function fs.init() fractal.log.info("begun") end
            function fs.destroy() fractal.log.info("ended") end]],
          state = case[1], transport = transport,
        }
        assert.equal(case[2], count(lines_of(m.log()), "begun"))
        assert.equal(0, count(lines_of(m.log()), "ended"))
        assert.equal(0, m:unmount())
        assert.equal(case[2], count(lines_of(m.log()), "ended"))
      end
    end)
  end)
end)

describe("a script", function()
  after_each(helper.teardown)

  -- Runs the command on a script that is refused; returns its messages.
  local function messages_of(source)
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", source)
    local mountpoint = helper.directory()
    local result = helper.run { dir .. "/script.lua", mountpoint }
    assert.is_false(helper.is_mounted(mountpoint))
    assert.equal(1, result.status)
    return (result.err:gsub(dir:gsub("%p", "%%%0"), "DIR"))
  end

  it("requires modules beside it", function()
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", [[
      local fs = require "beside"
      fs.getxattr = function() return require("part.of").text end
      return fs]])
    helper.write_file(dir .. "/beside.lua", one_file "")
    assert(sys.mkdir(dir .. "/part"))
    helper.write_file(dir .. "/part/of.lua", 'return { text = "required late" }')
    local m = helper.mount { script = dir .. "/script.lua" }
    local ok, out = m:sh("getfattr --absolute-names --only-values -n user.x $MNT/file", 5)
    assert.is_true(ok, out)
    assert.equal("required late", out)
  end)

  it("that returns nothing is told what to return", function()
    assert.equal("fractal-lua: error: DIR/script.lua returned nothing: end it with `return fs`, where fs comes from "
      .. "fractal.lowlevel{} or another constructor\n", messages_of "local x = 1")
  end)

  it("that returns a plain table is told what to return", function()
    assert.equal("fractal-lua: error: DIR/script.lua returned a table: end it with `return fs`, where fs comes from "
      .. "fractal.lowlevel{} or another constructor\n", messages_of "return {}")
  end)

  it("that does not compile is named with its line", function()
    assert.equal("fractal-lua: error: cannot load the script: DIR/script.lua:2: '=' expected near 'end'\n",
      messages_of "local x\nx end")
  end)

  it("that raises an error is named with its line", function()
    local text = messages_of "local x\nx.y = 1"
    assert.equal(table.concat({
      "fractal-lua: error: error in the script",
      "  DIR/script.lua:2: attempt to index local 'x' (a nil value)",
      "  at DIR/script.lua:2: in main chunk",
      "        1 | local x",
      "  >     2 | x.y = 1",
    }, "\n") .. "\n", text)
  end)

  it("that calls itself without end is named with its line", function()
    local text = messages_of "local function f(n)\n  return 1 + f(n)\nend\nf(1)"
    local place = "\n  DIR/script.lua:2: stack overflow\n  at DIR/script.lua:2: in function 'f'\n"
    assert.truthy(text:find(place, 1, true), text)
    assert.truthy(text:find("  (called by itself, ", 1, true), text)
  end)

  it("with an unknown setting gets the nearest name", function()
    local text = messages_of 'local fs = require("fractal").lowlevel { atr_ttl = 1 } return fs'
    assert.truthy(text:find("DIR/script.lua:1: unknown setting 'atr_ttl'; did you mean 'attr_ttl'?\n", 1, true), text)
  end)

  it("with a setting of the wrong type is told the right one", function()
    local text = messages_of 'local fs = require("fractal").lowlevel { attr_ttl = "1" } return fs'
    assert.truthy(text:find("DIR/script.lua:1: setting 'attr_ttl' is a number, not a string\n", 1, true), text)
  end)

  it("with a misspelt handler is mounted with a warning", function()
    local m = helper.mount { source = one_file "function fs.getatr() end function fs.helper_of_mine() end" }
    assert.equal("warning: 'getatr' is no handler; did you mean 'getattr'?", lines_of(m.log())[1])
    assert.equal(2, #lines_of(m.log()))
  end)
end)
