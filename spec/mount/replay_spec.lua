-- --record and --replay: real sessions are kept, and asked again without a mount.

local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"

local table_fs = (helper.read_file("spec/mount/pathfs_table.lua"):gsub("HIDE", "true"))
local memory_fs = [[return require "fractal.memoryfs" {}]]

-- File work of several programs, some at the same time.
local work = [[
  cd $MNT && mkdir d && printf 'a secret' > d/a && cat d/a && ln -s there d/s && readlink d/s && ln d/a d/hard
  mv d/a $'d/"\\\n\xff' && chmod 600 d/hard && truncate -s 3 d/hard && cat d/hard && stat d/none
  for i in 1 2 3; do
    { mkdir w$i && seq 3000 > w$i/seq && cp -r w$i copy$i && cmp w$i/seq copy$i/seq && rm -r w$i; } &
  done; wait
  ls -laR .; find . -type f | sort; rm -r d; stat -f .; true]]

-- A filesystem whose inodes and handles begin at -o base=N. Each read waits.
local function numbered(size)
  local text = [[
local fractal = require "fractal"
local E = fractal.errno
local fs = fractal.lowlevel {
  name = "numbered", attr_ttl = 0, entry_ttl = 0, options = { base = "where numbers begin" },
}
local base, handles, open = 1000, 0, {}
function fs.init() base = tonumber(fs.options.base or 1000) end
local function fill(ino, attr)
  attr.ino, attr.uid, attr.gid = ino, 0, 0
  if ino == 1 then attr.mode = 0x41ed else attr.mode, attr.size = 0x81b6, SIZE end
end
function fs.lookup(req, parent, name, entry)
  local number = tonumber(name)
  if not number then return nil, E.NOENT end
  entry.ino = base + number
  fill(entry.ino, entry.attr)
end
function fs.getattr(req, ino, attr) fill(ino, attr) end
function fs.open(req, ino, out)
  handles = handles + 1
  open[base + handles], out.fh, out.direct_io = ino, base + handles, true
end
function fs.release(req, ino, fh) open[fh] = nil end
function fs.read(req, ino, buf, offset, fh)
  if ino == base + 9 then
    local ok, err = fractal.io.sleep(30)
    return nil, err or E.IO
  end
  fractal.io.sleep(0.02)
  return open[fh] == ino and offset == 0 and ("file %d"):format(ino - base) or ""
end
return fs]]
  return (text:gsub("SIZE", size))
end

-- Mounts, works, unmounts; returns the recording's path.
local function record(settings, commands)
  local path = helper.directory() .. "/recording"
  local args = { "--record=" .. path }
  for _, argument in ipairs(settings.args or {}) do
    args[#args + 1] = argument
  end
  local m = helper.mount { source = settings.source, transport = settings.transport, args = args }
  if type(commands) == "function" then
    commands(m)
  else
    local ok, out = m:sh(commands, 60)
    assert.is_true(ok, out)
  end
  assert.equal(0, m:unmount())
  return path
end

local function replay(path, source, arguments, options)
  local base = helper.directory()
  helper.write_file(base .. "/script.lua", source)
  local words = { "--replay=" .. path, base .. "/script.lua" }
  for i, argument in ipairs(arguments or {}) do
    table.insert(words, i, argument)
  end
  return helper.run(words, 60, options)
end

local function assert_same(result, least)
  local requests = result.out:match("^(%d+) requests, 0 differ, [%d.]+ us each\n$")
  assert.truthy(requests, result.out .. result.err)
  assert.same({ 0, "" }, { result.status, result.err })
  assert.is_true(tonumber(requests) >= least, result.out)
end

describe("a recorded session", function()
  after_each(helper.teardown)

  helper.each_transport(function(transport)
    for kind, source in pairs { memoryfs = memory_fs, pathfs = table_fs } do
      it("is answered again in the same way (" .. kind .. ")", function()
        local path = record({ source = source, transport = transport }, work)
        assert_same(replay(path, source), 200)
      end)
    end

    it("goes on with other inodes and handles, waits and interrupts", function()
      local source = numbered(100)
      local trace = helper.directory() .. "/trace"
      local settings = { source = source, transport = transport, args = { "--trace-file=" .. trace } }
      local path = record(settings, function(m)
        assert.is_true(m:sh("cd $MNT; for i in 1 2 3 4 5 6; do cat $i $i & done; wait; cat 1 2 3", 20))
        local client = m:start("exec cat $MNT/9")
        assert.truthy(helper.eventually(20, function()
          return helper.read_file(trace):find("open ino 1009", 1, true)
        end))
        assert.truthy(helper.eventually(20, function()
          client:kill("int")
          return client:poll()
        end))
      end)
      assert_same(replay(path, source), 40)
      assert_same(replay(path, source, { "-o", "base=70000" }), 40)
    end)
  end)

  it("is kept without the contents of files where that is asked for", function()
    local settings = { source = memory_fs, args = { "--record-data=no" } }
    local path = record(settings, "printf secret > $MNT/f; cat $MNT/f; mkdir $MNT/name; ls $MNT")
    local text = helper.read_file(path)
    assert.truthy(text:find("name", 1, true))
    assert.falsy(text:find("secret", 1, true))
    assert_same(replay(path, memory_fs), 8)
  end)

  it("shows what another script answers in another way", function()
    local path = record({ source = numbered(100) }, "cat $MNT/3; stat $MNT/1; ! stat $MNT/none")
    local result = replay(path, numbered(99))
    assert.equal(1, result.status)
    assert.truthy(result.out:match('request %d+, lookup ino 1 "3": size 99, was 100\n'), result.out)
    local other = numbered(100):gsub("if not number then.-end", "number = number or 7")
    result = replay(path, (other:gsub('"file ', '"FILE ')))
    assert.equal(1, result.status)
    local sentence = "request %d+, read ino 1003 %(fh 1001, offset 0, size %d+%): other bytes from byte 0 on\n"
    assert.truthy(result.out:match(sentence), result.out)
    assert.truthy(result.out:match('request %d+, lookup ino 1 "none": ok, was ENOENT\n'), result.out)
    assert.truthy(result.out:match("\n%d+ requests, %d+ differ, [%d.]+ us each\n$"), result.out)
  end)

  it("shows names that are missing in a directory, or new", function()
    local path = record({ source = memory_fs }, "touch $MNT/one $MNT/two; ls $MNT")
    local other = [[
      local fs = require "fractal.memoryfs" {}
      local create = fs.create
      function fs.create(req, parent, name, ...) return create(req, parent, name == "two" and "new" or name, ...) end
      return fs]]
    local result = replay(path, other)
    assert.equal(1, result.status)
    assert.truthy(result.out:match('request %d+, readdir%l* ino 1 %(.-%): "%l+" is %l+\n'), result.out)
  end)

  it("needs neither root nor /dev/fuse", function()
    if not helper.is_root then
      return pending("only root can be somebody else")
    end
    local source = numbered(5)
    local path = record({ source = source }, "cat $MNT/1 $MNT/2")
    local base = helper.directory()
    helper.write_file(base .. "/recording", helper.read_file(path))
    helper.write_file(base .. "/script.lua", source)
    assert.is_true(os.execute(("chmod -R a+rX %s"):format(base)) == 0)
    local result = helper.run({ "--replay", base .. "/recording", base .. "/script.lua" }, 30, { user = 65534 })
    assert_same(result, 8)
  end)

  it("can be traced, profiled, counted and recorded when it is asked again", function()
    local path = record({ source = memory_fs }, "mkdir $MNT/d; touch $MNT/d/a; ls -l $MNT/d; rm -r $MNT/d")
    local base = helper.directory()
    local result = replay(path, memory_fs, {
      "--trace-file=" .. base .. "/trace", "--profile-file=" .. base .. "/profile", "--record=" .. base .. "/again",
      "--stats",
    })
    local requests = result.out:match("^(%d+) requests, 0 differ")
    assert.equal(0, result.status, result.out .. result.err)
    assert.equal(tonumber(requests), select(2, helper.read_file(base .. "/trace"):gsub("\n", "")))
    assert.truthy(result.err:match("\nfractal%-lua: all +" .. requests .. " "), result.err)
    assert.truthy(helper.read_file(base .. "/profile.svg"):find("</svg>", 1, true))
    assert.equal(#helper.read_file(path), #helper.read_file(base .. "/again"))
    assert_same(replay(base .. "/again", memory_fs), 8)
  end)

  it("can be asked at its own speed", function()
    local path = record({ source = memory_fs }, "touch $MNT/a; sleep 0.7; touch $MNT/b")
    local before = os.time()
    assert_same(replay(path, memory_fs, { "--replay-speed=max" }), 4)
    local result = replay(path, memory_fs, { "--replay-speed=real" })
    local requests, each = result.out:match("^(%d+) requests, 0 differ, ([%d.]+) us each\n$")
    assert.truthy(requests, result.out .. result.err)
    assert.is_true(requests * each >= 0.6e6, result.out)
    assert.is_true(os.time() >= before)
  end)

  it("can be asked step by step", function()
    local path = record({ source = memory_fs }, "touch $MNT/a")
    local base = helper.directory()
    helper.write_file(base .. "/script.lua", memory_fs)
    local command = ("printf '\\n\\n' | %s --replay-speed=step --replay=%s %s/script.lua")
      :format(helper.binary, path, base)
    local result = process.run({ "bash", "-c", command }, 20)
    assert.equal(0, result.status, result.err)
    local asked = select(2, result.out:gsub("next: %l[%l_]* ino %d+ %(Enter%)\n", ""))
    assert.is_true(asked == 2 or asked == 3, result.out)
  end)

  it("may end anywhere, or be none, with one sentence", function()
    local path = record({ source = memory_fs }, "touch $MNT/a $MNT/b; ls $MNT")
    local text, quoted = helper.read_file(path), path:gsub("%p", "%%%0")
    local cases = {
      { text:sub(1, -10), "ends in the middle of a record, at byte %d+" },
      { text:sub(1, 50), "is cut off inside its head" },
      { "", "is no recording: it does not begin with FRACTREC" },
      { script.one_file "", "is no recording: it does not begin with FRACTREC" },
      { "FRACTREC\9" .. text:sub(10), "is of version 9, and this program reads version 1: record anew" },
      { text .. ("x"):rep(100), "has a record of unknown type 30840 at byte %d+" },
    }
    for _, case in ipairs(cases) do
      helper.write_file(path, case[1])
      local result = replay(path, memory_fs)
      assert.equal(1, result.status)
      local sentence = "^fractal%-lua: error: " .. quoted .. " " .. case[2] .. "\n$"
      assert.truthy(result.err:match(sentence), result.err)
    end
    os.remove(path)
    local result = replay(path, memory_fs)
    local sentence = ("the recording %s cannot be opened: No such file or directory"):format(path)
    assert.equal(("fractal-lua: error: %s\n"):format(sentence), result.err)
  end)

  it("is no mount: what only mounts have is refused", function()
    for option, name in pairs { ["-b"] = "-b", ["--background"] = "-b", ["--metrics=9090"] = "--metrics" } do
      local result = replay("/nowhere", memory_fs, { option })
      local sentence = ("--replay makes no mount: leave %s out (fractal-lua --help lists what there is)"):format(name)
      assert.same({ 2, ("fractal-lua: error: %s\n"):format(sentence) }, { result.status, result.err })
    end
  end)

  it("cannot be kept where no file can be made", function()
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", memory_fs)
    local result = helper.run { "--record=" .. dir .. "/none/r", dir .. "/script.lua", dir }
    assert.equal(1, result.status)
    assert.truthy(result.err:find(("the recording %s/none/r cannot be opened: "):format(dir), 1, true), result.err)
  end)
end)
