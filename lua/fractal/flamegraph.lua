--- Draws folded stacks ("frame;frame;frame SAMPLES" on each line) as a flame graph: one SVG file that needs nothing
-- else. A frame's width is its share of the samples; what it called stands above it. Hovering tells the share, a click
-- makes a frame the whole width, "search" marks frames by their names.

local flamegraph = {}

local WIDTH, ROW, MARGIN, HEAD, FOOT = 1200, 17, 10, 34, 24
local NARROWEST = 0.3 -- of a pixel: what is less is left out
local LETTER = 6.6    -- pixels

-- ---- the tree -------------------------------------------------------------------------------------------------

local function child_of(node, name)
  local child = node.by_name[name]
  if not child then
    child = { name = name, samples = 0, by_name = {}, children = {} }
    node.by_name[name] = child
    node.children[#node.children + 1] = child
  end
  return child
end

--- Reads folded stacks into a tree: { name, samples, children = list, the one of most samples first }.
function flamegraph.parse(text)
  local root = { name = "all", samples = 0, by_name = {}, children = {} }
  for stack, samples in text:gmatch("([^\n]*) (%d+)\n?") do
    local node = root
    samples = tonumber(samples)
    root.samples = root.samples + samples
    for name in stack:gmatch("[^;]+") do
      node = child_of(node, name)
      node.samples = node.samples + samples
    end
  end
  local function sort(node)
    table.sort(node.children, function(a, b)
      return a.samples ~= b.samples and a.samples > b.samples or a.samples == b.samples and a.name < b.name
    end)
    for _, child in ipairs(node.children) do
      sort(child)
    end
  end
  sort(root)
  return root
end

-- ---- text in XML ------------------------------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- Bytes that XML does not allow, or that may be no UTF-8, become question marks.
local function xml(text)
  return (text:gsub("[%z\1-\31\127-\255]", "?"):gsub('[&<>"]', ENTITIES))
end

-- ---- drawing ----------------------------------------------------------------------------------------------------

-- The library's own frames are cold, the script's warm, what is no function is grey; one name has one shade.
local function colour(name)
  local hash = 0
  for i = 1, #name do
    hash = (hash * 31 + name:byte(i)) % 1009
  end
  local shade = hash / 1009
  if name == "all" or name:find("^%(") or name:find("^worker %d+$") then
    return ("hsl(0,0%%,%d%%)"):format(74 + 8 * shade)
  elseif name:find("^fractal/") or name:find("^fractal%.") then
    return ("hsl(%d,45%%,%d%%)"):format(190 + 40 * shade, 68 + 8 * shade)
  end
  return ("hsl(%d,85%%,%d%%)"):format(10 + 40 * shade, 60 + 8 * shade)
end

local function depth_of(node)
  local depth = 0
  for _, child in ipairs(node.children) do
    depth = math.max(depth, depth_of(child))
  end
  return depth + 1
end

local FRAME = '<g><title>%s: %d samples, %.1f %%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
  .. '<text x="%.1f" y="%d">%s</text></g>'

-- Appends a frame that begins at `x` pixels, and what it called, to the list of elements.
local function draw(out, node, x, y, scale, total)
  local width = node.samples * scale
  if width < NARROWEST then
    return
  end
  local name = xml(node.name)
  local letters = math.floor((width - 4) / LETTER)
  local shown = letters < 3 and "" or #node.name <= letters and name or xml(node.name:sub(1, letters - 2)) .. ".."
  out[#out + 1] = FRAME:format(name, node.samples, 100 * node.samples / total, x, y, width, ROW - 1, colour(node.name),
    x + 3, y + 12, shown)
  for _, child in ipairs(node.children) do
    draw(out, child, x, y - ROW, scale, total)
    x = x + child.samples * scale
  end
end

-- Clicks and the search. Frames keep their first place in data of their own.
local SCRIPT = [[
var frames = Array.from(document.querySelectorAll("#frames g")), left = LEFT, full = FULL;
frames.forEach(function (g) {
  var r = g.querySelector("rect");
  g.at = { x: +r.getAttribute("x"), w: +r.getAttribute("width"), y: +r.getAttribute("y") };
  g.label = g.querySelector("title").textContent;
  g.onclick = function () { zoom(g.at); };
});
function zoom(to) {
  frames.forEach(function (g) {
    var r = g.querySelector("rect"), t = g.querySelector("text"), around = g.at.y > to.y;
    var x = Math.max(g.at.x, to.x), w = Math.min(g.at.x + g.at.w, to.x + to.w) - x, scale = full / to.w;
    g.style.display = w > 0.01 ? "" : "none";
    g.style.opacity = around ? 0.5 : 1;
    w *= scale; x = left + (x - to.x) * scale;
    r.setAttribute("x", x); r.setAttribute("width", Math.max(w, 0)); t.setAttribute("x", x + 3);
    var name = g.label.replace(/: \d+ samples.*$/, ""), n = Math.floor((w - 4) / LETTER);
    t.textContent = n < 3 ? "" : name.length <= n ? name : name.slice(0, n - 2) + "..";
  });
}
function search() {
  var what = prompt("Part of a frame's name (nothing: no marks)", ""), sum = 0, end = -1;
  if (what === null) return;
  var found = frames.filter(function (g) {
    var hit = what !== "" && g.label.replace(/: \d+ samples.*$/, "").indexOf(what) >= 0;
    g.querySelector("rect").style.fill = hit ? "#d0f" : "";
    return hit;
  });
  found.sort(function (a, b) { return a.at.x - b.at.x || b.at.w - a.at.w; }).forEach(function (g) {
    if (g.at.x >= end - 0.05) { sum += g.at.w; end = g.at.x + g.at.w; }
  });
  document.getElementById("found").textContent =
    what === "" ? "" : "\"" + what + "\": " + (100 * sum / full).toFixed(1) + " %";
}
document.getElementById("search").onclick = search;
document.getElementById("whole").onclick = function () { zoom({ x: left, w: full, y: 1e9 }); };
]]

--- The flame graph of a tree, as the text of an SVG file.
function flamegraph.draw(root, title)
  local height = HEAD + depth_of(root) * ROW + FOOT
  local full = WIDTH - 2 * MARGIN
  local frames = {}
  if root.samples > 0 then
    draw(frames, root, MARGIN, height - FOOT - ROW, full / root.samples, root.samples)
  end
  local code = SCRIPT:gsub("LETTER", LETTER):gsub("LEFT", MARGIN):gsub("FULL", full)
  return ([=[
<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">
<style>
text { font: 11px monospace } g { cursor: pointer } #frames g:hover rect { stroke: #000 } .word { fill: #06c }
</style>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="20" style="font-size: 15px">%s: %s</text>
<g class="word"><text id="whole" x="%d" y="20">whole</text><text id="search" x="%d" y="20">search</text></g>
<text id="found" x="%d" y="%d"></text>
<g id="frames">
%s
</g>
<script><![CDATA[
%s]]></script>
</svg>
]=]):format(WIDTH, height, WIDTH, height, MARGIN, xml(title), root.samples == 0 and "no samples"
    or root.samples .. " samples", WIDTH - 110, WIDTH - 60, MARGIN, height - 8, table.concat(frames, "\n"), code)
end

return flamegraph
