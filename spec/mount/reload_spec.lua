-- Another version of the script while it is mounted: what takes its place, what stays, and what goes on when the new
-- version cannot.

local client = require "spec.client"
local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local PATIENCE = 20 -- seconds

-- Mounts a script of a directory of its own, m.path. Further files: { ["name.lua"] = text }.
local function mount(source, settings, files)
  local base = helper.directory()
  for name, text in pairs(files or {}) do
    helper.write_file(base .. "/" .. name, text)
  end
  helper.write_file(base .. "/fs.lua", source)
  local all = { script = base .. "/fs.lua" }
  for key, value in pairs(settings or {}) do
    all[key] = value
  end
  local m = helper.mount(all)
  m.path = base .. "/fs.lua"
  return m
end

-- How many reloads have come to an end, one way or the other.
local function reloads(m)
  local _, done = m.log():gsub("reloaded [^\n]*%(generation %d+%)", "")
  local _, refused = m.log():gsub("was not reloaded: the old one goes on", "")
  return done + refused
end

-- Waits until so many reloads are over. Returns what the log has since `from`.
local function await_reload(m, count, from)
  assert.truthy(helper.eventually(PATIENCE, function() return reloads(m) >= count end), m.log())
  return m.log():sub(from + 1)
end

-- Writes a new version (where one is given) and reloads it by SIGHUP. Returns the log of that.
local function reload(m, source)
  local count, from = reloads(m), #m.log()
  if source then
    helper.write_file(m.path, source)
  end
  m.process:kill("hup")
  return await_reload(m, count + 1, from)
end

local function assert_reloaded(log, generation)
  assert.truthy(log:find("reloaded [^\n]+/fs%.lua %(generation " .. generation .. "%) in %d+ ms\n"), log)
  assert.falsy(log:find("error", 1, true), log)
end

local function assert_refused(log, ...)
  assert.truthy(log:find("error: [^\n]+/fs%.lua was not reloaded: the old one goes on\n"), log)
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    assert.truthy(log:find(text, 1, true), ("%s is not in: %s"):format(text, log))
  end
end

local function cat(m)
  local ok, out = m:sh("cat $MNT/file", 10)
  assert.is_true(ok, out)
  return out
end

-- One file that says this, then padding.
local function saying(text, more, settings)
  return script.one_file(([[
    function fs.read(req, ino, buf, offset)
      return offset == 0 and TEXT or ""
    end
    %s]]):format(more or ""):gsub("TEXT", { TEXT = ("%q"):format(text) }), settings)
end

describe("a script that is reloaded", function()
  after_each(helper.teardown)

  it("serves from the next request on", function()
    local m = mount(saying "old")
    assert.equal("old", cat(m))
    assert_reloaded(reload(m, saying "new"), 2)
    assert.equal("new", cat(m))
    assert_reloaded(reload(m, saying "newest"), 3)
    assert.equal("newest", cat(m))
  end)

  it("in the background is reloaded too", function()
    local m = mount(saying "old", { background = true, args = { "--log", "/dev/stderr" } })
    m.process:kill("hup")
    helper.write_file(m.path, saying "new")
    assert.truthy(helper.eventually(PATIENCE, function()
      m.process:kill("hup")
      return cat(m) == "new"
    end))
  end)

  it("with several states is exchanged in each", function()
    local m = mount(saying "old", { state = "per-worker" })
    assert_reloaded(reload(m, saying "new"), 2)
    for cpu = 0, 1 do
      local ok, out = m:sh(("taskset -c %d cat $MNT/file"):format(cpu), 10)
      assert.is_true(ok, out)
      assert.equal("new", out)
    end
  end)

  it("may add and drop handlers", function()
    local m = mount(saying "text")
    assert.is_false(m:sh("echo x > $MNT/file", 5))
    assert_reloaded(reload(m, saying("text", "function fs.write(_, _, data) return #data end " ..
      "function fs.setattr(_, ino, _, attr) fill(ino, attr) end")), 2)
    assert.is_true(m:sh("echo x > $MNT/file", 5))
    assert_reloaded(reload(m, saying "text"), 3)
    assert.is_false(m:sh("echo x > $MNT/file", 5))
  end)

  it("is given the options of the command line", function()
    local settings = [[options = { word = "what to say" }]]
    local body = [[function fs.read(req, ino, buf, offset) return offset == 0 and fs.options.word .. %q or "" end]]
    local m = mount(script.one_file(body:format "", settings), { options = { word = "hello" } })
    assert.equal("hello", cat(m))
    assert_reloaded(reload(m, script.one_file(body:format "!", settings)), 2)
    assert.equal("hello!", cat(m))
  end)

  it("finishes what waits with the old code, and nobody waits for it", function()
    local body = [[
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        fractal.io.sleep(%s)
        return %q
      end]]
    local m = mount(script.one_file(body:format(1, "old")))
    local reader = m:start "cat $MNT/file"
    sys.sleep(0.3)
    assert_reloaded(reload(m, script.one_file(body:format(0, "new"))), 2)
    assert.is_nil(reader:poll())
    assert.equal("new", cat(m))
    assert.equal(0, reader:wait(PATIENCE))
    assert.equal("old", reader.output())
  end)

  it("begins with init, which may wait while the old one serves", function()
    local m = mount(saying "old")
    local from = #m.log()
    helper.write_file(m.path, saying("new", "function fs.init() fractal.io.sleep(1) end"))
    m.process:kill("hup")
    sys.sleep(0.5)
    assert.equal("old", cat(m))
    assert_reloaded(await_reload(m, 1, from), 2)
    assert.equal("new", cat(m))
  end)

  it("hands Lua values over with reload, in place of init", function()
    local body = [[
      fs.count = 0
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        fs.count = fs.count + 1
        return %q .. fs.count
      end
      function fs.init() fs.count = 10 end
      function fs.reload(old, conn) assert(conn.proto_major == 7) fs.count = old.count end]]
    local m = mount(script.one_file(body:format "a"))
    assert.equal("a11", cat(m))
    assert_reloaded(reload(m, script.one_file(body:format "b")), 2)
    assert.equal("b12", cat(m))
  end)

  it("finds what it keeps by name, and only that", function()
    local body = [[
      local kept = fractal.kept("count", function() return { n = 0 } end)
      local own = { n = 0 }
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        kept.n, own.n = kept.n + 1, own.n + 1
        return %q .. kept.n .. own.n
      end]]
    local m = mount(script.one_file(body:format "a"))
    assert.equal("a11", cat(m))
    assert_reloaded(reload(m, script.one_file(body:format "b")), 2)
    assert.equal("b21", cat(m))
  end)

  it("runs the new destroy at the end, and the old one never", function()
    local body = [[function fs.destroy() io.stderr:write("destroyed %s\n") end]]
    local m = mount(script.one_file(body:format "old"))
    assert_reloaded(reload(m, script.one_file(body:format "new")), 2)
    assert.equal(0, m:unmount())
    assert.truthy(m.log():find("destroyed new\n", 1, true), m.log())
    assert.falsy(m.log():find("destroyed old\n", 1, true), m.log())
  end)

  it("loads its own modules anew", function()
    local body = [[
      local said = require "words.said"
      function fs.read(req, ino, buf, offset) return offset == 0 and said.text or "" end]]
    local base = helper.directory()
    sys.mkdir(base .. "/words", "755")
    helper.write_file(base .. "/words/said.lua", [[return { text = "old" }]])
    helper.write_file(base .. "/fs.lua", script.one_file(body))
    local m = helper.mount { script = base .. "/fs.lua" }
    assert.equal("old", cat(m))
    helper.write_file(base .. "/words/said.lua", [[return { text = "new" }]])
    assert_reloaded(reload(m), 2)
    assert.equal("new", cat(m))
    helper.write_file(base .. "/words/said.lua", [[return { text = 1 + nil }]])
    assert_refused(reload(m), "said.lua:1: attempt to perform arithmetic")
    assert.equal("new", cat(m))
  end)

  it("may repeat its C declarations and metatypes", function()
    local body = [[
      ffi.cdef "struct spec_point { double x, y; };"
      local point = ffi.metatype("struct spec_point", { __index = { sum = function(p) return p.x + p.y + %d end } })
      local first = fractal.kept("point", function() return point(1, 2) end)
      function fs.read(req, ino, buf, offset)
        return offset == 0 and ("%%g %%g"):format(first:sum(), point(3, 4):sum()) or ""
      end]]
    local m = mount(script.one_file(body:format(0)))
    assert.equal("3 7", cat(m))
    assert_reloaded(reload(m, script.one_file(body:format(100))), 2)
    assert.equal("103 107", cat(m))
    local log = reload(m, script.one_file((body:format(200):gsub("double x, y", "float x, y"))))
    assert_refused(log, "changed C declarations need a remount")
    assert.equal("103 107", cat(m))
    assert_reloaded(reload(m, script.one_file(body:format(300))), 3)
    assert.equal("303 307", cat(m))
  end)

  it("ends repeated timers and tasks of init, not what requests have begun", function()
    local body = [[
      local seen = fractal.kept("seen", function() return { timer = {}, task = {}, late = {} } end)
      local me = %q
      local function count(kind) seen[kind][me] = (seen[kind][me] or 0) + 1 end
      function fs.init()
        fractal.every(0.05, function() count "timer" end)
        fractal.spawn(function() while fractal.io.sleep(0.05) do count "task" end end)
      end
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        fractal.timeout(0.5, function() count "late" end)
        local text = {}
        for _, kind in ipairs { "timer", "task", "late" } do
          text[#text + 1] = ("%%s old=%%d new=%%d"):format(kind, seen[kind].old or 0, seen[kind].new or 0)
        end
        return table.concat(text, ", ")
      end]]
    local pattern = "timer old=(%d+) new=(%d+), task old=(%d+) new=(%d+), late old=(%d+)"
    local m = mount(script.one_file(body:format "old"))
    cat(m)
    assert_reloaded(reload(m, script.one_file(body:format "new")), 2)
    local timer, _, task = cat(m):match(pattern)
    assert.truthy(helper.eventually(PATIENCE, function()
      local _, more_timer, _, more_task, late = cat(m):match(pattern)
      return tonumber(more_timer) >= 5 and tonumber(more_task) >= 5 and late == "1"
    end), cat(m))
    local later, _, later_task = cat(m):match(pattern)
    assert.same({ timer, task }, { later, later_task })
  end)

  it("has the kernel look names up anew", function()
    local settings = "attr_ttl = 1000, entry_ttl = 1000,"
    local body = [[function fs.getattr(req, ino, attr) fill(ino, attr) if ino == 2 then attr.size = %d end end
      function fs.lookup(req, parent, name, entry)
        if name ~= "file" then return nil, E.NOENT end
        entry.ino = 2
        fs.getattr(req, 2, entry.attr)
      end]]
    local source = function(size)
      return (script.one_file(body:format(size)):gsub("attr_ttl = 0, entry_ttl = 0,", settings))
    end
    local m = mount(source(5))
    assert.equal("5\n", select(2, m:sh("stat -c %s $MNT/file", 5)))
    assert_reloaded(reload(m, source(6)), 2)
    local ok, out = m:sh("stat -c %s $MNT/file", 5)
    assert.is_true(ok)
    assert.equal("6\n", out)
  end)

  it("may change the ttls, where the command line does not", function()
    local counting = [[
      local size = 100
      function fs.getattr(req, ino, attr)
        fill(ino, attr)
        size = size + 1
        if ino == 2 then attr.size = size end
      end]]
    local keeps = [[
      local fd = must.open(MNT .. "/file", "rdonly")
      must.fstat(fd)
      local first = must.fstat(fd).size
      for _ = 1, 5 do must.fstat(fd) end
      io.write(must.fstat(fd).size == first and "kept" or "asked")]]
    local longer = script.one_file(counting):gsub("attr_ttl = 0, entry_ttl = 0,", "attr_ttl = 1000, entry_ttl = 0,")
    local m = mount(script.one_file(counting))
    assert.equal("asked", client.output(m, keeps, 10))
    assert_reloaded(reload(m, longer), 2)
    assert.equal("kept", client.output(m, keeps, 10))
    m = mount(script.one_file(counting), { options = { attr_ttl = 0 } })
    assert_reloaded(reload(m, longer), 2)
    assert.equal("asked", client.output(m, keeps, 10))
  end)

  it("warns of what counts only at the mount", function()
    local m = mount(saying "old")
    local log = reload(m, (saying("new", "", [[workers = 1, state = "per-worker", mount = { ro = true },]])
      :gsub('name = "one%-file"', 'name = "another"')))
    assert_reloaded(log, 2)
    for _, name in ipairs { "fsname", "workers", "state", "ro" } do
      assert.truthy(log:find(("warning: %s is another one than at the mount: that needs a remount\n"):format(name), 1,
        true), log)
    end
    assert.equal("new", cat(m))
  end)

  it("warns of limits and sources that stay", function()
    local m = mount [[return require("fractal.memoryfs") { size = "1m" }]]
    local log = reload(m, [[return require("fractal.memoryfs") { size = "2m", nr_inodes = "1k" }]])
    assert_reloaded(log, 2)
    for _, name in ipairs { "size", "nr_inodes" } do
      assert.truthy(log:find(("warning: %s is another one than at the mount"):format(name), 1, true), log)
    end
    m = mount [[return require("fractal.passthrough") { source = "/usr", state = "per-worker" }]]
    log = reload(m, [[return require("fractal.passthrough") { source = "/etc", state = "per-worker" }]])
    assert_reloaded(log, 2)
    assert.truthy(log:find("warning: source is another one than at the mount", 1, true), log)
    assert.is_true(m:sh("ls $MNT/bin >/dev/null", 10))
  end)

  it("is refused without handlers that the kernel goes on to ask for", function()
    local lists = "function fs.readdirplus() end function fs.readdir() end"
    local m = mount(saying("old", lists))
    local log = reload(m, saying("new", "function fs.readdir() end"))
    assert_refused(log, "leaving `readdirplus` out needs a remount")
    assert.equal("old", cat(m))
    assert_reloaded(reload(m, saying("new", lists)), 2)
  end)

  it("may be asked for before the mount is ready", function()
    local base = helper.directory()
    assert(sys.mkdir(base .. "/mnt", "755"))
    helper.write_file(base .. "/fs.lua", saying("old", "function fs.init() print 'begins' fractal.io.sleep(0.5) end"))
    local child = process.start({ helper.binary, base .. "/fs.lua", base .. "/mnt" }, { out = base .. "/log" })
    local function wait_for(text)
      assert.truthy(helper.eventually(PATIENCE, function() return helper.read_file(base .. "/log"):find(text) end))
    end
    helper.eventually(PATIENCE, function() return helper.is_mounted(base .. "/mnt") end)
    child:kill("hup")
    wait_for "mounted [^\n]*\n.*generation 2"
    child:kill("int")
    assert.equal(0, child:wait(PATIENCE))
  end)

  it("warns of an operation that the kernel does not ask for any more", function()
    local m = mount(saying "text")
    assert.is_false(m:sh("getfattr -n user.x $MNT/file", 5))
    local log = reload(m, saying("text", [[function fs.getxattr() return "value" end]]))
    assert_reloaded(log, 2)
    assert.truthy(log:find("warning: the kernel was told that there is no getxattr, and remembers it: "
      .. "`getxattr` needs a remount\n", 1, true), log)
  end)
end)

describe("a version that cannot be used", function()
  after_each(helper.teardown)

  local failing = {
    ["a syntax error"] = { "local x = = 1", "cannot load the script", "fs.lua:1:" },
    ["an error when it is loaded"] = { "error 'no luck'", "error in the script", "fs.lua:1: no luck", "in main chunk" },
    ["no filesystem"] = { "return 1", "returned a number" },
    ["a misspelt handler"] = { saying("new", "function fs.reed() end"), "'reed' is no handler; did you mean 'read'?" },
    ["an unknown setting"] = { saying("new", "", "entry_tll = 1"), "unknown setting 'entry_tll'" },
    ["a missing handler"] = { 'return require("fractal").lowlevel { name = "x" }', "no lookup: nothing in the mount" },
    ["another kind of filesystem"] = {
      [[local fs = require("fractal").pathfs {}
        function fs.getattr() end
        function fs.readdir() end
        return fs]], "that needs a remount",
    },
    ["an init that fails"] = { saying("new", "function fs.init() return nil, E.ACCES end"),
      "init returned Permission denied" },
    ["an init with an error"] = { saying("new", "function fs.init() error 'no luck' end"), "no luck",
      "in function 'init'" },
    ["a reload that fails"] = { saying("new", "function fs.reload() return nil, 'not today' end"),
      "reload returned not today" },
  }
  for what, case in pairs(failing) do
    it("for " .. what .. " leaves the old one as it was", function()
      local m = mount(saying "old")
      assert_refused(reload(m, case[1]), unpack(case, 2))
      assert.equal("old", cat(m))
      assert_reloaded(reload(m, saying "new"), 2)
      assert.equal("new", cat(m))
    end)
  end

  it("for an option that was given and is gone leaves the old one as it was", function()
    local m = mount(saying("old", "", [[options = { word = "what to say" }]]), { options = { word = "x" } })
    assert_refused(reload(m, saying "new"), "unknown option -o word")
    assert.equal("old", cat(m))
  end)

  for what, text in pairs { ["runs for ever"] = "while true do end", ["blocks"] = "ffi.C.sleep(100)" } do
    it(("because it %s is no obstacle to the end of the mount"):format(what), function()
      local m = mount(saying "old")
      helper.write_file(m.path, saying("new", 'ffi.cdef "unsigned sleep(unsigned);" ' .. text))
      m.process:kill("hup")
      sys.sleep(0.5)
      assert.equal("old", cat(m))
      assert.equal(0, m:unmount())
      assert.falsy(m.log():find("reloaded", 1, true), m.log())
    end)
  end

  it("leaves nothing behind: values kept, globals, modules, functions, tasks", function()
    local body = [[
      local n = fractal.kept("n", function() return { 0 } end)
      fractal.worker.register("who", function() return %q end)
      who = %q
      fractal.kept(who, function() return {} end)
      function fs.init()
        fractal.every(0.05, function() n[1] = n[1] + %d end)
        return %s
      end
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        local before = n[1]
        fractal.io.sleep(0.3)
        local word = fractal.worker.call(fractal.worker.id, "who")
        return ("%%s %%s %%s %%s"):format(who, word, require("beside").who, n[1] > before and n[1] < 900)
      end]]
    local m = mount(script.one_file(body:format("old", "old", 1, "true")), { state = "single" },
      { ["beside.lua"] = 'return { who = "old" }' })
    assert.equal("old old old true", cat(m))
    helper.write_file((m.path:gsub("fs%.lua$", "beside.lua")), 'return { who = "new" }')
    local log = reload(m, script.one_file('require "beside"' .. body:format("new", "new", 1000, "nil, E.IO")))
    assert_refused(log, "init returned")
    assert.equal("old old old true", cat(m))
  end)

  it("takes back the globals that it has set, not what the old one did to its own meanwhile", function()
    local body = [[
      total, who = total or 0, %q
      function fs.init() %s end
      function fs.read(req, ino, buf, offset)
        if offset > 0 then return "" end
        total = total + 1
        return who .. total
      end]]
    local m = mount(script.one_file(body:format("old", "")), { state = "single" })
    local from, count = #m.log(), 0
    helper.write_file(m.path, script.one_file(body:format("new", "fractal.io.sleep(0.5) error 'no luck'")))
    m.process:kill("hup")
    repeat
      cat(m)
      count = count + 1
    until reloads(m) > 0 or count == 2000
    assert_refused(m.log():sub(from + 1), "no luck")
    assert.equal("old" .. count + 1, cat(m))
  end)

  it("in one of several states is used in none", function()
    local body = [[
      local tries = fractal.shared.counter %q
      %s
      function fs.read(req, ino, buf, offset) return offset == 0 and %q or "" end]]
    local m = mount(script.one_file(body:format("", "", "old")), { state = "per-worker", workers = 2 })
    -- The trial passes, and one of the two states. `init` fails when the other one has entered.
    for _, where in ipairs { "%s", "function fs.init() %s end" } do
      local fails = where:format("if tries:add(1) == 2 then error 'no luck' end")
      assert_refused(reload(m, script.one_file(body:format(where, fails, "new"))), "no luck")
      for cpu = 0, 1 do
        local ok, out = m:sh(("taskset -c %d cat $MNT/file"):format(cpu), 10)
        assert.is_true(ok, out)
        assert.equal("old", out)
      end
    end
  end)
end)

describe("--watch", function()
  after_each(helper.teardown)

  -- Waits until so many reloads are over; returns the log of them.
  local function changed(m, change)
    local count, from = reloads(m), #m.log()
    change()
    return await_reload(m, count + 1, from)
  end

  it("reloads what is written in place, and what takes the place of the old file", function()
    local m = mount(saying "old", { args = { "--watch" } })
    assert_reloaded(changed(m, function() helper.write_file(m.path, saying "new") end), 2)
    assert.equal("new", cat(m))
    local log = changed(m, function()
      helper.write_file(m.path .. "~", saying "newest")
      assert(sys.rename(m.path .. "~", m.path))
    end)
    assert_reloaded(log, 3)
    assert.equal("newest", cat(m))
    assert_refused(changed(m, function() helper.write_file(m.path, "return") end), "returned nothing")
    assert.equal("newest", cat(m))
    assert_reloaded(changed(m, function() helper.write_file(m.path, saying "last") end), 4)
  end)

  it("reloads once for several changes, and not for files that are not the script's", function()
    local m = mount(saying "old", { args = { "--watch" } })
    helper.write_file(m.path .. ".other", "x")
    local log = changed(m, function()
      for i = 1, 5 do helper.write_file(m.path, saying("new" .. i)) end
    end)
    assert_reloaded(log, 2)
    sys.sleep(0.5)
    assert.equal("new5", cat(m))
    assert.equal(1, reloads(m), m.log())
  end)

  it("sees modules, also those loaded by a handler or in a directory that comes back", function()
    local base = helper.directory()
    local said, part = base .. "/words/said.lua", base .. "/part.lua"
    sys.mkdir(base .. "/words", "755")
    helper.write_file(said, [[return "a"]])
    helper.write_file(part, [[return "b"]])
    helper.write_file(base .. "/fs.lua", script.one_file [[
      local said = require "words.said"
      function fs.read(req, ino, buf, offset) return offset == 0 and said .. require "part" or "" end]])
    local m = helper.mount { script = base .. "/fs.lua", args = { "--watch" } }
    assert.equal("ab", cat(m))
    assert_reloaded(changed(m, function() helper.write_file(said, [[return "c"]]) end), 2)
    assert.equal("cb", cat(m))
    assert_reloaded(changed(m, function() helper.write_file(part, [[return "d"]]) end), 3)
    assert.equal("cd", cat(m))
    assert_reloaded(changed(m, function()
      assert(sys.rename(base .. "/words", base .. "/gone"))
      assert(sys.remove_tree(sys.FDCWD, base .. "/gone"))
      sys.sleep(0.2)
      sys.mkdir(base .. "/words", "755")
      helper.write_file(said, [[return "e"]])
    end), 4)
    assert.equal("ed", cat(m))
  end)
end)

describe("SIGHUP", function()
  after_each(helper.teardown)

  -- Runs the command in the foreground of a terminal of its own; "hang up" closes that.
  local terminal = [[
    import os, pty, sys, time
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    print(pid, flush=True)
    while not os.path.exists(os.path.dirname(sys.argv[3]) + "/hang-up"):
        time.sleep(0.05)
    os.close(fd)
    print("ended", os.waitpid(pid, 0)[1], flush=True)]]

  it("unmounts when the terminal is closed, and reloads while it is there", function()
    local base = helper.directory()
    helper.write_file(base .. "/fs.lua", saying "old")
    helper.write_file(base .. "/terminal.py", (terminal:gsub("\n    ", "\n"):gsub("^%s+", "")))
    assert(sys.mkdir(base .. "/mnt", "755"))
    local log = base .. "/log"
    local child = process.start({ "python3", base .. "/terminal.py", helper.binary, "--log", log, base .. "/fs.lua",
      base .. "/mnt" }, { out = base .. "/out" })
    local function wait_for(path, text)
      assert.truthy(helper.eventually(PATIENCE, function()
        return sys.stat(path) and helper.read_file(path):find(text, 1, true)
      end), path)
    end
    wait_for(log, "mounted")
    process.run({ "kill", "-HUP", helper.read_file(base .. "/out"):match("%d+") }, 10)
    wait_for(log, "(generation 2)")
    helper.write_file(base .. "/hang-up", "")
    assert.equal(0, child:wait(PATIENCE), helper.read_file(log))
    assert.truthy(helper.read_file(base .. "/out"):find("ended 0", 1, true))
    assert.is_false(helper.is_mounted(base .. "/mnt"))
  end)
end)

describe("a reload", function()
  after_each(helper.teardown)

  it("keeps what examples/tree.lua was told", function()
    local m = mount(helper.read_file "examples/tree.lua")
    assert.is_true(m:sh("echo 7 > $MNT/settings/level", 5))
    assert_reloaded(reload(m, helper.read_file("examples/tree.lua"):gsub("tells", "speaks")), 2)
    local ok, out = m:sh("cat $MNT/settings/level $MNT/README", 5)
    assert.is_true(ok, out)
    assert.equal("7\nstatus/ speaks, settings/ listens.\n", out)
  end)

  -- Holds some megabytes, and tells what the state holds.
  local heavy = [[
    local fractal = require "fractal"
    local junk = {}
    for i = 1, 3e4 do junk[i] = { i } end
    local function read()
      collectgarbage()
      collectgarbage()
      return ("%d"):format(collectgarbage "count" + #junk * 0)
    end
    local function init() fractal.every(1, function() return junk end) end
    fractal.kept("n", function() return {} end) ]]
  local kinds = {
    ["by inode"] = heavy .. script.one_file [[
      function fs.read(req, ino, buf, offset) return offset == 0 and read() or "" end
      fs.init = init]],
    ["by path"] = heavy .. [[
      local fs = fractal.pathfs { attr_ttl = 0, entry_ttl = 0 }
      function fs.getattr(path) return { type = path == "/" and "dir" or "file", size = 100 } end
      function fs.readdir() return {} end
      function fs.read(path, buf, offset) return offset == 0 and read() or "" end
      fs.init = init
      return fs]],
  }
  for kind, source in pairs(kinds) do
    it("leaves no memory behind, " .. kind, function()
      local m = mount(source)
      for n = 1, 3 do assert_reloaded(reload(m, source), n + 1) end
      local before = tonumber(cat(m))
      for n = 4, 9 do
        assert_refused(reload(m, (source:gsub("local function init%(%)", "%0 error 'no luck'"))), "no luck")
        assert_reloaded(reload(m, source), n + 1)
      end
      local grown = tonumber(cat(m)) - before
      assert.is_true(grown < 1000, grown .. " KiB in six reloads")
    end)
  end
end)

-- Three reloads while files are open.
local holder = [[
  local path = MNT .. "/a"
  local function pause(n)
    io.write(n, "\n")
    io.flush()
    while not io.open(arg[1] .. "/" .. n) do sys.sleep(0.01) end
  end
  local fd = must.open(path, "rdwr, creat", "644")
  local dir = must.opendir(MNT)
  must.write(fd, "before")
  pause(1)
  must.write(fd, " and after")
  assert(must.pread(fd, 100, 0) == "before and after")
  must.rename(path, MNT .. "/b")
  pause(2)
  local names = {}
  for entry in function() return sys.readdir(dir) end do names[entry.name] = true end
  assert(names.a or names.b)
  assert(must.pread(fd, 100, 0) == "before and after")
  must.close(fd)
  fd = must.open(MNT .. "/b", "rdonly")
  assert(must.read(fd, 100) == "before and after")
  must.unlink(MNT .. "/b")
  pause(3)
  assert(not sys.stat(MNT .. "/b"))
  must.close(fd)]]

local ready_made = {
  ["examples/memfs.lua"] = {}, ["examples/notes.lua"] = {}, ["examples/passthrough.lua"] = { source = true },
  ["a script that inherits memoryfs"] = { text = [[return require("fractal.memoryfs") { name = "m" }]] },
}

helper.each_transport(function(transport)
  describe("data and open files outlive reloads over " .. transport .. " with", function()
    after_each(helper.teardown)

    for name, kind in pairs(ready_made) do
      it(name, function()
        local m = mount(kind.text or helper.read_file(name),
          { transport = transport, options = kind.source and { source = helper.directory() } })
        local base = helper.directory()
        local holding = client.start(m, holder, { base })
        for n = 1, 3 do
          assert.truthy(helper.eventually(PATIENCE, function()
            return holding:poll() or holding.output():find(n .. "\n", 1, true)
          end))
          assert_reloaded(reload(m), n + 1)
          helper.write_file(base .. "/" .. n, "")
        end
        assert.equal(0, holding:wait(PATIENCE), holding.output())
      end)
    end
  end)

  -- Writes, reads back and compares until the file STOP appears.
  local verifying = [[
    until [ -e "$STOP" ]; do
      fio --directory=$MNT --name=t$DIRECT --size=2m --rw=randrw --bs=4k --ioengine=psync --direct=$DIRECT \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 --do_verify=1 --minimal >$LOG 2>&1 || { cat $LOG; exit 1; }
      echo round
    done]]

  -- A hundred in all where both transports are there.
  local count = not helper.quick and transport == helper.transports()[1] and 40 or 10

  for _, kind in ipairs { { "single", "examples/memfs.lua" }, { "per-worker", "examples/passthrough.lua" } } do
    it(("%d reloads under fio, over %s, state %s"):format(count, transport, kind[1]), function()
      finally(helper.teardown)
      local base = helper.directory()
      local m = mount(helper.read_file(kind[2]), { transport = transport, state = kind[1],
        options = kind[1] == "per-worker" and { source = helper.directory() } })
      local env = { STOP = base .. "/stop", MNT = m.dir }
      local jobs = {}
      for direct = 0, 1 do
        env.DIRECT, env.LOG = direct, base .. "/log" .. direct
        jobs[direct + 1] = m:start(verifying, { env = env })
      end
      for n = 1, count do
        assert_reloaded(reload(m, ("%s\n-- %d"):format(helper.read_file(kind[2]), n)), n + 1)
      end
      helper.write_file(base .. "/stop", "")
      for _, job in ipairs(jobs) do
        assert.equal(0, job:wait(60), job.output())
        assert.truthy(job.output():find("round", 1, true))
      end
    end)
  end
end)
