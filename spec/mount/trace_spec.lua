-- --trace: each request with its reply, for people and for programs. docs/tracing.md is the promise.

local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local by_path = (helper.read_file("spec/mount/pathfs_table.lua"):gsub("HIDE", "false"))
local by_inode = [[return require "fractal.memoryfs" {}]]

-- Names that would break a line, a string or a decoder.
local work = [[
  cd $MNT && mkdir d && printf hello > d/a && cat d/a && ln -s there d/s && readlink d/s && mv d/a $'d/"\\\n\xff\x80é'
  ln d/s d/hard; ls -la d; chmod 600 d/*é; stat d/none; rm d/* ; rmdir d; stat -f .; truncate -s 9 f; mv f g]]
local strange = '"\\\n\255\128é'

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- What spec/trace_lines.py tells of a file of JSON lines: a count for each operation, and all it printed.
local function read_json(path)
  local result = process.run({ "bash", "-c", ("python3 %s/spec/trace_lines.py < %s"):format(sys.getcwd(), path) }, 20)
  assert.equal(0, result.status, result.err)
  local counts = {}
  for op, count in ("\n" .. result.out):gmatch("\n(%l[%w_]*) (%d+)") do
    counts[op] = tonumber(count)
  end
  return counts, "\n" .. result.out
end

-- The table of --stats: requests of each operation.
local function read_stats(log)
  local counts = {}
  for op, count in log:gmatch("\nfractal%-lua: ([%l_%d]+) +(%d+) +[%d.]+ ") do
    counts[op] = tonumber(count)
  end
  counts.all = nil
  return counts
end

describe("--trace", function()
  after_each(helper.teardown)

  helper.each_transport(function(transport)
    for kind, source in pairs { by_path = by_path, by_inode = by_inode } do
      it("has one JSON line for each request, whatever its name (" .. kind .. ")", function()
        local file = helper.directory() .. "/trace"
        local m = helper.mount { source = source, transport = transport,
          args = { "--trace-format=json", "--trace-file=" .. file, "--stats" } }
        m:sh(work, 20)
        assert.equal(0, m:unmount())
        local counts, text = read_json(file)
        assert.same(read_stats(m.log()), counts)
        assert.is_true(counts.lookup > 3 and counts.rename2 + (counts.rename or 0) == 2, text)
        assert.truthy(text:find(("\nNAME2 rename2 %s\n"):format(hex(strange)), 1, true), text)
        for op, path in pairs { unlink = "/d/" .. strange, mkdir = "/d" } do
          local found = text:find(("\nPATH %s %s\n"):format(op, hex(path)), 1, true) ~= nil
          assert.equal(kind == "by_path", found, text)
        end
      end)
    end

    it("tells a request that waits for its answer", function()
      local file = helper.directory() .. "/trace"
      local m = helper.mount { transport = transport, args = { "--trace=getattr", "--trace-file=" .. file },
        source = script.one_file [[
          function fs.getattr(req, ino, attr)
            fill(ino, attr)
            if ino == 2 then fractal.io.sleep(1.6) end
          end]] }
      local client = m:start("stat $MNT/file")
      local text
      assert.truthy(helper.eventually(20, function()
        text = helper.read_file(file)
        return text:find("getattr ino 2 = pending, ", 1, true)
      end), text)
      assert.equal(0, client:wait(20))
      assert.truthy(helper.eventually(20, function()
        text = helper.read_file(file)
        return text:match("getattr ino 2 = pending, %d+ us, .*getattr ino 2 = mode 0100666 size 100, %d+ us")
      end), text)
    end)
  end)

  it("reads well", function()
    local file = helper.directory() .. "/trace"
    local m = helper.mount { source = by_path, args = { "--trace", "--trace-file", file } }
    m:sh(work, 20)
    assert.equal(0, m:unmount())
    local text = helper.read_file(file)
    local shown = [["/d/\"\\\x0a\xff\x80é"]]
    for _, line in ipairs {
      'mkdir "/d" mode 0%d+ umask 0%d+ = ino %d+ mode 040755 size %d+, ',
      'write "/d/a" fh %d+ offset 0 size 5 = size 5, ',
      'symlink "/d/s" "there" = ino %d+ ',
      'link "/d/hard" "/d/s" = ino %d+ ',
      'setattr "/d/.*" valid 0x%x+ mode 0100600 = mode 0100600 size 5, ',
      'lookup "/d/none" = ENOENT, ',
      'getxattr "/f" "security.capability" size 0 = E%u+, ',
      'rename2 "/f" "/g" flags 0x1 = ok, ',
    } do
      local pattern = "\n%d%d:%d%d:%d%d%.%d%d%d%d%d%d " .. line .. "[^\n]*%d+ us, uid %d+ pid %d+\n"
      assert.truthy(text:match(pattern), line .. "\n" .. text)
    end
    assert.truthy(text:find('rename2 "/d/a" ' .. shown .. " flags 0x1 = ok, ", 1, true), text)
  end)

  it("has only the operations that were named", function()
    local m = helper.mount { source = by_inode, args = { "--trace=mkdir,unlink" } }
    assert.is_true(m:sh("mkdir $MNT/d; touch $MNT/x; rm $MNT/x", 10))
    assert.equal(0, m:unmount())
    assert.truthy(m.log():match('\n%S+ mkdir ino 1 "d" mode 0%d+ '), m.log())
    assert.truthy(m.log():match('\n%S+ unlink ino 1 "x" = ok, '), m.log())
    assert.falsy(m.log():find("lookup", 1, true), m.log())
  end)

  it("shows interrupts", function()
    local file = helper.directory() .. "/trace"
    local m = helper.mount { args = { "--trace", "--trace-format=json", "--trace-file=" .. file },
      source = script.one_file [[function fs.read(req) return fractal.io.sleep(20) end]] }
    local client = m:start("cat $MNT/file")
    -- The request is there once it was opened; the signal may come at any time after that.
    assert.truthy(helper.eventually(20, function() return helper.read_file(file):find('"op":"open"', 1, true) end))
    client:kill("int")
    assert.truthy(helper.eventually(20, function() client:kill("int") return client:poll() end))
    assert.equal(0, m:unmount())
    local counts = read_json(file)
    assert.is_true(counts.interrupt >= 1)
  end)

  it("goes to the file from the background too", function()
    local file = helper.directory() .. "/trace"
    local m = helper.mount { source = by_inode, background = true, args = { "--trace-file=" .. file } }
    assert.is_true(m:sh("mkdir $MNT/d", 10))
    assert.equal(0, m:unmount())
    assert.truthy(helper.read_file(file):find('mkdir ino 1 "d"', 1, true))
  end)

  it("says what is wrong with its file", function()
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", by_inode)
    local result = helper.run { "--trace-file=" .. dir .. "/none/trace", dir .. "/script.lua", dir }
    assert.equal(1, result.status)
    local sentence = ("the trace %s/none/trace cannot be opened: No such file"):format(dir)
    assert.truthy(result.err:find(sentence, 1, true), result.err)
    assert.is_false(helper.is_mounted(dir))
  end)
end)
