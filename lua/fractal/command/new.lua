--- `fractal-lua new`: writes a filesystem to begin with, and its spec, from fractal/templates.

local sys = require "fractal.testing.sys"
local tool = require "fractal.tool"

--- What to begin with, and what has to stand behind -o.
local TEMPLATES = {
  { "hello", "one file that can be read" },
  { "memory", "a complete filesystem in memory, with a rule of its own" },
  { "passthrough", "another directory, seen through a rule", "source=SOURCE" },
  { "tree", "settings and status of a program as files" },
  { "http", "the files of a web server", "url=http://127.0.0.1:8000" },
}

local choices, described, options_of = {}, {}, {}
for i, row in ipairs(TEMPLATES) do
  choices[i] = row[1]
  described[i] = ("  %-12s %s"):format(row[1], row[2])
  options_of[row[1]] = row[3]
end

-- Writes a template's text with the filesystem's name in it.
local function write(path, module, name)
  local text = tool.source("fractal.templates." .. module):gsub("%f[%w]NAME%f[%W]", name)
  local file, reason = io.open(path, "wb")
  if not file then
    tool.fail("cannot write %s", reason)
  end
  file:write(text)
  file:close()
end

local function run(options, words)
  local base = words[1]:gsub("%.lua$", "")
  local name = base:match("([^/]*)$")
  if not name:find("^%a[%w_-]*$") then
    tool.refuse('"%s" is no name for a filesystem: begin with a letter, then letters, digits, "_" or "-"', name)
  end
  local script, spec = base .. ".lua", base .. "_spec.lua"
  for _, path in ipairs { script, spec } do
    if sys.lstat(path) then
      tool.fail("%s is already there: choose another name, or remove it", path)
    end
  end
  write(script, options.template, name)
  write(spec, options.template .. "_spec", name)
  local option = options_of[options.template]
  option = option and ("-o %s "):format(option) or ""
  io.write(([[
wrote %s and %s

Next:
  fractal-lua --check %s
  mkdir -p /tmp/%s && fractal-lua %s%s /tmp/%s
  fractal-lua test %s%s
]]):format(script, spec, script, name, option, script, name, option, script))
end

return {
  summary = "write a filesystem and its spec to begin with",
  usage = "NAME [options]",
  text = ([[
Writes NAME.lua, a filesystem to change into your own, and NAME_spec.lua, which tests it. Nothing is overwritten. There
are templates to begin with:

%s]]):format(table.concat(described, "\n")),
  options = {
    { "template", short = "t", value = "KIND", choices = choices, default = "hello", help = "what to begin with" },
  },
  words = { 1, 1 },
  run = run,
}
