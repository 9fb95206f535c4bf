-- The manual page: every option of the command is in it, and groff has nothing to complain about.

local help = require "packaging.help"
local helper = require "spec.helper"
local process = require "spec.process"
local staged = require "spec.packaging.staged"

local page = staged.build .. "/packaging/fractal-lua.1"

describe("the manual page", function()
  local text

  setup(function()
    local result = process.run({ "groff", "-man", "-Tascii", "-P-cbou", "-rLL=200n", page }, 20)
    text = result.out
  end)

  after_each(helper.teardown)

  it("is formatted without a warning", function()
    local result = process.run({ "groff", "-man", "-ww", "-z", page }, 20)
    assert.same({ 0, "", "" }, { result.status, result.out, result.err })
  end)

  it("has each word of the command line with its sentence", function()
    local model = help.ask(helper.binary)
    assert.is_true(#model.words >= 10)
    for _, word in ipairs(model.words) do
      local name = word.long and "--" .. word.long or "-" .. word.short
      assert.truthy(text:find(name, 1, true), name)
      assert.truthy(text:gsub("%s+", " "):find(word.doc, 1, true), word.doc)
    end
  end)

  it("has each option, in the sections of the command's help", function()
    local model, titles = help.ask(helper.binary), {
      session = "OPTIONS BEHIND %-o", mount = "Of mount%(8%)", capabilities = "What to ask of the kernel",
    }
    for section, title in pairs(titles) do
      local part = assert(text:match("\n *" .. title .. "\n(.*)"), title)
      assert.is_true(#model[section] >= 8, section)
      for _, row in ipairs(model[section]) do
        local left = row.name .. (row.argument and "=" .. row.argument or "")
        assert.truthy(part:find("\n%s+" .. left:gsub("%p", "%%%0") .. "%s"), left)
      end
    end
  end)

  it("has each tool", function()
    for _, tool in ipairs(help.ask(helper.binary).tools) do
      assert.truthy(text:find("fractal-lua " .. tool.name, 1, true), tool.name)
    end
  end)

  it("names the version of the command", function()
    assert.truthy(text:find("fractal-lua " .. help.ask(helper.binary).version, 1, true))
  end)
end)

describe("the tables of the command's help", function()
  it("hold every row", function()
    local text = helper.run({ "--help" }).out
    local model, rows, count = help.read(text), 0, 0
    for line in text:gmatch "[^\n]+" do
      rows = rows + (line:find "^  [%w_ -]" and not line:find "^ +fractal%-lua" and 1 or 0)
    end
    for _, list in pairs(model) do
      count = count + #list
    end
    assert.equal(rows, count)
  end)

  it("tell words from their arguments", function()
    local rows = help.read(table.concat({
      "Usage: x",
      "",
      "  -b, --background   return once it is mounted",
      "      --trace[=OP,...] each request",
      "      --log FILE     append",
      "  -o OPT[,OPT...]    options",
      "",
      "Options behind -o:",
      "  workers=N     threads",
      "  pin           stay",
    }, "\n"))
    assert.same({
      { short = "b", long = "background", optional = false, doc = "return once it is mounted" },
      { long = "trace", argument = "OP,...", optional = true, doc = "each request" },
      { long = "log", argument = "FILE", optional = false, doc = "append" },
      { short = "o", argument = "OPT[,OPT...]", optional = false, doc = "options" },
    }, rows.words)
    assert.same({ { name = "workers", argument = "N", doc = "threads" }, { name = "pin", doc = "stay" } }, rows.session)
  end)

  it("have two words for an option that can be negated", function()
    assert.same({ { long = "color", optional = false, doc = "in color" }, { long = "no-color", doc = "without it" } },
      help.read_tool "      --[no-]color          in color\n")
  end)
end)
