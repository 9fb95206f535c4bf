--- The type annotations for editors against the package itself: every public name is in them, and no other.

local ffi = require "ffi"
local advice = require "fractal.advice"
local annotations = require "bindings.annotations"
local caps = require "fractal.caps"
local filesystem = require "fractal.filesystem"
local fractal = require "fractal"
local helper = require "spec.helper"
local process = require "spec.process"

local types = helper.binary:match "^(.*)/" .. "/types/"
local text = process.read_file(types .. "fractal.lua")

-- Names of a list of fields, without arguments and question marks, as a sorted list.
local function field_names(fields)
  local names = {}
  for i, field in ipairs(fields) do
    names[i] = field[1]:match "^%[?[%w_]+%]?"
  end
  table.sort(names)
  return names
end

-- Fields of a class in the text, sorted.
local function written_fields(class)
  local names = {}
  local body = assert(("\n" .. text):match("\n%-%-%-@class fractal%." .. class .. "[^\n]*\n(.-)\n\n"), class)
  for name in body:gmatch "%-%-%-@field ([%w_]+)" do
    names[#names + 1] = name
  end
  return names
end

local function keys(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("the type annotations", function()
  local meta = assert(loadfile(types .. "fractal.lua"))()

  it("are what bindings/annotations.lua makes", function()
    for path, expected in pairs(annotations.render(annotations.sources())) do
      assert.equal(expected, process.read_file(types .. path), path .. ": run the build")
    end
  end)

  it("have a type for everything", function()
    annotations.render(annotations.sources())
    assert.same({}, annotations.missing)
  end)

  -- Names of functions and numbers of a module, those only for the library left out.
  local function public(prefix, module)
    local names = {}
    for name, value in pairs(module) do
      local kind = type(value)
      if (kind == "function" or kind == "number") and not annotations.internal[prefix .. name] then
        names[#names + 1] = ("%s %s%s"):format(kind, prefix, name)
      end
    end
    -- fractal.tree is a module that is called.
    table.sort(names)
    return names
  end

  it("have every function and constant of the package, and no other", function()
    assert.same(public("fractal.", fractal), public("fractal.", meta))
    for _, module in ipairs(annotations.submodules) do
      local prefix = ("fractal.%s."):format(module)
      assert.same(public(prefix, fractal[module]), public(prefix, meta[module]))
    end
  end)

  it("have the values of constants and errors", function()
    for name, value in pairs(fractal) do
      if type(value) == "number" then
        assert.equal(value, meta[name], name)
      end
    end
    assert.same(fractal.errno, setmetatable(meta.errno, getmetatable(fractal.errno)))
    assert.same(fractal.S_IF, meta.S_IF)
  end)

  it("have every handler, and no other", function()
    for class, signatures in pairs { Lowlevel = advice.lowlevel, Pathfs = advice.pathfs } do
      local expected = keys(signatures)
      table.insert(expected, 1, "options")
      assert.same(expected, written_fields(class))
    end
  end)

  it("have every setting, and no other", function()
    assert.same(keys(filesystem.settings), written_fields "Settings")
    for _, name in ipairs { "memoryfs", "passthrough" } do
      local options, count = {}, 0
      for option in process.read_file(types .. "fractal/" .. name .. ".lua"):gmatch "%-%-%-@field ([%w_]+)" do
        options[option], count = name == "memoryfs" and "0" or "/", count + 1
      end
      assert.is_true(count >= 3)
      for option, value in pairs(options) do
        assert.has_no.errors(function() require("fractal." .. name) { [option] = value } end)
      end
    end
  end)

  for class, structure in pairs {
    Attr = "struct fractal_attr", Entry = "struct fractal_entry_out", Conn = "struct fractal_conn",
  } do
    it("have fields that are there: " .. class, function()
      local object = ffi.new(structure)
      for _, name in ipairs(field_names(annotations.fields(class, caps))) do
        assert.has_no.errors(function() return object[name] end)
      end
    end)
  end

  it("have the fields of a request that the reference has", function()
    local names, reference = {}, process.read_file "docs/reference.md":match "\n## The request\n(.-)\n## "
    for cell in reference:gmatch "\n| ([^|]+) |" do
      for name in cell:gmatch "`req[.:]([%w_]+)" do
        names[name] = true
      end
    end
    names.resent = true -- in the sentence beside `unique`
    assert.same(keys(names), field_names(annotations.classes.Request))
  end)

  for class, source in pairs {
    Timer = "task", Mutex = "task", Semaphore = "task", Queue = "task", Dict = "shared", Counter = "shared",
    Inodes = "shared",
  } do
    it("have the methods of a " .. class:lower(), function()
      local methods = {}
      local pattern = ("\nfunction %s:([%%w_]+)"):format(class:lower())
      for name in process.read_file(("lua/fractal/%s.lua"):format(source)):gmatch(pattern) do
        methods[name] = true
      end
      assert.same(keys(methods), field_names(annotations.classes[class]))
    end)
  end

  it("have the methods of a view", function()
    local methods = { ptr = true }
    for name in process.read_file "lua/fractal/view.lua":gmatch "\nfunction methods%.([%w_]+)" do
      methods[name] = true
    end
    assert.same(keys(methods), field_names(annotations.classes.View))
  end)

  describe("of fractal.testing", function()
    local document = process.read_file "docs/testing.md"

    -- Names in the first column of the table under a header, of one form, as a sorted list.
    local function documented(header, pattern)
      local names, rows = {}, assert(document:match("\n| " .. header .. " | |\n[^\n]+\n(.-)\n\n"), header)
      for cell in rows:gmatch "| ([^|]+) |[^\n]*" do
        for name in cell:gmatch(pattern) do
          names[name] = true
        end
      end
      return keys(names)
    end

    it("have its functions", function()
      local testing, names = assert(loadfile(types .. "fractal/testing.lua"))(), {}
      for name, value in pairs(testing) do
        assert.equal("function", type(value))
        assert.equal("function", type(require("fractal.testing")[name]), name)
        names[name] = true
      end
      assert.same(documented("`testing%.`", "`([%w_]+)%("), keys(names))
    end)

    it("have the settings and methods of its mounts", function()
      local function names_of(class)
        return field_names(annotations.testing[class])
      end
      assert.same(documented("setting of `mount`", "`([%w_]+)`"), names_of "Settings")
      assert.same(documented("mount", "`m[.:]([%w_]+)"), names_of "Mount")
    end)
  end)

  it("satisfy lua-language-server in the examples", function()
    if process.run({ "sh", "-c", "command -v lua-language-server" }, 10).status ~= 0 then
      return pending "lua-language-server is not installed"
    end
    local root = require("fractal.testing.sys").getcwd()
    local result = process.run({ "lua-language-server", "--check", root .. "/examples", "--configpath",
      root .. "/.luarc.json", "--checklevel", "Error" }, 120, { env = { HOME = helper.directory() } })
    assert.equal(0, result.status, result.out .. result.err)
  end)
end)
