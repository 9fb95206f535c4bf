--- The documents against the code: names, settings, options, links. Their code blocks are run by
-- spec/mount/docs_spec.lua.

local advice = require "fractal.advice"
local annotations = require "bindings.annotations"
local fractal = require "fractal"
local helper = require "spec.helper"
local markdown = require "spec.markdown"
local ops = require "fractal.ops"
local process = require "spec.process"

local reference = process.read_file("docs/reference.md")
local submodules, internal = annotations.submodules, annotations.internal
-- Operations that the library turns into calls of another one's handler, or handles itself.
local without_handler = { "batch_forget", "rename2", "setlkw", "copy_file_range_64", "interrupt", "notify_reply" }

local function quoted(text)
  return (text:gsub("%p", "%%%0"))
end

local settings_that_are_no_numbers = {
  name = "x", subtype = "x", state = "single", transport = "auto", options = {}, mount = {},
}

-- Fails with the list where it is not empty.
local function assert_none(list, what)
  table.sort(list)
  assert.equal(0, #list, what .. ": " .. table.concat(list, ", "))
end

-- Known to a running worker only.
local at_run_time = { ["fractal.worker.id"] = true, ["fractal.worker.count"] = true }

-- What "fractal.io.open" names below a table; nil where a part of the name leads nowhere.
local function field(value, name)
  for part in name:gmatch("[%w_]+") do
    if type(value) ~= "table" then
      return nil
    end
    value = part == "NAME" and true or value[part]
  end
  return value
end

-- What "fractal.io.open" or "fractal.testing.mount" names: a field of the package, a module, or a field of a module.
local function resolve(name)
  if at_run_time[name] then
    return true
  end
  local value, module, rest = field(fractal, name:gsub("^fractal%.", "")), name, ""
  while value == nil and module ~= "fractal" do
    local ok, found = pcall(require, module)
    value = ok and field(found, rest) or nil
    module, rest = module:match("^(.*)%.([^.]*)$")
  end
  return value
end

describe("the reference", function()
  it("names nothing that does not exist", function()
    local wrong = {}
    for _, path in ipairs(markdown.documents()) do
      for name in process.read_file(path):gmatch("%f[%w_]fractal%.[%w_.]+") do
        name = name:gsub("%.+$", "")
        if not name:find("^fractal%.[ch]$") and resolve(name) == nil then
          wrong[#wrong + 1] = ("%s (%s)"):format(name, path)
        end
      end
    end
    assert_none(wrong, "there is no")
  end)

  it("has every function of the package", function()
    local missing = {}
    local function look(prefix, from)
      for name, value in pairs(from) do
        local documented = internal[prefix .. name] or reference:find("%f[%w_]" .. quoted(prefix .. name) .. "%f[^%w_]")
        if type(value) == "function" and not documented then
          missing[#missing + 1] = prefix .. name
        end
      end
    end
    look("fractal.", fractal)
    for _, module in ipairs(submodules) do
      look(("fractal.%s."):format(module), fractal[module])
    end
    assert_none(missing, "the reference does not mention")
  end)

  it("tells where each function of fractal.io runs", function()
    local places = { ["the worker's ring"] = "ring", ["a thread"] = "thread", ["here"] = "here" }
    local told = {}
    for title, place in pairs(places) do
      local row = process.read_file("docs/waiting.md"):match("\n| " .. title .. "[^|]*|([^\n]*)|\n")
      for name in (row or ""):gmatch("`([%w_]+)`") do
        told[name] = place
      end
    end
    assert.same(require("fractal.io_calls").WHERE, told)
    for name, value in pairs(fractal.io) do
      if type(value) == "function" then
        assert.truthy(told[name], name)
      end
    end
  end)

  it("has every submodule of the package", function()
    local missing = {}
    for name, value in pairs(fractal) do
      if type(value) == "table" and not reference:find("fractal%." .. name .. "%f[^%w_]") then
        missing[#missing + 1] = name
      end
    end
    assert_none(missing, "the reference does not mention")
  end)

  it("has every constant of the package", function()
    local missing = {}
    for name, value in pairs(fractal) do
      if type(value) == "number" and not reference:find("`fractal%." .. name .. "`") then
        missing[#missing + 1] = name
      end
    end
    assert_none(missing, "the reference does not mention")
  end)

  it("has every handler, and no other", function()
    local missing, wrong, known = {}, {}, { prepare = true, reload = true, init = true, destroy = true, flock = true }
    for _, row in ipairs(ops) do
      known[row.name] = true
    end
    for _, name in ipairs(without_handler) do
      known[name] = nil
    end
    for name in pairs(known) do
      if not reference:find("`fs%." .. name .. "%(") then
        missing[#missing + 1] = name
      end
    end
    for name in reference:gmatch("`fs%.([%w_]+)%(") do
      if not known[name] then
        wrong[#wrong + 1] = name
      end
    end
    assert_none(missing, "the reference does not mention")
    assert_none(wrong, "there is no handler")
  end)

  it("has every handler by path", function()
    for name, arguments in pairs(advice.pathfs) do
      local signature = ("`%s(%s)`"):format(name, arguments)
      assert.is_truthy(reference:find(signature, 1, true), signature)
    end
  end)

  it("has the handlers' arguments as the hints tell them", function()
    for name, arguments in pairs(advice.lowlevel) do
      local signature = ("`fs.%s(%s)`"):format(name, arguments)
      assert.is_truthy(reference:find(signature, 1, true), signature)
    end
    for signature in reference:gmatch("\n| `fs%.([%w_]+%([^)]*%))`") do
      local name, arguments = signature:match("^([%w_]+)%((.*)%)$")
      assert.equal(arguments, advice.lowlevel[name], name)
    end
  end)

  it("lists settings that exist", function()
    local count = 0
    local rows = reference:match("\n## Filesystems and settings\n(.-)\n## ")
    for name in rows:gmatch("\n| `([%w_]+)` |") do
      local value = settings_that_are_no_numbers[name] or 1
      assert.has_no.errors(function() fractal.lowlevel { [name] = value } end)
      count = count + 1
    end
    assert.is_true(count >= 15)
  end)

  it("has every method of views", function()
    for method in process.read_file("lua/fractal/view.lua"):gmatch("\nfunction methods%.([%w_]+)") do
      assert.is_truthy(reference:find("`v:" .. method .. "%("), method)
    end
  end)
end)

describe("the command's page", function()
  local help

  setup(function() help = helper.run({ "--help" }).out end)

  -- Words at the beginning of the rows of a table under a heading.
  local function rows(heading)
    local text = process.read_file("docs/command.md"):match("\n##+ " .. quoted(heading) .. "\n(.-)\n##")
    local list = {}
    for cell in assert(text, heading):gmatch("\n| ([^|]+) |") do
      for word in cell:gmatch("`([^`]+)`") do
        list[#list + 1] = word
      end
    end
    return list
  end

  local function names(list)
    local set = {}
    for _, word in ipairs(list) do
      set[word:match("^[%w_-]+")] = true
    end
    return set
  end

  local function compare(documented, offered)
    local missing, wrong = {}, {}
    for name in pairs(offered) do
      if not documented[name] then
        missing[#missing + 1] = name
      end
    end
    for name in pairs(documented) do
      if not offered[name] then
        wrong[#wrong + 1] = name
      end
    end
    assert_none(missing, "the page does not have")
    assert_none(wrong, "the command does not have")
  end

  it("has the command line's words", function()
    local offered = {}
    for line in help:match("\n\n.-\n\n(.-)\n\n"):gmatch("[^\n]+") do
      for word in line:sub(1, 21):gmatch("%-%-?%a[%a-]*") do
        offered[word] = true
      end
    end
    local documented = names(rows("The command line"))
    documented["-o"], offered["-o"] = nil, nil
    compare(documented, offered)
  end)

  it("has every tool", function()
    local offered = {}
    for name in help:match("\nTools [^\n]*\n(.-)\n\n"):gmatch("  (%S+)[^\n]*") do
      offered[name] = true
    end
    compare(names(rows("Tools")), offered)
  end)

  for heading, pattern in pairs {
    ["Options behind -o"] = "\nOptions behind %-o:\n(.-)\n\n",
    ["Options of mount(8)"] = "\nOf mount%(8%)[^\n]*\n(.-)\n\n",
  } do
    it("has " .. heading:lower(), function()
      local offered = {}
      for name in ("\n" .. help:match(pattern)):gmatch("\n  ([%w_]+)") do
        offered[name] = true
      end
      compare(names(rows(heading)), offered)
    end)
  end
end)

describe("the documents", function()
  local our_directories = "src bindings lua examples docs spec bench scripts packaging"

  it("link to what exists", function()
    local wrong = {}
    for _, path in ipairs(markdown.documents()) do
      local directory = path:match("^(.*/)") or ""
      for _, link in ipairs(markdown.links(path)) do
        local file, anchor = link.target:match("^([^#]*)#?(.*)$")
        local target = file == "" and path or directory .. file
        target = target:gsub("[^/]+/%.%./", "")
        local exists = process.read_file(target) ~= "" or file:find("^https?:")
        if not exists or (anchor ~= "" and not markdown.anchors(target)[anchor]) then
          wrong[#wrong + 1] = ("%s:%d %s"):format(path, link.line, link.target)
        end
      end
    end
    assert_none(wrong, "these links lead nowhere")
  end)

  it("are all in the index", function()
    local linked, missing = {}, {}
    for _, link in ipairs(markdown.links("docs/README.md")) do
      linked["docs/" .. link.target] = true
    end
    for _, path in ipairs(markdown.documents()) do
      if path:find("^docs/") and path ~= "docs/README.md" and not linked[path] then
        missing[#missing + 1] = path
      end
    end
    assert_none(missing, "docs/README.md does not link to")
  end)

  it("name files that exist", function()
    local wrong = {}
    for _, path in ipairs(markdown.documents()) do
      for name in markdown.prose(path):gmatch("`([%w_/.-]+/[%w_.-]+%.%w+)`") do
        local directory = name:match("^(%l+)/")
        if directory and our_directories:find(directory, 1, true) and process.read_file(name) == "" then
          wrong[#wrong + 1] = ("%s (%s)"):format(name, path)
        end
      end
    end
    assert_none(wrong, "these files do not exist")
  end)

  it("count the lines of their filesystems right", function()
    local counted = 0
    for _, path in ipairs(markdown.documents()) do
      for _, block in ipairs(markdown.blocks(path)) do
        local claimed = block.mark == "file" and block.argument:match(", (%d+) lines")
        if claimed then
          assert.equal(tonumber(claimed), #block.lines, path)
          counted = counted + 1
        end
      end
    end
    assert.is_truthy(process.read_file("README.md"):find("filesystem in 12 lines", 1, true))
    assert.equal(1, counted)
  end)

  it("name the specs that prove what need not be debugged", function()
    local rows = process.read_file("README.md"):match("\n### What you will not have to debug\n(.-)\n## ")
    local count = 0
    for row in rows:gmatch("\n|([^\n]+)") do
      for name in row:match("|([^|]*)|$"):gmatch("`([%w_.]+)`") do
        local path = name:find("%.c$") and "spec/c/" .. name or ("spec/mount/%s.lua"):format(name)
        assert.is_true(process.read_file(path) ~= "", path)
        count = count + 1
      end
    end
    assert.is_true(count >= 15)
  end)
end)
