--- `fractal-lua unpack`: the package as Lua files, for programs outside of the command.

local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"
local tool = require "fractal.tool"

-- Makes a directory and those above it.
local function make_directory(path)
  local made, err = sys.mkdir(path, "755")
  if not made and err == "ENOENT" and path:find("[^/]/+[^/]") then
    make_directory(path:match("^(.*[^/])/+[^/]+$"))
    made, err = sys.mkdir(path, "755")
  end
  if not made and err ~= "EEXIST" then
    tool.fail("the directory %s cannot be made: %s", path, err)
  end
end

--- Writes every embedded module below a directory; returns how many there are.
local function write(directory)
  local modules, count = {}, 0
  for module in pairs(package.preload) do
    modules[#modules + 1] = module
  end
  table.sort(modules)
  for _, module in ipairs(modules) do
    local source = tool.source(module)
    if source then
      local name = module == "fractal" and "fractal/init" or module:gsub("%.", "/")
      local path = ("%s/%s.lua"):format(directory, name)
      make_directory(path:match("^(.*)/"))
      local ok, why = pcall(process.write_file, path, source)
      if not ok then
        tool.fail("cannot write %s", why)
      end
      count = count + 1
    end
  end
  return count
end

return {
  summary = "write the Lua package as files, for tests outside of the command",
  usage = "DIR",
  text = [[
Writes the package fractal, as this command has it inside, below DIR. LuaJIT and busted find it there with
LUA_PATH="DIR/?.lua;DIR/?/init.lua;;". What needs a mount to run in, such as fractal.notify, works in the command
only.]],
  words = { 1, 1 },
  write = write,
  run = function(_, words)
    local count = write(words[1])
    io.write(('wrote %d modules below %s\nexport LUA_PATH="%s/?.lua;%s/?/init.lua;;"\n'):format(count, words[1],
      words[1], words[1]))
  end,
}
