-- Filesystem tables: settings, handlers' names, and the sentences about mistakes in them.

local caps = require "fractal.caps"
local filesystem = require "fractal.filesystem"

-- The -o words of a filesystem as a map.
local function words_of(fs)
  local words, list = {}, filesystem.words(fs)
  for i = 1, #list, 2 do
    words[list[i]] = list[i + 1]
  end
  return words
end

local function message_of(settings)
  local ok, err = pcall(function()
    local fs = filesystem.lowlevel(settings)
    return fs
  end)
  assert.is_false(ok)
  return err
end

describe("filesystem.nearest", function()
  local known = { getattr = true, setattr = true, lookup = true, read = true, readdir = true }

  it("finds the word meant", function()
    assert.equal("getattr", filesystem.nearest("getatr", known))
    assert.equal("getattr", filesystem.nearest("get_attr", known))
    assert.equal("setattr", filesystem.nearest("setattr_", known))
    assert.equal("lookup", filesystem.nearest("Lookup", known))
    assert.equal("readdir", filesystem.nearest("redadir", known))
    assert.equal("read", filesystem.nearest("raed", known))
  end)

  it("gives none where none is near", function()
    assert.is_nil(filesystem.nearest("helper", known))
    assert.is_nil(filesystem.nearest("x", {}))
  end)
end)

describe("fractal.lowlevel", function()
  it("has default settings", function()
    local words = words_of(filesystem.lowlevel())
    assert.same({ attr_ttl = "1", entry_ttl = "1", negative_ttl = "0" }, words)
  end)

  it("turns settings into -o words", function()
    local words = words_of(filesystem.lowlevel {
      name = "x", state = "per-worker", workers = 3, attr_ttl = 0.5, writeback_cache = true, parallel_dirops = false,
      mount = { default_permissions = true, allow_other = true, max_read = 4096 },
    })
    assert.same({
      fsname = "x", state = "per-worker", workers = "3", attr_ttl = "0.5", entry_ttl = "1", negative_ttl = "0",
      writeback_cache = false, noparallel_dirops = false, default_permissions = false, allow_other = false,
      max_read = "4096",
    }, words)
  end)

  it("knows filesystem tables from others", function()
    assert.is_true(filesystem.is(filesystem.lowlevel {}))
    for _, other in ipairs { {}, "text", 1, true } do
      assert.is_false(filesystem.is(other))
    end
  end)

  it("keeps the script's own options with their help", function()
    local fs = filesystem.lowlevel { options = { source = "directory to mirror" } }
    assert.same({ "source", "directory to mirror" }, filesystem.option_list(fs))
    assert.same({}, fs.options)
  end)

  it("refuses unknown settings with the nearest known one, naming the script's line", function()
    local err = message_of { atr_ttl = 1 }
    assert.truthy(err:find("filesystem_spec.lua:%d+: unknown setting 'atr_ttl'; did you mean 'attr_ttl'%?$"), err)
    err = message_of { cheeseboard = 1 }
    assert.truthy(err:find("unknown setting 'cheeseboard'$"), err)
    err = message_of { [1] = "x" }
    assert.truthy(err:find("unknown setting '1'", 1, true), err)
  end)

  it("refuses settings of a wrong type", function()
    for _, case in ipairs {
      { { name = 5 }, "setting 'name' is a string, not a number" },
      { { workers = "2" }, "setting 'workers' is a number, not a string" },
      { { writeback_cache = 1 }, "setting 'writeback_cache' is a boolean, not a number" },
      { { mount = "allow_other" }, "setting 'mount' is a table, not a string" },
    } do
      local err = message_of(case[1])
      assert.equal(case[2], err:sub(-#case[2]))
    end
  end)

  it("gives each filesystem its own settings", function()
    local one, two = filesystem.lowlevel { name = "one" }, filesystem.lowlevel { name = "two" }
    assert.equal("one", words_of(one).fsname)
    assert.equal("two", words_of(two).fsname)
  end)
end)

describe("handlers", function()
  it("that are misspelt are named, other functions are not", function()
    local fs = filesystem.lowlevel {}
    function fs.getatr() end
    function fs.look_up() end
    function fs.read() end
    function fs.my_helper() end
    fs.reddir = "no function"
    assert.same({
      "'getatr' is no handler; did you mean 'getattr'?",
      "'look_up' is no handler; did you mean 'lookup'?",
    }, filesystem.misspelt(fs))
  end)

  it("ask for the capabilities they need by being there", function()
    local bit_of = {}
    for _, cap in ipairs(caps) do
      bit_of[cap.option] = cap.bit
    end
    local fs = filesystem.lowlevel {}
    assert.same({}, filesystem.capabilities(fs))
    function fs.setlk() end
    assert.same({ bit_of.posix_locks }, filesystem.capabilities(fs))
    function fs.readdirplus() end
    assert.same({ bit_of.posix_locks, bit_of.readdirplus }, filesystem.capabilities(fs))
    function fs.readdir() end
    function fs.flock() end
    local bits = filesystem.capabilities(fs)
    table.sort(bits)
    local expected = { bit_of.posix_locks, bit_of.flock_locks, bit_of.readdirplus, bit_of.readdirplus_auto }
    table.sort(expected)
    assert.same(expected, bits)
  end)
end)
