-- What `fractal-lua --help` says, as tables: from it the manual page and the completions of the shells are made
-- (packaging/generate.lua), and docs/options.md (bindings/documents.lua).

local help = {}

-- Beginnings of the headings in the command's help → names of the sections here.
local headings = {
  ["Options behind -o"] = "session",
  ["Of mount(8)"] = "mount",
  ["What to ask of the kernel"] = "capabilities",
  ["Tools"] = "tools",
}

local function section_name(line)
  for heading, name in pairs(headings) do
    if line:sub(1, #heading) == heading then
      return name
    end
  end
end

--- One line of the command line's words: "  -o OPT[,OPT...]    options, see below". Returns { short, long, argument,
-- optional (the argument may be left out), doc }, or nil for another kind of line.
local function word(line)
  local short, rest = line:match "^ +%-(%a)(.*)$"
  local long, behind = (rest or line):match "^,? +%-%-([%w-]+)(.*)$"
  if not (short or long) then
    return nil
  end
  rest = behind or rest
  local optional, doc = rest:match "^%[=(%S-)%] +(.*)$"
  local argument = optional
  if not argument then
    argument, doc = rest:match "^ (%u[%u%[%],.]*) +(.*)$"
  end
  return { short = short, long = long, argument = argument, optional = optional ~= nil,
    doc = doc or rest:match "^ +(.*)$" }
end

--- One line of a table: "  workers=N    threads that serve". Returns { name, argument, doc }.
local function row(line)
  local name, argument, doc = line:match "^  ([%w_-]+)=?(%S*) +(.*)$"
  return name and { name = name, argument = argument ~= "" and argument or nil, doc = doc }
end

--- Reads the text of `fractal-lua --help`: { words, tools, session, mount, capabilities }, each a list of rows.
function help.read(text)
  local model = { words = {}, tools = {}, session = {}, mount = {}, capabilities = {} }
  local rows
  for line in text:gmatch "[^\n]+" do
    if not line:find "^ " then
      rows = section_name(line)
    elseif rows then
      table.insert(model[rows], row(line))
    else
      table.insert(model.words, word(line))
    end
  end
  return model
end

--- Reads the options in the text of `fractal-lua TOOL --help`, in which "--[no-]name" stands for two.
function help.read_tool(text)
  local words = {}
  for line in text:gmatch "[^\n]+" do
    table.insert(words, word((line:gsub("%-%-%[no%-%]", "--"))))
    local negated = line:match "^ +.-%-%-%[no%-%]([%w-]+)"
    if negated then
      table.insert(words, { long = "no-" .. negated, doc = "without it" })
    end
  end
  return words
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  assert(pipe:close(), command)
  return text
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Asks a built command: the tables of its help, its version, and usage and options (words) of each of its tools.
function help.ask(command)
  local model = help.read(output_of(quoted(command) .. " --help"))
  for _, tool in ipairs(model.tools) do
    local text = output_of(("%s %s --help"):format(quoted(command), tool.name))
    tool.usage, tool.words = text:match "^Usage: ([^\n]+)", help.read_tool(text)
  end
  model.version = output_of(quoted(command) .. " --version"):match "^fractal%-lua ([%d.]+)"
  return model
end

--- The words an option's value may be, from "auto|uring|dev"; nil for other arguments.
function help.choices(option)
  if not (option.argument and option.argument:find("|", 1, true)) then
    return nil
  end
  local list = {}
  for choice in option.argument:gmatch "[^|]+" do
    list[#list + 1] = choice
  end
  return list
end

return help
