-- fractal.flamegraph: from folded stacks to a drawing.

local flamegraph = require "fractal.flamegraph"

describe("a flame graph", function()
  local folded = "a;b;c 3\na;b 1\na;d 6\ne 10\n"

  local function child(node, name)
    return node.by_name[name] or error("no frame " .. name)
  end

  it("adds up stacks that begin alike", function()
    local root = flamegraph.parse(folded)
    local a = child(root, "a")
    assert.equal(20, root.samples)
    assert.equal(10, a.samples)
    assert.equal(4, child(a, "b").samples)
    assert.equal(3, child(child(a, "b"), "c").samples)
    assert.equal("d", a.children[1].name)
    assert.equal("b", a.children[2].name)
  end)

  it("gives each frame its share of the width, above its caller", function()
    local svg = flamegraph.draw(flamegraph.parse(folded), "title")
    local function place(name)
      local x, y, width = svg:match("<title>" .. name .. ': [^<]*</title><rect x="([%d.]+)" y="(%d+)" width="([%d.]+)"')
      return tonumber(x), tonumber(y), tonumber(width)
    end
    local x, y, width = place "all"
    local ax, ay, a_width = place "a"
    local bx, by, b_width = place "b"
    local _, _, c_width = place "c"
    assert.same({ width / 2, width * 0.2, width * 0.15 }, { a_width, b_width, c_width })
    assert.is_true(y > ay and ay > by)
    assert.is_true(ax >= x and bx + b_width <= ax + a_width + 0.1)
    assert.truthy(svg:find("<title>a: 10 samples, 50.0 %%</title>"))
  end)

  it("leaves out what would not be seen", function()
    local svg = flamegraph.draw(flamegraph.parse("wide 1000000\nnarrow 1\n"), "")
    assert.truthy(svg:find("<title>wide", 1, true))
    assert.falsy(svg:find("<title>narrow", 1, true))
  end)

  it("takes any name", function()
    local svg = flamegraph.draw(flamegraph.parse('<&">\255\1x.lua:f g 5\n'), "<title> & more")
    assert.truthy(svg:find("<title>&lt;&amp;&quot;&gt;??x.lua:f g: 5 samples", 1, true), svg)
    assert.truthy(svg:find("&lt;title&gt; &amp; more: 5 samples", 1, true))
  end)

  it("of nothing says so", function()
    assert.truthy(flamegraph.draw(flamegraph.parse(""), "quiet"):find("quiet: no samples", 1, true))
  end)
end)
