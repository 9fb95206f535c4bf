--- `fractal-lua flamegraph`: draws folded stacks, such as --profile writes them.

local flamegraph = require "fractal.flamegraph"
local tool = require "fractal.tool"

local function read(path)
  local file, reason = io.open(path, "rb")
  local text
  if file then
    text, reason = file:read("*a")
    file:close()
  end
  return text or tool.fail("cannot read %s", reason)
end

local function write(path, text)
  local file, reason = io.open(path, "wb")
  local ok
  if file then
    ok, reason = file:write(text)
    ok = file:close() and ok
  end
  if not ok then
    tool.fail("cannot write %s", reason)
  end
end

local function run(options, words)
  local tree = flamegraph.parse(read(words[1]))
  local text = flamegraph.draw(tree, options.title or words[1]:match("([^/]*)$"))
  if options.output then
    write(options.output, text)
  else
    io.write(text)
  end
end

return {
  summary = "draw the stacks of --profile as a flame graph",
  usage = "FILE [options]",
  text = 'FILE has lines "frame;frame;frame SAMPLES". The drawing is an SVG file for a browser.',
  options = {
    { "output", short = "o", value = "FILE", help = "write it there (default: standard output)" },
    { "title", value = "TEXT", help = "what stands above it (default: the file's name)" },
  },
  words = { 1, 1 },
  run = run,
}
