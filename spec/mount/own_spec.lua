-- A handler that touches its own mount by a blocking call would wait for itself: it gets EDEADLK, and the log says so.

local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- user.WHAT runs do_WHAT(path), where path is in the mount, and returns what it returned as text.
local source = script.one_file [[
  local mnt = os.getenv "MNT_OF_SPEC"
  ffi.cdef "int access(const char *path, int mode);"
  local doings = {
    ["io.open"] = function(path) return io.open(path) end,
    ["io.lines"] = function(path) return pcall(io.lines, path) end,
    ["os.remove"] = function(path) return os.remove(path) end,
    ["os.rename from"] = function(path) return os.rename(path, "/nowhere/to") end,
    ["os.rename to"] = function(path) return os.rename("/nowhere/from", path) end,
    ["loadfile"] = function(path) return loadfile(path) end,
    ["dofile"] = function(path) return pcall(dofile, path) end,
    ["fractal.io"] = function(path)
      local fd, err = fractal.io.open(path, fractal.io.O_RDONLY)
      return fd and fractal.io.close(fd), err
    end,
    ["ffi"] = function(path) return ffi.C.access(path, 0), E.DEADLK == ffi.errno() end,
    ["outside"] = function() return io.open("/nowhere/at/all") end,
  }
  function fs.getxattr(req, ino, name)
    local what, how = name:match("^user%.(.-)=(.*)$")
    local path = how:gsub("MNT", mnt)
    local result = { doings[what](path) }
    for i = 1, table.maxn(result) do
      result[i] = tostring(result[i])
    end
    return table.concat(result, ", ")
  end
  function fs.readdir() end]]

local function mount(settings)
  settings.dir = helper.directory() .. "/mnt"
  assert(sys.mkdir(settings.dir, "755"))
  settings.env = { MNT_OF_SPEC = settings.dir }
  settings.source = source
  local m = helper.mount(settings)
  -- What a handler's call of that kind returned.
  function m.ask(what, path)
    local ok, out = m:sh(("getfattr --absolute-names --only-values -n 'user.%s=%s' $MNT/file"):format(what, path), 8)
    assert.is_true(ok, out .. m.log())
    return out
  end
  return m
end

helper.each_transport(function(transport)
  describe("a handler's blocking call into its own mount", function()
    after_each(helper.teardown)

    it("is refused with EDEADLK, and named", function()
      local m = mount { transport = transport }
      local refused = m.dir .. "/file: Resource deadlock avoided"
      for what, answer in pairs {
        ["io.open"] = "nil, " .. refused .. ", 35",
        ["io.lines"] = "false, " .. refused,
        ["os.remove"] = "nil, " .. refused .. ", 35",
        ["os.rename from"] = "nil, " .. refused .. ", 35",
        ["loadfile"] = "nil, " .. refused .. ", 35",
        ["dofile"] = "false, " .. refused,
      } do
        assert.truthy(m.ask(what, "MNT/file"):find(answer, 1, true), what)
        local sentence = 'error: getxattr calls %s on "%s/file", which lies in its own mount'
        sentence = sentence:format(what:match("^%S+"), m.dir)
        assert.truthy(m.log():find(sentence, 1, true), m.log())
      end
      assert.equal("nil, /nowhere/at/all: No such file or directory, 2", m.ask("outside", ""))
    end)

    it("is found behind symbolic links, .. and other spellings", function()
      local m = mount { transport = transport }
      local links = helper.directory()
      local result = m:sh(("ln -s %s %s/link; ln -s link/deeper %s/relative"):format(m.dir, links, links), 5)
      assert.is_true(result)
      for _, path in ipairs {
        "MNT", "MNT/", "MNT/../mnt/a", "//" .. m.dir:sub(2) .. "/./a", links .. "/link/a", links .. "/relative",
      } do
        assert.truthy(m.ask("io.open", path):find("Resource deadlock avoided", 1, true), path)
      end
      for _, path in ipairs { "MNT2", links .. "/nothing" } do
        assert.truthy(m.ask("io.open", path):find("No such file or directory", 1, true), path)
      end
    end)

    it("through fractal.io is none: others serve it", function()
      local m = mount { transport = transport }
      local answer = m.ask("fractal.io", "MNT/file")
      assert.equal("true", answer)
    end)
  end)
end)

describe("a handler's foreign call into its own mount, over /dev/fuse,", function()
  after_each(helper.teardown)

  for _, settings in ipairs { { workers = 1 }, { workers = 2 }, { workers = 2, state = "per-worker" } } do
    it(("gets EDEADLK with %d workers and state=%s"):format(settings.workers, settings.state or "single"), function()
      settings.transport = "dev"
      local m = mount(settings)
      local link = helper.directory() .. "/link"
      assert(sys.symlink(m.dir, link))
      assert.equal("-1, true", m.ask("ffi", "MNT/other"))
      assert.equal("-1, true", m.ask("ffi", link .. "/other"))
      local sentence = ("error: handler getxattr asks its own mount %s (lookup of inode 1, name other) and would wait "
        .. "for itself: it got EDEADLK"):format(m.dir)
      local _, times = m.log():gsub(sentence:gsub("%p", "%%%0"), "")
      assert.equal(1, times, m.log())
      assert.equal(0, m:unmount())
    end)
  end
end)
