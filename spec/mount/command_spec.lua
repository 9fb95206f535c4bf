-- The command itself: its one line when ready, exit statuses, sentences for what is wrong, options from the script and
-- from the command line, the background, ordinary users, and the process that unmounts after a crash.

local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local nobody = 65534
local hint = " (fractal-lua --help lists what there is)\n"

-- A script file with that text; one_file's when there is none.
local function script_path(text)
  local path = helper.directory() .. "/script.lua"
  helper.write_file(path, text or script.one_file "")
  return path
end

local function assert_unmounted(dir)
  assert.is_true(helper.eventually(5, function() return not helper.is_mounted(dir) end) or false)
end

-- The line of the mount table for a mountpoint: options, type, source, options of the filesystem.
local function mount_line(dir)
  for line in helper.read_file("/proc/self/mountinfo"):gmatch("[^\n]+") do
    local where, options, kind, source, more = line:match("^%d+ %d+ %S+ %S+ (%S+) (%S+) .*%- (%S+) (%S+) (%S+)$")
    if where == dir then
      return { options = options, kind = kind, source = source, more = more }
    end
  end
end

local function has_word(list, word)
  return ("," .. list .. ","):find("," .. word .. ",", 1, true) ~= nil
end

-- Lines of a log but the ready line.
local function messages(m)
  return (m.log():gsub("mounted [^\n]*\n", ""))
end

describe("the ready line", function()
  after_each(helper.teardown)

  helper.matrix({ transport = helper.transports(), state = { "single", "per-worker" }, workers = { 1, 2 } },
    function(settings)
      it("names mountpoint, filesystem, transport, workers and states", function()
        local m = helper.mount {
          source = script.one_file "", transport = settings.transport, state = settings.state,
          workers = settings.workers,
        }
        local states = settings.state == "single" and 1 or settings.workers
        assert.equal(("mounted %s: one-file, transport %s, %d worker%s, %d Lua state%s"):format(m.dir,
          settings.transport, settings.workers, settings.workers == 1 and "" or "s", states,
          states == 1 and "" or "s"), m.ready)
        assert.equal("", messages(m))
        assert.equal(0, m:unmount())
      end)
    end)

  it("has the absolute path of a relative mountpoint, and the script's file name where it has no name", function()
    local base = helper.directory()
    sys.mkdir(base .. "/mnt", "755")
    helper.write_file(base .. "/plain.lua", (script.one_file "":gsub('name = "one%-file", ', "")))
    local child = process.start({ helper.binary, "plain.lua", "mnt" }, { cwd = base, out = base .. "/log" })
    local line = ("mounted %s/mnt: plain, "):format(base)
    assert.truthy(helper.eventually(10, function()
      return helper.read_file(base .. "/log"):find(line, 1, true)
    end), helper.read_file(base .. "/log"))
    child:kill("int")
    assert.equal(0, child:wait(5))
  end)
end)

describe("a wrong command line", function()
  after_each(helper.teardown)

  -- Runs the command with SCRIPT and DIR replaced by a script with an option "source" and a directory.
  local function run(arguments)
    local path = script_path(script.one_file("", 'options = { source = "directory to mirror" }'))
    local words = {}
    for i, word in ipairs(arguments) do
      words[i] = ({ SCRIPT = path, DIR = helper.directory() })[word] or word
    end
    return helper.run(words)
  end

  local cases = {
    { {}, "name a script and a directory to mount on" },
    { { "SCRIPT" }, "name a directory to mount on, behind the script" },
    { { "SCRIPT", "DIR", "more" }, 'one word too many: "more"' },
    { { "--check" }, "name the script to check" },
    { { "-z", "SCRIPT", "DIR" }, "unknown option -z" },
    { { "--bakground", "SCRIPT", "DIR" }, "unknown option --bakground: did you mean --background?" },
    { { "--zzzzzzzz=1", "SCRIPT", "DIR" }, "unknown option --zzzzzzzz" },
    { { "--check=SCRIPT" }, "--check takes no value" },
    { { "-o", "foo", "SCRIPT", "DIR" }, "unknown option -o foo" },
    { { "SCRIPT", "DIR", "-o" }, "-o needs a value" },
    { { "--trace=lookup,opn", "SCRIPT", "DIR" }, '--trace: there is no operation "opn": did you mean open?' },
    { { "--trace=zzzzzzzz", "SCRIPT", "DIR" }, '--trace: there is no operation "zzzzzzzz"' },
    { { "--trace-format=xml", "SCRIPT", "DIR" }, "--trace-format=xml: choose one of human|json" },
    { { "-o", "zzzzzzzz", "SCRIPT", "DIR" }, "unknown option -o zzzzzzzz" },
    { { "-o", "writeback_cahce", "SCRIPT", "DIR" },
      "unknown option -o writeback_cahce: did you mean writeback_cache?" },
    { { "-o", "ro,queuedepth=4", "SCRIPT", "DIR" }, "unknown option -o queuedepth: did you mean queue_depth?" },
    { { "-o", "alow_other", "SCRIPT", "DIR" }, "unknown option -o alow_other: did you mean allow_other?" },
    { { "-o", "sorce=/tmp", "SCRIPT", "DIR" }, "unknown option -o sorce: did you mean source?" },
    { { "-b", "-o", "zzzzzzzz", "SCRIPT", "DIR" }, "unknown option -o zzzzzzzz" },
    { { "-o", "workers", "SCRIPT", "DIR" }, "-o workers needs a value: workers=N" },
    { { "-o", "workers=two", "SCRIPT", "DIR" }, "-o workers=two: give a number" },
    { { "-o", "queue_depth=0", "SCRIPT", "DIR" }, "-o queue_depth=0 is out of range: choose 1 to 1024" },
    { { "-o", "max_write=1X", "SCRIPT", "DIR" },
      "-o max_write=1X: give a number of bytes, such as 65536, 64K or 1M" },
    { { "-o", "transport=tcp", "SCRIPT", "DIR" }, "-o transport=tcp: choose one of auto|uring|dev" },
    { { "-o", "state=shared", "SCRIPT", "DIR" }, "-o state=shared: choose one of single|per-worker" },
    { { "-o", "pin=1", "SCRIPT", "DIR" }, "-o pin takes no value" },
    { { "-o", "ro=1", "SCRIPT", "DIR" }, "-o ro takes no value" },
    { { "-o", "writeback_cache=1", "SCRIPT", "DIR" }, "-o writeback_cache takes no value" },
    { { "-o", "splice_read", "SCRIPT", "DIR" },
      "-o splice_read cannot be chosen: splice on /dev/fuse, which the library does not use" },
    { { "-o", "allow_root", "SCRIPT", "DIR" },
      "-o allow_root is not offered: use allow_other with default_permissions and the modes of the files" },
  }
  for _, case in ipairs(cases) do
    it(("%q gives one sentence and status 2"):format(table.concat(case[1], " ")), function()
      local result = run(case[1])
      assert.equal("fractal-lua: error: " .. case[2] .. hint, result.err)
      assert.same({ 2, "" }, { result.status, result.out })
    end)
  end
end)

describe("what cannot be mounted", function()
  after_each(helper.teardown)

  local function assert_refused(arguments, sentence, options)
    local result = helper.run(arguments, 20, options)
    assert.equal("fractal-lua: error: " .. sentence .. "\n", result.err)
    assert.same({ 1, "" }, { result.status, result.out })
  end

  for _, flag in ipairs { "-f", "-b" } do
    describe("with " .. flag, function()
      it("is a script that does not exist", function()
        assert_refused({ flag, "/nowhere/x.lua", "/tmp" }, "the script /nowhere/x.lua does not exist")
      end)

      it("is a misspelt tool, or a script behind the mountpoint", function()
        assert_refused({ flag, "tset", "/tmp" }, "the script tset does not exist: did you mean the tool test?")
        local dir, file = helper.directory(), script_path()
        assert_refused({ flag, dir, file },
          ("%s is a directory, and %s a file: name the script first"):format(dir, file))
      end)

      it("is a directory given as script", function()
        local dir = helper.directory()
        assert_refused({ flag, dir, dir }, dir .. " is a directory: name the script in it")
      end)

      it("is a script with a syntax error, which is named with its line", function()
        local path = script_path("local x = 1\nlocal = 2\n")
        local dir = helper.directory()
        local result = helper.run { flag, path, dir }
        assert.truthy(result.err:find(path .. ":2:", 1, true), result.err)
        assert.equal(1, result.status)
        assert_unmounted(dir)
      end)

      it("is a script whose init fails", function()
        local dir = helper.directory()
        local path = script_path(script.one_file [[function fs.init() error "no luck" end]])
        local result = helper.run { flag, path, dir }
        assert.truthy(result.err:find("no luck", 1, true), result.err)
        assert.equal(1, result.status)
        assert_unmounted(dir)
      end)

      it("is a directory that does not exist", function()
        local dir = helper.directory() .. "/missing"
        assert_refused({ flag, script_path(), dir }, ("%s does not exist: create it with mkdir -p %s"):format(dir, dir))
      end)

      it("is a file", function()
        local path = script_path()
        assert_refused({ flag, path, path }, path .. " is not a directory: give a directory to mount on")
      end)
    end)
  end

  it("is a script with an unknown setting, whose nearest name is told", function()
    assert_refused({ script_path(script.one_file("", "mount = { queue_dept = 4 }")), helper.directory() },
      "the script's setting queue_dept is unknown: did you mean queue_depth?")
  end)

  it("is a log file that cannot be written", function()
    assert_refused({ "--log", "/nowhere/log", script_path(), helper.directory() },
      "the log /nowhere/log cannot be opened: No such file or directory")
  end)
end)

describe("options", function()
  after_each(helper.teardown)

  local function mount(options, settings)
    return helper.mount { source = script.one_file("", settings), options = options }
  end

  it("leave nosuid, nodev and the script's name as defaults", function()
    local line = mount_line(mount({}).dir)
    for _, word in ipairs { "rw", "nosuid", "nodev" } do
      assert.is_true(has_word(line.options, word), word)
    end
    assert.same({ "fuse.fractal-lua", "one-file" }, { line.kind, line.source })
  end)

  it("reach the mount table", function()
    local line = mount_line(mount({ "ro", "noatime", "noexec", "max_read=65536", "allow_other", "default_permissions",
      "fsname=a\\,b c", "subtype=kind" }).dir)
    for _, word in ipairs { "ro", "noatime", "noexec", "nosuid", "nodev" } do
      assert.is_true(has_word(line.options, word), word)
    end
    for _, word in ipairs { "allow_other", "default_permissions", "max_read=65536" } do
      assert.is_true(has_word(line.more, word), word)
    end
    assert.same({ "fuse.kind", "a,b\\040c" }, { line.kind, line.source })
  end)

  it("of fstab(5) mean nothing", function()
    local m = mount { "defaults", "_netdev", "nofail", "auto", "user", "users", "nonempty", "x-systemd.automount" }
    assert.equal("", messages(m))
  end)

  it("of the script are defaults", function()
    local m = mount({}, [[queue_depth = 4, workers = 1, mount = { ro = true, default_permissions = true }]])
    local line = mount_line(m.dir)
    assert.is_true(has_word(line.options, "ro"))
    assert.is_true(has_word(line.more, "default_permissions"))
    assert.truthy(m.ready:find(" 1 worker,", 1, true), m.ready)
  end)

  it("of the command line win over the script's", function()
    local m = mount({ "rw", "nodefault_permissions", "workers=2", "fsname=mine" },
      [[workers = 1, mount = { ro = true, default_permissions = true }]])
    local line = mount_line(m.dir)
    assert.is_true(has_word(line.options, "rw"))
    assert.is_false(has_word(line.more, "default_permissions"))
    assert.equal("mine", line.source)
    assert.truthy(m.ready:find(" 2 workers,", 1, true), m.ready)
  end)

  it("the later of two wins", function()
    local m = mount { "ro", "workers=2", "rw", "workers=1" }
    assert.is_true(has_word(mount_line(m.dir).options, "rw"))
    assert.truthy(m.ready:find(" 1 worker,", 1, true), m.ready)
  end)

  it("-s is one worker", function()
    local m = helper.mount { source = script.one_file "", args = { "-s" } }
    assert.truthy(m.ready:find(" 1 worker,", 1, true), m.ready)
  end)

  it("of the script's own reach fs.options", function()
    local m = helper.mount {
      source = script.one_file([[
        function fs.init() fractal.log.info("%s and %s", fs.options.source, tostring(fs.options.fast)) end]],
        [[options = { source = "where", fast = "whether" }]]),
      options = { "source=/a\\,b=c", "fast" },
    }
    assert.truthy(messages(m):find("/a,b=c and true", 1, true), m.log())
  end)
end)

describe("signals", function()
  after_each(helper.teardown)

  -- Starts the command from a shell that ignores a signal.
  local function start_ignoring(signal)
    local base = helper.directory()
    sys.mkdir(base .. "/mnt", "755")
    helper.write_file(base .. "/script.lua", script.one_file "")
    local child = process.start({ "bash", "-c", ("trap '' %s; exec %s %s/script.lua %s/mnt"):format(signal,
      helper.binary, base, base) }, { out = base .. "/log" })
    local log = base .. "/log"
    assert.truthy(helper.eventually(20, function() return helper.read_file(log):find("mounted", 1, true) end))
    return child, base .. "/mnt"
  end

  it("end a mount that a shell started with SIGINT ignored", function()
    local child, dir = start_ignoring("INT")
    child:kill("int")
    assert.equal(0, child:wait(5))
    assert_unmounted(dir)
  end)

  it("do not end it by SIGHUP under nohup", function()
    local child, dir = start_ignoring("HUP")
    child:kill("hup")
    sys.sleep(0.5)
    assert.is_nil(child:poll())
    child:kill("term")
    assert.equal(0, child:wait(5))
    assert_unmounted(dir)
  end)

  it("detach a mount in which a process has its directory", function()
    local m = helper.mount { source = script.one_file "" }
    local holder = m:start "cd $MNT && echo inside && exec sleep 20"
    assert.truthy(helper.eventually(5, function() return holder.output() == "inside\n" end))
    m:kill("int")
    assert.equal(0, m:wait(8), m.log())
    assert.truthy(m.log():find(m.dir .. " is busy", 1, true), m.log())
    assert_unmounted(m.dir)
    assert.is_nil(holder:poll())
  end)

  it("end a mount whose init does not return, at the second one", function()
    local base = helper.directory()
    local path = script_path(script.one_file [[function fs.init() print "init" io.flush() while true do end end]])
    sys.mkdir(base .. "/mnt", "755")
    local child = process.start({ helper.binary, path, base .. "/mnt" }, { out = base .. "/log" })
    assert.truthy(helper.eventually(20, function() return helper.read_file(base .. "/log"):find("init", 1, true) end))
    child:kill("int")
    sys.sleep(0.3)
    assert.is_nil(child:poll())
    child:kill("int")
    assert.equal(1, child:wait(5))
    assert.equal("init\nfractal-lua: error: stopped before the mount was ready\n", helper.read_file(base .. "/log"))
    assert_unmounted(base .. "/mnt")
  end)
end)

describe("a destroy handler", function()
  after_each(helper.teardown)

  it("runs after the unmount and may log", function()
    local m = helper.mount { source = script.one_file [[function fs.destroy() fractal.log.warn "the end" end]] }
    assert.equal(0, m:unmount())
    assert.equal("fractal-lua: warning: the end\n", messages(m))
  end)

  it("that does not return is ended by a signal", function()
    local m = helper.mount {
      source = script.one_file [[function fs.destroy() fractal.log.warn "the end" while true do end end]],
    }
    assert.is_true(m:sh("umount $MNT", 5))
    assert.truthy(helper.eventually(5, function() return m.log():find("the end", 1, true) end))
    m:kill("term")
    assert.equal(128 + 15, m:wait(5))
  end)
end)

describe("the background", function()
  after_each(helper.teardown)

  it("serves when the command returns, in a session and a directory of its own", function()
    local m = helper.mount { source = script.one_file "", background = true }
    assert.truthy(m.ready:find("mounted " .. m.dir, 1, true))
    assert.is_true(m:sh("test $(stat -c %s $MNT/file) = 100", 5))
    local _, out = m:sh(("readlink /proc/%d/cwd /proc/%d/fd/[012]; ps -o sid= -p %d"):format(m.pid, m.pid, m.pid), 5)
    assert.equal(("/\n/dev/null\n/dev/null\n/dev/null\n%d"):format(m.pid), (out:gsub(" *(%d+)\n$", "%1")))
    m:kill("term")
    assert.equal(0, m:wait(5))
    assert_unmounted(m.dir)
  end)

  it("does not keep the caller's pipes", function()
    local dir = helper.directory()
    local result = process.run({ "bash", "-c", ([[
      %s -b %s %s 2>&1 | cat; echo "status ${PIPESTATUS[0]}"; umount %s]]):format(helper.binary, script_path(), dir,
      dir) }, 20)
    assert.equal(0, result.status)
    assert.truthy(result.out:match("^mounted [^\n]+\nstatus 0\n$"), result.out)
  end)

  it("logs to a file where one is named", function()
    local log = helper.directory() .. "/log"
    local m = helper.mount {
      source = script.one_file [[function fs.destroy() fractal.log.warn "the end" end]],
      background = true, args = { "--log", log },
    }
    assert.equal(0, m:unmount())
    assert.equal(("%s\nfractal-lua: warning: the end\n"):format(m.ready), helper.read_file(log))
  end)

  it("leaves no mount after kill -9", function()
    local m = helper.mount { source = script.one_file "", background = true }
    m:kill("kill")
    assert_unmounted(m.dir)
  end)

  it("tells systemd when it is ready", function()
    local path = helper.directory() .. "/notify"
    local listener = process.start({ "python3", "-c", [[
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(s.recv(100).decode(), flush=True)
print(s.recv(100).decode(), flush=True)]], path }, { out = path .. ".log" })
    assert.truthy(helper.eventually(10, function() return sys.access(path, "f") end))
    local m = helper.mount { source = script.one_file "", env = { NOTIFY_SOCKET = path } }
    assert.truthy(helper.eventually(5, function() return helper.read_file(path .. ".log") == "READY=1\n" end))
    assert.equal(0, m:unmount())
    assert.equal(0, listener:wait(5))
    assert.equal("READY=1\nSTOPPING=1\n", helper.read_file(path .. ".log"))
  end)
end)

describe("after a crash", function()
  after_each(helper.teardown)

  it("pipes of the command see their end at once", function()
    local dir = helper.directory()
    local result = process.run({ "bash", "-c", ([[
      { %s %s %s 2>&1 & echo $!; wait; } | { read pid; read line; kill -9 $pid; cat; echo end; } ]]):format(
      helper.binary, script_path(), dir) }, 10)
    assert.truthy(result.out:find("end\n", 1, true), result.out .. result.err)
    assert_unmounted(dir)
  end)

  it("a mount that someone put on top stays", function()
    local below = helper.mount { source = script.one_file "" }
    local above = helper.mount { source = script.one_file "", dir = below.dir, options = { "fsname=above" } }
    below:kill("kill")
    assert.equal(128 + 9, below:wait(5))
    sys.sleep(0.5)
    assert.is_true(above:sh("test $(stat -c %s $MNT/file) = 100", 5))
    assert.is_nil(above.process:poll())
    assert.is_true(above:sh("umount $MNT", 5))
    assert.equal(0, above:wait(5))
    above.signalled = true -- what is left below it is the killed server's
  end)
end)

describe("a script that does not return", function()
  after_each(helper.teardown)

  for _, flag in ipairs { "-b", "--check" } do
    it("is told of with " .. flag .. ", and ended by a signal", function()
      local path, out = script_path "while true do end", helper.directory() .. "/out"
      local words = { helper.binary, flag, path, flag == "-b" and helper.directory() or nil }
      local command = process.start(words, { out = out })
      local line = ("fractal-lua: warning: %s has run for 5 s and has not returned yet: does it loop? Ctrl-C ends it\n")
      assert.truthy(helper.eventually(60, function() return helper.read_file(out) == line:format(path) end))
      sys.kill(-command.pid, "term")
      assert.truthy(command:wait(10))
    end)
  end
end)

describe("an ordinary user", function()
  if not helper.is_root then
    return -- every other spec of this run is one of an ordinary user
  end
  after_each(helper.teardown)

  helper.each_transport(function(transport)
    local function mount(settings)
      settings = settings or {}
      settings.source, settings.user, settings.transport = script.one_file "", nobody, transport
      return helper.mount(settings)
    end

    it("mounts through fusermount3, and others are kept out", function()
      local m = mount { options = { "fsname=a\\,b c", "noatime" } }
      local line = mount_line(m.dir)
      assert.same({ "fuse.fractal-lua", "a,b\\040c" }, { line.kind, line.source })
      assert.is_true(has_word(line.options, "noatime") and has_word(line.options, "nosuid"))
      assert.is_true(has_word(line.more, "user_id=65534"))
      assert.is_true(m:sh("test $(stat -c %s $MNT/file) = 100", 5, { user = nobody }))
      local ok, out = m:sh("stat $MNT/file", 5, { user = 1 })
      assert.is_false(ok)
      assert.truthy(out:find("Permission denied", 1, true), out)
      assert.equal(0, m:unmount())
    end)

    it("is told of a mount that is there already", function()
      local m = mount()
      local result = helper.run({ script_path(), m.dir }, 20, { user = nobody })
      local sentence = ("fractal-lua: error: %s holds a mount already: take it off first, with fusermount3 -u %s\n")
      assert.same({ 1, sentence:format(m.dir, m.dir) }, { result.status, result.err })
      assert.equal(0, m:unmount())
    end)

    it("ends a mount by a signal", function()
      local m = mount()
      m:kill("term")
      assert.equal(0, m:wait(5), m.log())
      assert_unmounted(m.dir)
      assert.equal("", messages(m))
    end)

    it("ends a busy mount by a signal", function()
      local m = mount()
      local holder = m:start("cd $MNT && echo inside && exec sleep 20", { user = nobody })
      assert.truthy(helper.eventually(5, function() return holder.output() == "inside\n" end))
      m:kill("int")
      assert.equal(0, m:wait(10), m.log())
      assert_unmounted(m.dir)
    end)

    it("leaves no mount after kill -9", function()
      local m = mount()
      m:kill("kill")
      assert_unmounted(m.dir)
    end)

    it("takes a dead mount off", function()
      local first = mount { options = { "noauto_unmount" } }
      first:kill("kill")
      assert.equal(128 + 9, first:wait(5))
      local second = mount { dir = first.dir }
      assert.equal(("fractal-lua: cleared a dead mount from %s\n"):format(first.dir), messages(second))
      assert.equal(0, second:unmount())
      assert_unmounted(first.dir)
    end)

    it("mounts in the background", function()
      local m = mount { background = true }
      assert.is_true(m:sh("test $(stat -c %s $MNT/file) = 100", 5, { user = nobody }))
      assert.equal(0, m:unmount())
    end)
  end)

  local function assert_refused(arguments, sentence, options)
    options = options or {}
    options.user = nobody
    local result = helper.run(arguments, 20, options)
    assert.equal("fractal-lua: error: " .. sentence .. "\n", result.err)
    assert.equal(1, result.status)
  end

  it("is told to own the mountpoint", function()
    local dir = helper.directory()
    assert_refused({ script_path(), dir }, dir
      .. " is not this user's to mount on: make a directory of your own, or chown it")
  end)

  it("is told how allow_other is opened", function()
    local dir = helper.directory()
    assert(sys.chown(dir, nobody, nobody))
    assert.falsy(("\n" .. helper.read_file("/etc/fuse.conf")):find("\nuser_allow_other", 1, true))
    assert_refused({ "-o", "allow_other", script_path(), dir }, "allow_other is not open to ordinary users here: "
      .. 'as root, put a line "user_allow_other" into /etc/fuse.conf')
  end)

  it("is told to install fusermount3", function()
    local dir = helper.directory()
    assert(sys.chown(dir, nobody, nobody))
    assert_refused({ script_path(), dir }, "fusermount3 is missing, and ordinary users mount through it: "
      .. "install the package fuse3", { env = { PATH = "/nowhere" } })
  end)
end)

describe("--check", function()
  after_each(helper.teardown)

  it("lists the handlers of a good script", function()
    local result = helper.run { "--check", script_path() }
    assert.same({ 0, "" }, { result.status, result.err })
    for _, name in ipairs { "lookup", "getattr", "open" } do
      assert.truthy(result.out:find(name, 1, true), result.out)
    end
  end)

  it("names a misspelt handler and ends with status 1", function()
    local result = helper.run { "--check", script_path(script.one_file "function fs.raed() end") }
    assert.equal(1, result.status)
    assert.truthy((result.out .. result.err):find("raed", 1, true), result.out)
  end)

  it("ends with status 1 for a script that does not load", function()
    local result = helper.run { "--check", script_path "return 1 +" }
    assert.equal(1, result.status)
    assert.truthy(result.err:find("script.lua:1:", 1, true), result.err)
  end)
end)

describe("--doctor", function()
  after_each(helper.teardown)

  local names = { "kernel", "device", "fusermount3", "allow_other", "enable_uring", "io_uring", "max_pages", "memlock",
    "luajit", "mount" }

  it("has a line for everything a mount needs", function()
    local result = helper.run { "--doctor" }
    local seen = {}
    for line in result.out:gmatch("[^\n]+") do
      local verdict, name, text = line:match("^(%a+) +(%S+) +(.+)$")
      assert.is_true(verdict == "ok" or verdict == "warn" or verdict == "FAIL", line)
      assert.is_true(verdict == "ok" or text:find("; do: ", 1, true) ~= nil, line)
      seen[#seen + 1] = name
    end
    assert.same(names, seen)
    assert.truthy(result.out:find("ok    mount         a trial mount worked", 1, true), result.out)
    assert.same({ 0, "" }, { result.status, result.err })
  end)

  it("speaks JSON", function()
    local result = process.run({ "bash", "-c", helper.binary .. [[ --doctor --json | python3 -c '
import json, sys
print(" ".join(x["check"] for x in json.load(sys.stdin) if x["status"] in ("ok", "warn", "fail")))']] }, 20)
    assert.equal(table.concat(names, " ") .. "\n", result.out, result.err)
  end)

  it("fails where a mount would fail", function()
    local user = helper.is_root and nobody or nil
    local result = helper.run({ "--doctor" }, 20, { user = user, env = { PATH = "/nowhere" } })
    assert.equal(1, result.status)
    assert.truthy(result.out:find("FAIL  fusermount3   fusermount3 is missing; ordinary users mount through it; "
      .. "do: apt-get install fuse3\n", 1, true), result.out)
    assert.truthy(result.out:find("FAIL  mount  ", 1, true), result.out)
  end)
end)

describe("--help and --version", function()
  after_each(helper.teardown)

  it("print and end with status 0", function()
    local help = helper.run { "--help" }
    assert.same({ 0, "" }, { help.status, help.err })
    for _, word in ipairs { "Usage: fractal-lua", "--background", "queue_depth=N", "allow_other", "writeback_cache" } do
      assert.truthy(help.out:find(word, 1, true), word)
    end
    local version = helper.run { "--version" }
    assert.equal(0, version.status)
    assert.truthy(version.out:match("^fractal%-lua %d+%.%d+%.%d+, LuaJIT 2%.1[^\n]*\n$"), version.out)
  end)

  it("list a script's own options", function()
    local path = script_path(script.one_file("", 'options = { source = "directory to mirror" }'))
    local result = helper.run { "--help", path }
    assert.equal(0, result.status)
    assert.truthy(result.out:find("  source                     directory to mirror\n", 1, true), result.out)
  end)
end)
