-- Draws the sessions of docs/cookbook.md that have a picture: runs each on a real mount and writes what came, when it
-- came, as an animated SVG that needs nothing else.
--
-- Run in the source tree: luajit bindings/pictures.lua BUILD_DIR. spec/unit/pictures_spec.lua compares the pictures
-- with the sessions.

package.path = "./?.lua;./lua/?.lua;" .. package.path
local markdown = require "spec.markdown"
local sys = require "fractal.testing.sys"

local DOCUMENT = "docs/cookbook.md"
local pictures = {}

-- ---- a session, really run ----------------------------------------------------------------------------------

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function replaced(text, what, by)
  return (text:gsub(what:gsub("%p", "%%%0"), (by:gsub("%%", "%%%%"))))
end

--- Where a session runs: { dir, mnt, build }.
local Place = {}
Place.__index = Place

function Place.new(build, files)
  local pipe = io.popen "mktemp -d"
  local dir = pipe:read "*l"
  pipe:close()
  local self = setmetatable({ dir = dir, mnt = dir .. "-mnt", build = sys.getcwd() .. "/" .. build }, Place)
  assert(sys.mkdir(self.mnt, "755"))
  for name, text in pairs(files) do
    local file = assert(io.open(dir .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end
  return self
end

--- The command with the document's paths made real, and a text with the document's paths.
function Place:real(text)
  return (text:gsub("/mnt", self.mnt):gsub("/srv", self.dir):gsub("examples/", sys.getcwd() .. "/examples/"))
end

function Place:pretty(text)
  return replaced(replaced(text, self.mnt, "/mnt"), self.dir, "/srv")
end

--- Starts a filesystem and waits for its line; returns that.
function Place:mount(command)
  local log = self.dir .. "-log"
  local line = ("%s/%s"):format(self.build, self:real(command):gsub(" &$", ""))
  assert(os.execute(("%s >%s 2>&1 &"):format(line, log)) == 0)
  for _ = 1, 200 do
    local file = io.open(log)
    local text = file and file:read "*a" or ""
    if file then file:close() end
    if text:find "\n" then
      return text:match "^[^\n]*"
    end
    sys.sleep(0.02)
  end
  error(command .. " did not mount")
end

--- Runs a command; returns its lines as { seconds since it began, text }.
function Place:run(command)
  local begun, lines = sys.clock "monotonic", {}
  local pipe = io.popen(("cd %s && bash -c %s 2>&1"):format(self.dir, quoted(self:real(command))))
  for line in pipe:lines() do
    lines[#lines + 1] = { sys.clock "monotonic" - begun, self:pretty(line) }
  end
  pipe:close()
  return lines
end

function Place:clear()
  os.execute(("umount -q %s; rm -rf %s %s %s-log"):format(self.mnt, self.dir, self.mnt, self.dir))
end

local TYPING, READING = 0.8, 0.9 -- seconds before and behind a command

--- What appears in the terminal: { at (seconds), text, command (true for a line that was typed) }.
function pictures.record(session, build)
  local place, now, out = Place.new(build, session.files), 0, {}
  local ok, err = pcall(function()
    for _, step in ipairs(session.steps) do
      now = now + TYPING
      out[#out + 1] = { at = now, text = step.command, command = true }
      local lines = step.command:find "^fractal%-lua .*&$" and { { 0.1, place:pretty(place:mount(step.command)) } }
        or place:run(step.command)
      for _, line in ipairs(lines) do
        out[#out + 1] = { at = now + line[1], text = line[2] }
      end
      now = now + (lines[#lines] or { 0 })[1] + (#lines > 0 and READING or 0)
    end
  end)
  place:clear()
  assert(ok, err)
  return out
end

-- ---- drawing ------------------------------------------------------------------------------------------------

local COLUMN, ROW, MARGIN, WIDTH = 8.4, 20, 16, 96

local head = [[
<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 %d %d" font-family="monospace" font-size="14">
<style>
text { fill: #c9d1d9 }
.c { fill: #fff; font-weight: bold }
.p { fill: #7ee787 }
@keyframes show { from { visibility: hidden } to { visibility: visible } }
@media (prefers-reduced-motion: no-preference) { text { animation: show 0s both } }
</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
]]

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

local function escaped(text)
  return (text:gsub("[&<>]", entities):gsub("\t", "    "))
end
pictures.escaped = escaped

--- The picture of what a session showed.
function pictures.draw(lines)
  local out = { head:format(WIDTH * COLUMN + 2 * MARGIN, #lines * ROW + 2 * MARGIN) }
  for i, line in ipairs(lines) do
    local text = escaped(line.text)
    if line.command then
      text = ('<tspan class="p">$ </tspan><tspan class="c">%s</tspan>'):format(text)
    end
    out[#out + 1] = ('<text x="%d" y="%d" style="animation-delay:%.2fs">%s</text>\n'):format(MARGIN,
      MARGIN + i * ROW - 6, line.at, text)
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out)
end

--- The sessions that have a picture.
function pictures.sessions()
  local list = {}
  for _, session in ipairs(markdown.sessions(DOCUMENT)) do
    if session.picture then
      list[#list + 1] = session
    end
  end
  return list
end

if arg and arg[0] and arg[0]:find "bindings/pictures%.lua$" then
  local build = arg[1] or error "usage: luajit bindings/pictures.lua BUILD_DIR"
  for _, session in ipairs(pictures.sessions()) do
    local file = assert(io.open("docs/" .. session.picture, "wb"))
    file:write(pictures.draw(pictures.record(session, build)))
    file:close()
  end
end

return pictures
