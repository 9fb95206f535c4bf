--- The pictures of docs/cookbook.md against the sessions that they show. That the sessions run as written is shown by
-- spec/mount/docs_spec.lua.

local markdown = require "spec.markdown"
local pictures = require "bindings.pictures"
local process = require "spec.process"

-- Texts of a picture's lines, still escaped: "$ " in front of what was typed.
local function lines_of(svg)
  local lines = {}
  for text in svg:gmatch "<text[^>]*>(.-)</text>" do
    lines[#lines + 1] = text:gsub("<[^>]*>", "")
  end
  return lines
end

-- Transport, workers and states differ between machines.
local function neutral(line)
  return (line:gsub("^(mounted /mnt: %w+), .*$", "%1"))
end

describe("the pictures", function()
  local sessions = pictures.sessions()

  it("are there and shown", function()
    local page = process.read_file "docs/cookbook.md"
    assert.is_true(#sessions >= 2)
    for _, session in ipairs(sessions) do
      assert.truthy(page:find(("](%s)"):format(session.picture), 1, true), session.picture)
    end
  end)

  for _, session in ipairs(sessions) do
    it("show their session: " .. session.picture, function()
      local expected = {}
      for _, step in ipairs(session.steps) do
        expected[#expected + 1] = pictures.escaped("$ " .. step.command)
        for _, line in ipairs(step.expected) do
          expected[#expected + 1] = neutral(pictures.escaped(line))
        end
      end
      local shown = lines_of(process.read_file("docs/" .. session.picture))
      for i, line in ipairs(shown) do
        shown[i] = neutral(line)
      end
      assert.same(expected, shown, "run: luajit bindings/pictures.lua BUILD_DIR")
    end)

    it("are small, well-formed, and need nothing else: " .. session.picture, function()
      local svg = process.read_file("docs/" .. session.picture)
      assert.is_true(#svg < 10000)
      assert.is_nil(svg:find "href" or svg:find "url%(" or svg:find "<script")
      local open = {}
      for closing, name, self_closed in svg:gmatch "<(/?)([%w]+)[^>]-(/?)>" do
        if closing == "/" then
          assert.equal(name, table.remove(open))
        elseif self_closed == "" then
          open[#open + 1] = name
        end
      end
      assert.same({}, open)
    end)
  end

  it("escape what XML does not take", function()
    local svg = pictures.draw { { at = 0.5, text = "a < b && c > d", command = true }, { at = 1, text = "x\ty" } }
    assert.same({ "$ a &lt; b &amp;&amp; c &gt; d", "x    y" }, lines_of(svg))
    assert.truthy(svg:find("animation-delay:0.50s", 1, true))
  end)

  it("belong to sessions", function()
    local known = {}
    for _, path in ipairs(markdown.documents()) do
      for _, session in ipairs(markdown.sessions(path)) do
        known[session.picture or ""] = true
      end
    end
    for name in io.popen "ls docs/pictures":lines() do
      assert.is_true(known["pictures/" .. name], name)
    end
  end)
end)
