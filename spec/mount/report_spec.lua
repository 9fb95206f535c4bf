-- How mistakes appear in the log: one block for an error, the same one again counted, guesses for what is misspelt.

local helper = require "spec.helper"
local script = require "spec.script"

local function by_path(body)
  return (([[
local fractal = require "fractal"
local E = fractal.errno
local fs = fractal.pathfs { name = "by-path", attr_ttl = 0, entry_ttl = 0 }
function fs.getattr(path)
  if path == "/" or path == "/dir" then return { type = "dir", mode = "0755" } end
  if path:find("file", 1, true) then return { type = "file", mode = "0666", size = 100 } end
  return nil, E.NOENT
end
function fs.readdir(path) return { "file" } end
BODY
return fs
]]):gsub("BODY", { BODY = body }))
end


local function times(m, pattern)
  return select(2, m.log():gsub(pattern, ""))
end

helper.each_transport(function(transport)
  local function mount(source, settings)
    settings = settings or {}
    settings.source, settings.transport = source, transport
    return helper.mount(settings)
  end

  describe("an error in a handler", function()
    after_each(helper.teardown)

    it("is one block: what, by whom, arguments, where with its lines, and what the caller got", function()
      local source = by_path [[
        local function size_of(node)
          return node.size.bytes -- INNER
        end
        function fs.chmod(path)
          local nodes = { ["/file"] = { size = 1 } }
          return nodes[path] and size_of(nodes[path]) and nil -- OUTER
        end]]
      local m = mount(source)
      m:sh("chmod 600 $MNT/file", 5)
      local inner, outer = script.line_of(source, "-- INNER"), script.line_of(source, "-- OUTER")
      local log = m.log():gsub("%(pid %d+%)", "(pid N)"):gsub("/tmp/[^:%s]*/script.lua", "script.lua")
      local block = table.concat({
        'fractal-lua: error: error in setattr of "/file" by chmod (pid N)',
        "  arguments: valid 0x1, mode 0100600",
        ("  script.lua:%d: attempt to index field 'size' (a number value)"):format(inner),
        ("  at script.lua:%d: in function 'size_of'"):format(inner),
        ("    %5d |         local function size_of(node)"):format(inner - 1),
        ("  > %5d |           return node.size.bytes -- INNER"):format(inner),
        ("    %5d |         end"):format(inner + 1),
        ("  at script.lua:%d: in function 'chmod'"):format(outer),
        ("  > %5d |           return nodes[path] and size_of(nodes[path]) and nil -- OUTER"):format(outer),
        "  the caller got EIO",
      }, "\n") .. "\n"
      assert.truthy(log:find(block, 1, true), log)
    end)

    it("in a module names the module's line; a function that calls itself appears once", function()
      local dir = helper.directory()
      helper.write_file(dir .. "/script.lua", script.one_file [[
        local deep = require "deep"
        function fs.read(req, ino, buf) return deep(1) + 1 end]])
      helper.write_file(dir .. "/deep.lua", "local function deep(n)\n  return 1 + deep(n + 1)\nend\nreturn deep\n")
      local m = helper.mount { script = dir .. "/script.lua", transport = transport }
      m:sh("cat $MNT/file", 10)
      local log = m.log()
      assert.truthy(log:find("deep.lua:2: stack overflow", 1, true), log)
      assert.truthy(log:find("  >     2 |   return 1 + deep(n + 1)\n", 1, true), log)
      assert.truthy(log:find("(called by itself, ", 1, true), log)
      assert.is_true(#log < 4000, log)
    end)

    it("in a rename tells both paths", function()
      local m = mount(by_path 'function fs.rename() error("no") end')
      m:sh("mv $MNT/file $MNT/dir/file2", 5)
      assert.truthy(m.log():match('error: error in rename2? of "/file" to "/dir/file2" by mv %(pid %d+%)\n'), m.log())
    end)

    it("that is a table shows its fields", function()
      local m = mount(by_path "function fs.mkdir() error({ code = 5 }) end")
      m:sh("mkdir $MNT/new", 5)
      assert.truthy(m.log():find("\n  an error that is a table: { code = 5 }\n", 1, true), m.log())
    end)

    it("again is counted: after a quiet second, and at the end", function()
      local source = by_path 'function fs.mkdir(path) error("no " .. path) end -- HERE'
      local m = mount(source)
      m:sh("for i in {1..20}; do mkdir $MNT/new$i; done; mkdir $MNT/new", 20)
      local total, place = 0, (":%d\n"):format(script.line_of(source, "-- HERE"))
      local function count()
        total = 0
        for n, where in m.log():gmatch("error: … the same (%d+) times? more: mkdir at ([^\n]*\n)") do
          assert.equal(place, where:sub(-#place))
          total = total + n
        end
        return total
      end
      helper.eventually(10, function() return count() == 20 end)
      assert.equal(20, total, m.log())
      m:sh("mkdir $MNT/a; mkdir $MNT/b", 5)
      assert.equal(0, m:unmount())
      assert.equal(22, count(), m.log())
      assert.equal(1, times(m, "error: error in mkdir"), m.log())
    end)

    it("at another place, or in another operation, is another one", function()
      local m = mount(by_path [[
        function fs.mkdir(path)
          if path == "/a" then error("a") end
          error("b")
        end
        function fs.rmdir() error("c") end]])
      m:sh("mkdir $MNT/a; mkdir $MNT/b; rmdir $MNT/dir", 5)
      assert.equal(2, times(m, "error: error in mkdir"), m.log())
      assert.equal(1, times(m, "error: error in rmdir"), m.log())
    end)
  end)

  describe("an error elsewhere", function()
    after_each(helper.teardown)

    it("in a task, a timer or a function given to notify is a block, too", function()
      local source = script.one_file [[
        function fs.init()
          fractal.spawn(function() error("spawned") end)
          fractal.timeout(0, function() error("timeout") end)
          local n = 0
          local timer
          timer = fractal.every(0.01, function()
            n = n + 1
            if n == 5 then timer:cancel() end
            error("every") -- EVERY
          end)
        end
        function fs.open(req, ino, open) open.keep_cache = true end
        function fs.read(req, ino, buf) return ("x"):rep(100) end
        function fs.flush()
          fractal.notify.retrieve(2, 0, 4096, function() error("retrieved") end)
        end]]
      local m = mount(source)
      m:sh("cat $MNT/file", 5)
      for _, what in ipairs { "a task\n  [^\n]*spawned", "a function of fractal.timeout\n  [^\n]*timeout",
        "a function of fractal.every\n  [^\n]*every", "a function given to fractal.notify.retrieve\n  [^\n]*retrieved",
      } do
        local pattern = "error: error in " .. what .. "\n  at [^\n]*script.lua:%d+: in function [^\n]+\n"
        assert.truthy(helper.eventually(10, function() return m.log():match(pattern) end), pattern .. m.log())
      end
      local line = script.line_of(source, "-- EVERY")
      local more = "… the same 4 times more: a function of fractal.every at [^\n]*:" .. line
      assert.truthy(helper.eventually(10, function() return m.log():match(more) end), m.log())
    end)

    it("in destroy is named", function()
      local m = mount(script.one_file 'function fs.destroy() error("at the end") end')
      assert.equal(0, m:unmount())
      assert.truthy(m.log():find("error: error in destroy\n", 1, true), m.log())
      assert.truthy(m.log():find("\n  at [^\n]*script.lua:%d+: in function <"), m.log())
    end)
  end)

  describe("a table that a handler returns", function()
    after_each(helper.teardown)

    it("with an unknown field is used without it; the log guesses, once", function()
      local m = mount(script.one_file [[
        function fs.getattr(req, ino)
          return { type = ino == 1 and "dir" or "file", mode = "0755", sise = 6, size = 7 }
        end
        function fs.statfs() return { bfre = 1, frsize = 512 } end]])
      for _ = 1, 3 do
        local ok, out = m:sh("stat -c %s $MNT/file; stat -f -c %S $MNT", 5)
        assert.is_true(ok, out)
        assert.equal("7\n512\n", out)
      end
      for field, guess in pairs { ["getattr 'sise' attr"] = "size", ["statfs 'bfre' statfs"] = "bfree" } do
        local warning = field:gsub("^(%S+) (%S+) (%S+)$",
          "warning: %1 returned a table with the field %2, which %3 has not: it is ignored; did you mean ")
        assert.equal(1, times(m, ("%s'%s'%%?\n"):format(warning, guess)), m.log())
      end
    end)

    for _, case in ipairs {
      { "getattr", 'return { type = "file", size = "6" }', 'size = the string "6"; expected a number from 0 on' },
      { "getattr", 'return { type = "file", mtime = true }', "mtime = true; expected seconds as a number, or { sec =" },
      { "getattr", 'return { type = "fiel" }', 'type = fiel; expected "file", "dir", "symlink"' },
      { "getattr", "return { mode = {} }", "expected a number or an octal string such as \"0644\"" },
    } do
      it(("of the wrong type is named: %s"):format(case[2]), function()
        local m = mount(script.one_file(
          ("function fs.%s(req, ino, attr) if ino == 1 then fill(ino, attr) else %s end end"):format(case[1], case[2])))
        local ok, out = m:sh("stat $MNT/file", 5)
        assert.is_false(ok)
        assert.truthy(out:find("Input/output error", 1, true), out)
        assert.truthy(m.log():find("error: getattr of inode 2: the handler returned ", 1, true), m.log())
        assert.truthy(m.log():find(case[3], 1, true), m.log())
      end)
    end
  end)

  describe("a missing handler by path", function()
    after_each(helper.teardown)

    it("is named with the user's action and the signature to add", function()
      local m = mount(by_path "")
      m:sh("mkdir $MNT/new; rm $MNT/file; touch $MNT/file; chown 1 $MNT/file; mkfifo $MNT/fifo; echo x >>$MNT/file", 10)
      for _, sentence in ipairs {
        "mkdir(2) by mkdir (pid N) failed with ENOSYS: the script has no mkdir handler; "
          .. "add `function fs.mkdir(path, mode)`",
        "unlink(2) by rm (pid N) failed with ENOSYS: the script has no unlink handler; add `function fs.unlink(path)`",
        'utimensat(2), as of touch, of "/file" by touch (pid N) failed with ENOSYS: the script has no utimens handler; '
          .. "add `function fs.utimens(path, atime, mtime, fh, exact)`",
        'chown(2) of "/file" by chown (pid N) failed with ENOSYS: the script has no chown handler; '
          .. "add `function fs.chown(path, uid, gid, fh)`",
        "mknod(2) by mkfifo (pid N) failed with ENOSYS: the script has no mknod handler; "
          .. "add `function fs.mknod(path, mode, rdev)`",
        "write(2) by bash (pid N) failed with ENOSYS: the script has no write handler; "
          .. "add `function fs.write(path, data, offset, fh)`",
      } do
        local log = m.log():gsub("%(pid %d+%)", "(pid N)")
        assert.truthy(log:find("warning: " .. sentence .. "\n", 1, true), sentence .. "\n" .. log)
      end
    end)
  end)
end)
