--- `fractal-lua new`: writes a filesystem to begin with.

local tool = require "fractal.tool"

local TEMPLATES = { "hello" }

-- Writes a template's text with the filesystem's name in it.
local function write(path, module, name)
  local text = tool.source("fractal.templates." .. module):gsub("NAME", name)
  local file, reason = io.open(path, "wb")
  if not file then
    tool.fail("cannot write %s", reason)
  end
  file:write(text)
  file:close()
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

local function run(options, words)
  local base = words[1]:gsub("%.lua$", "")
  local name = base:match("([^/]*)$")
  if not name:find("^%a[%w_-]*$") then
    tool.refuse('"%s" is no name for a filesystem: begin with a letter, then letters, digits, "_" or "-"', name)
  end
  local script = base .. ".lua"
  if exists(script) then
    tool.fail("%s is already there: choose another name, or remove it", script)
  end
  write(script, options.template, name)
  io.write(([[
wrote %s

Try:
  mkdir -p /tmp/%s && fractal-lua %s /tmp/%s     mounts it; Ctrl-C ends it
  fractal-lua --check %s     lists its handlers, and what is missing
]]):format(script, name, script, name, script))
end

return {
  summary = "write a filesystem to begin with",
  usage = "NAME [options]",
  text = "Writes NAME.lua, a filesystem to change into your own. Nothing is overwritten.",
  options = {
    { "template", short = "t", value = "KIND", choices = TEMPLATES, default = "hello", help = "what to begin with" },
  },
  words = { 1, 1 },
  run = run,
}
