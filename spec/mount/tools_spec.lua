-- Tools: `fractal-lua NAME …` runs a module of fractal.command. The machinery, and `new`.
-- unsanitized: tools in Lua

local helper = require "spec.helper"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"
local tool = require "fractal.tool"

describe("a tool", function()
  after_each(helper.teardown)

  it("is listed by --help with one line", function()
    local out = helper.run({ "--help" }).out
    assert.truthy(out:find("\n  new                write a filesystem and its spec to begin with\n", 1, true), out)
  end)

  it("has a help of its own", function()
    local result = helper.run { "new", "--help" }
    assert.same({ 0, "" }, { result.status, result.err })
    assert.truthy(result.out:find("^Usage: fractal%-lua new NAME %[options%]\n"), result.out)
    assert.truthy(result.out:find("\n  %-t, %-%-template KIND +what to begin with: hello[^\n]*%(default: hello%)\n"))
    assert.truthy(result.out:find("\n  %-h, %-%-help +this text\n"), result.out)
  end)

  it("is not hidden by a file of its name, which ./NAME names", function()
    local base = helper.directory()
    helper.write_file(base .. "/new", "this is no Lua")
    local result = helper.run({ "new" }, 20, { cwd = base })
    assert.equal("fractal-lua: error: too few words: NAME [options] (fractal-lua new --help tells more)\n", result.err)
    assert.equal(2, result.status)
    result = helper.run({ "./new", base }, 20, { cwd = base })
    assert.truthy(result.err:find("/new:1:", 1, true), result.err)
    assert.equal(1, result.status)
  end)

  it("must be the first word; other words are scripts", function()
    local base = helper.directory()
    for _, words in ipairs { { "nwe", base }, { "new.lua", base }, { "command.new", base } } do
      local result = helper.run(words, 20, { cwd = base })
      assert.equal(("fractal-lua: error: the script %s does not exist\n"):format(words[1]), result.err)
      assert.equal(1, result.status)
    end
    assert.equal(2, helper.run({ "-s", "new" }, 20, { cwd = base }).status)
  end)
end)

describe("the command line of a tool", function()
  local definition = {
    usage = "WORD [options]", text = "A text.", words = { 1, 2 },
    options = {
      { "loud", short = "l", help = "in capitals" },
      { "times", short = "n", value = "N", number = true, default = 1, help = "how often" },
      { "kind", value = "KIND", choices = { "one", "two" }, help = "which" },
      { "also", short = "o", value = "WORD", many = true, help = "more" },
      { "check", no = true, default = true, help = "look at it" },
    },
  }

  -- Options and words, or the sentence.
  local function parse(...)
    local ok, options, words = pcall(tool.parse, definition, { ... })
    if ok then
      return options, words
    end
    local failure = tool.failure(options) or error(options)
    assert.equal(2, failure.status)
    return failure.text
  end

  it("gives options by name and the other words", function()
    local options, words = parse("a", "-l", "--times", "3", "--kind=two", "-o", "x=1", "-oy", "--no-check", "b")
    assert.same({ loud = true, times = 3, kind = "two", also = { "x=1", "y" }, check = false }, options)
    assert.same({ "a", "b" }, words)
  end)

  it("has defaults, and -- ends the options", function()
    local options, words = parse("--", "--loud")
    assert.same({ times = 1, check = true }, options)
    assert.same({ "--loud" }, words)
  end)

  it("asks for help", function()
    assert.is_nil(parse("--help"))
    assert.is_nil(parse("-h", "too", "many", "words"))
  end)

  for _, case in ipairs {
    { { "a", "--lowd" }, "unknown option --lowd: did you mean --loud?" },
    { { "a", "-x" }, "unknown option -x" },
    { { "a", "--loud=yes" }, "--loud takes no value" },
    { { "a", "--no-check=1" }, "--no-check takes no value" },
    { { "a", "--times" }, "--times needs a value" },
    { { "a", "--times", "many" }, "--times many: give a number" },
    { { "a", "--kind", "three" }, "--kind three: choose one of one, two" },
    { {}, "too few words: WORD [options]" },
    { { "a", "b", "c" }, 'one word too many: "c"' },
  } do
    it(("%q is refused with a sentence"):format(table.concat(case[1], " ")), function()
      assert.equal(case[2], parse(unpack(case[1])))
    end)
  end
end)

describe("new", function()
  after_each(helper.teardown)

  it("writes a filesystem and its spec, and says what to do with them", function()
    local base = helper.directory()
    local result = helper.run({ "new", "firstfs" }, 20, { cwd = base })
    assert.same({ 0, "" }, { result.status, result.err })
    assert.equal([[
wrote firstfs.lua and firstfs_spec.lua

Next:
  fractal-lua --check firstfs.lua
  mkdir -p /tmp/firstfs && fractal-lua firstfs.lua /tmp/firstfs
  fractal-lua test firstfs.lua
]], result.out)
    local m = helper.mount { script = base .. "/firstfs.lua" }
    assert.truthy(m.ready:find(": firstfs, ", 1, true), m.ready)
    local ok, out = m:sh("cat $MNT/hello", 5)
    assert.is_true(ok, out)
    assert.equal("Hello, world!\n", out)
  end)

  for template, rows in pairs {
    hello = { tests = 4 }, memory = { tests = 3 }, tree = { tests = 3 },
    passthrough = { tests = 3, option = "source=/usr" },
    http = { tests = 3, option = "url=http://127.0.0.1:9" },
  } do
    it(("%s: passes the check and its own spec, from any directory"):format(template), function()
      local base = helper.directory()
      local result = helper.run({ "new", "sub/a-fs.lua", "--template=" .. template }, 20, { cwd = base })
      assert.equal(1, result.status)
      assert.truthy(result.err:find("cannot write sub/a-fs.lua", 1, true), result.err)
      sys.mkdir(base .. "/sub")
      result = helper.run({ "new", "sub/a-fs.lua", "--template=" .. template }, 20, { cwd = base })
      assert.same({ 0, "" }, { result.status, result.err })
      for _, name in ipairs { "a-fs.lua", "a-fs_spec.lua" } do
        local text = helper.read_file(base .. "/sub/" .. name)
        assert.truthy(text:find("a-fs", 1, true), text)
        assert.is_nil(text:find("NAME", 1, true), text)
      end
      result = helper.run({ "test", "sub/a-fs.lua", "--no-posix", "--transport=dev",
        unpack(rows.option and { "-o", rows.option } or {}) }, 60, { cwd = base })
      assert.equal(0, result.status, result.out .. result.err)
      local total = ("\n  %d passed, 0 failed\n"):format(rows.tests)
      assert.truthy(result.out:find(total, 1, true), result.out)
      assert.is_nil(result.out:find("pending", 1, true), result.out)
    end)
  end

  it("does not overwrite", function()
    local base = helper.directory()
    helper.write_file(base .. "/mine.lua", "mine")
    helper.write_file(base .. "/other_spec.lua", "mine")
    for name, file in pairs { mine = "mine.lua", ["mine.lua"] = "mine.lua", other = "other_spec.lua" } do
      local result = helper.run({ "new", name }, 20, { cwd = base })
      local sentence = file .. " is already there: choose another name, or remove it"
      assert.equal(("fractal-lua: error: %s\n"):format(sentence), result.err)
      assert.equal(1, result.status)
    end
    assert.equal("mine", helper.read_file(base .. "/mine.lua"))
    assert.equal("", helper.read_file(base .. "/other.lua"))
  end)

  it("refuses what is no name, an unknown template, and where it cannot write", function()
    local result = helper.run { "new", "7 of nine" }
    assert.truthy(result.err:find('"7 of nine" is no name for a filesystem: begin with a letter', 1, true), result.err)
    assert.equal(2, result.status)
    result = helper.run { "new", "fs", "--template=ftp" }
    assert.truthy(result.err:find("--template ftp: choose one of hello, memory, passthrough, tree, http", 1, true),
      result.err)
    assert.equal(2, result.status)
    result = helper.run { "new", "/nowhere/fs" }
    assert.equal("fractal-lua: error: cannot write /nowhere/fs.lua: No such file or directory\n", result.err)
    assert.equal(1, result.status)
  end)
end)

describe("unpack", function()
  after_each(helper.teardown)

  it("writes the package, which LuaJIT finds with the path that it prints", function()
    local base = helper.directory()
    local result = helper.run({ "unpack", "a/b" }, 20, { cwd = base })
    assert.same({ 0, "" }, { result.status, result.err })
    local path = result.out:match('\nexport LUA_PATH="(.-)"\n$')
    local text = [[
      print(require "fractal.errno".E.NOENT, require "fractal.ops"[1].name, require "fractal".RENAME_EXCHANGE)
      print(require "fractal.testing".find_command())]]
    local lua = process.run({ "luajit", "-e", text }, 20,
      { cwd = base, env = { LUA_PATH = path, FRACTAL_LUA = helper.binary } })
    assert.same({ ("2\tlookup\t2\n%s\n"):format(helper.binary), "" }, { lua.out, lua.err })
  end)

  it("says where it cannot write", function()
    local base = helper.directory()
    helper.write_file(base .. "/file", "")
    local result = helper.run { "unpack", base .. "/file/x" }
    local sentence = ("the directory %s/file/x/fractal cannot be made: ENOTDIR"):format(base)
    assert.equal(("fractal-lua: error: %s\n"):format(sentence), result.err)
    assert.equal(1, result.status)
  end)
end)
