-- `fractal-lua top`, and the sockets at which mounts can be looked into.

local helper = require "spec.helper"
local observed = require "spec.observed"
local process = require "spec.process"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file(observed.handlers)

-- A directory that XDG_RUNTIME_DIR names, so that other mounts of this machine are not met.
local function runtime_directory()
  local path = helper.directory()
  return path, { XDG_RUNTIME_DIR = path, LC_ALL = "C.UTF-8" }
end

local function top(arguments, env)
  return helper.run({ "top", unpack(arguments) }, 20, { env = env })
end

-- The rows of a table: operation → list of cells.
local function rows(text)
  local list = {}
  for line in text:match("\noperation [^\n]*\n(.*)$"):gmatch("[^\n]+") do
    local cells = {}
    for cell in line:gmatch("%S+") do
      cells[#cells + 1] = cell
    end
    list[cells[1]] = cells
  end
  return list
end

helper.each_transport(function(transport)
  describe("top", function()
    after_each(helper.teardown)

    it("shows what comes, and measures from its first look on", function()
      local _, env = runtime_directory()
      local m = helper.mount { source = source, transport = transport, env = env }
      local stop = observed.load(m)
      local result = top({ m.dir, "--once" }, env)
      stop()
      assert.equal("", result.err)
      assert.equal(0, result.status)
      local first = result.out:match("^[^\n]*")
      assert.truthy(first:find(("^%s: one%%-file +%s, %%d+ workers?, up 0:%%d%%d:%%d%%d$"):format(
        m.dir:gsub("%p", "%%%0"), transport)), first)
      assert.truthy(result.out:find(" in hand %d+, most [1-9]%d* of %d+\n"), result.out)
      assert.truthy(result.out:find("\nLua [%d.]+[KM] in 1 state, %d+ collections   JIT %d+ traces"), result.out)
      local list = rows(result.out)
      for _, operation in ipairs { "getattr", "read", "lookup" } do
        local row = list[operation] or {}
        assert.equal(7, #row, result.out)
        assert.truthy(row[2] ~= "0.0", result.out)
        for i = 5, 7 do
          assert.truthy(row[i]:find("^[%d.]+[um]?s$"), result.out)
        end
      end
      assert.equal("0", list.read[4])
      assert.truthy(list.lookup[4] ~= "0")
    end)
  end)
end)

describe("top", function()
  after_each(helper.teardown)

  it("shows a mount whose handler holds its worker and the Lua state", function()
    local _, env = runtime_directory()
    local m = helper.mount { source = source, workers = 1, env = env }
    local release = observed.hold(m)
    local result = top({ m.dir, "--once", "--interval=0.1" }, env)
    release()
    assert.truthy(result.out:find(" in hand 1, ", 1, true), result.out .. result.err)
  end)
end)

describe("top on a terminal", function()
  after_each(helper.teardown)

  -- Types these keys, one each second; returns the exit status and all that was written.
  local function type_keys(m, env, keys)
    local result = process.run({ "python3", sys.getcwd() .. "/spec/on_terminal.py", keys, helper.binary, "top", m.dir,
      "--interval=0.2" }, 30, { env = env })
    return result.status, result.out
  end

  local function frames(out)
    local list = {}
    for frame in out:gmatch("\27%[H(.-)\27%[J") do
      list[#list + 1] = frame
    end
    return list
  end

  it("draws a screen again and again, and takes keys", function()
    local _, env = runtime_directory()
    local m = helper.mount { source = source, env = env }
    local stop = observed.load(m)
    local status, out = type_keys(m, env, "eq")
    stop()
    assert.equal(0, status, out)
    assert.equal("\27[?1049h\27[?25l", out:sub(1, 14))
    assert.equal("\27[?25h\27[?1049l", out:sub(-14))
    local list = frames(out)
    assert.is_true(#list >= 3)
    assert.truthy(list[1]:find("sort by:  \27[7mr rate\27[0m", 1, true), list[1])
    assert.truthy(list[#list]:find("\27[7me errors\27[0m", 1, true), list[#list])
    for _, frame in ipairs(list) do
      local lines = 1
      for line in (frame:gsub("\27%[[%d;]*%a", "") .. "\r\n"):gmatch("(.-)\r\n") do
        local _, width = line:gsub("[^\128-\191]", "")
        assert.is_true(width <= 80, line)
        lines = lines + 1
      end
      assert.equal(25, lines)
    end
    local last = list[#list]:gsub("\27%[[%d;]*%a", ""):gsub("\r", "")
    assert.truthy(last:find("\nlookup [^\n]* [▁▂▃▄▅▆▇█]"), last)
    assert.is_true(last:find("\nlookup", 1, true) < last:find("\ngetattr", 1, true), last)
  end)

  it("gives the terminal back at a signal, and when the mount ends", function()
    local _, env = runtime_directory()
    local m = helper.mount { source = source, env = env }
    local status, out = type_keys(m, env, "K")
    assert.equal(0, status, out)
    assert.equal("\27[?25h\27[?1049l", out:sub(-14))
    local path = helper.directory() .. "/out"
    local child = process.start({ "python3", sys.getcwd() .. "/spec/on_terminal.py", "", helper.binary, "top", m.dir,
      "--interval=0.2" }, { env = env, out = path })
    assert.truthy(helper.eventually(10, function() return helper.read_file(path):find("one-file", 1, true) end))
    assert.equal(0, m:unmount())
    assert.equal(0, child:wait(10))
    assert.truthy(helper.read_file(path):find(("\27[?1049lthe mount at %s has ended\r\n"):format(m.dir), 1, true))
  end)
end)

describe("top refuses", function()
  after_each(helper.teardown)

  it("what it cannot look at, with a sentence", function()
    local range = "choose 0.1 to 30 seconds (fractal-lua top --help tells more)"
    local _, env = runtime_directory()
    local m = helper.mount { source = source, env = env }
    for _, case in ipairs {
      { { "/" }, 1, "nothing is mounted at / by a filesystem of this kind" },
      { { m.dir }, 1, "standard input and output are no terminal: use --once" },
      { { m.dir, "--interval=0" }, 2, "--interval 0: " .. range },
      { { m.dir, "--interval=nan" }, 2, "--interval nan: " .. range },
    } do
      local result = top(case[1], env)
      assert.equal(("fractal-lua: error: %s\n"):format(case[3]), result.err)
      assert.equal(case[2], result.status)
    end
  end)

  it("to choose between mounts, and finds a path in one of them", function()
    local _, env = runtime_directory()
    local a, b = helper.mount { source = source, env = env }, helper.mount { source = source, env = env }
    assert.truthy(top({ "--once" }, env).err:find("there are several mounts, name one: ", 1, true))
    local link = helper.directory() .. "/link"
    sys.symlink(b.dir, link)
    for _, path in ipairs { b.dir .. "/../mnt/", link, link .. "/some/where" } do
      local result = top({ path, "--once", "-i", "0.1" }, env)
      assert.equal(b.dir .. ": one-file", result.out:match("^(.-)  "), result.err)
    end
    assert.equal(0, a:unmount())
  end)
end)

if helper.is_root then
  describe("an ordinary user", function()
    after_each(helper.teardown)

    it("looks at own mounts, where no runtime directory is named", function()
      local nobody, env = 65534, { XDG_RUNTIME_DIR = "" }
      local m = helper.mount { source = source, user = nobody, env = env }
      local result = helper.run({ "top", m.dir, "--once", "-i", "0.1" }, 20, { env = env, user = nobody })
      assert.equal("", result.err)
      assert.equal(m.dir .. ": one-file", result.out:match("^(.-)  "))
      local other = top({ m.dir, "--once" }, env)
      assert.truthy(other.err:find("it is not a fractal-lua of this user\n", 1, true), other.err)
      assert.equal(0, m:unmount())
    end)
  end)
end

describe("the socket of a mount", function()
  after_each(helper.teardown)

  local function entries(path)
    local list = {}
    for name in io.popen("ls -A " .. path .. " 2>/dev/null"):lines() do
      list[#list + 1] = name
    end
    return list
  end

  it("has the device's number, is the user's alone, and goes with the mount", function()
    local runtime, env = runtime_directory()
    local directory = runtime .. "/fractal-lua"
    local m = helper.mount { source = source, env = env }
    assert.same({ ("0:%s.sock"):format(m.connection) }, entries(directory))
    assert.equal(448, bit.band(sys.lstat(directory).mode, 4095))
    local metrics = observed.scrape(("unix:%s/0:%s.sock"):format(directory, m.connection))
    assert.equal(m.dir, metrics.fractal_mount_info.samples[1].labels.mountpoint)
    assert.equal(0, m:unmount())
    assert.same({}, entries(directory))
  end)

  it("of a dead server is removed by the next one", function()
    local runtime, env = runtime_directory()
    local dead = helper.mount { source = source, env = env }
    dead:kill("kill")
    assert.truthy(dead:wait(10))
    sys.close(assert(sys.unix_socket(runtime .. "/fractal-lua/0:999999.sock")))
    assert.equal(2, #entries(runtime .. "/fractal-lua"))
    local m = helper.mount { source = source, env = env }
    assert.same({ ("0:%s.sock"):format(m.connection) }, entries(runtime .. "/fractal-lua"))
    assert.equal(0, top({ m.dir, "--once", "-i", "0.1" }, env).status)
  end)

  it("is not put into a directory that others may enter", function()
    local runtime, env = runtime_directory()
    sys.mkdir(runtime .. "/fractal-lua", "755")
    local m = helper.mount { source = source, env = env }
    assert.same({}, entries(runtime .. "/fractal-lua"))
    local result = top({ m.dir, "--once" }, env)
    assert.equal(1, result.status)
    local sentence = "the server of %s cannot be asked: it is not a fractal-lua of this user\n"
    assert.equal("fractal-lua: error: " .. sentence:format(m.dir), result.err)
    assert.equal(0, m:unmount())
  end)
end)
