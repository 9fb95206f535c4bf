--- Command-line tools: `fractal-lua NAME …` runs the module fractal.command.NAME, without a mount.
--
--   local tool = require "fractal.tool"
--   return {                                              -- lua/fractal/command/greet.lua
--     summary = "greet somebody",                         -- the line in `fractal-lua --help`
--     usage = "WHO [options]",
--     text = "A few lines more, for `fractal-lua greet --help`.",
--     options = {
--       { "loud", short = "l", help = "in capitals" },
--       { "times", value = "N", number = true, default = 1, help = "how often" },
--     },
--     words = { 1, 1 },                                   -- how many words it takes besides (math.huge: any number)
--     run = function(options, words)
--       if words[1] == "nobody" then tool.fail("there is nobody to greet") end
--       …
--     end,
--   }
--
-- Rows of options: { name, help = sentence } for a switch, and besides short (a letter), value (what stands for its
-- value in the help), number (the value must be one), choices (a list of the values it may have), many (it may be
-- repeated: the list of its values), default, no (`--no-NAME` sets it to false).
--
-- The exit status is 0, or what run returns where that is a number; 1 after tool.fail; 2 after a wrong command line.

local filesystem = require "fractal.filesystem"
local libc = require "fractal.libc"
local ffi = require "ffi"

local tool = {}

local PREFIX = "fractal.command."
local help_option = { "help", short = "h", help = "this text" }

-- ---- ends ---------------------------------------------------------------------------------------------------

-- What a tool raises to end with a sentence: { text, status }.
local Failure = {}

--- Ends the tool with a sentence on standard error and exit status 1.
function tool.fail(fmt, ...)
  error(setmetatable({ text = fmt:format(...), status = 1 }, Failure), 0)
end

--- The same for a wrong command line: status 2.
function tool.refuse(fmt, ...)
  error(setmetatable({ text = fmt:format(...), status = 2 }, Failure), 0)
end

--- What tool.fail and tool.refuse raised, as { text, status }; nil for any other error.
function tool.failure(raised)
  return getmetatable(raised) == Failure and raised or nil
end

-- ---- where it runs --------------------------------------------------------------------------------------------

--- The path of the running command, to start it again.
function tool.binary()
  local path = ffi.new("char[4096]")
  local n = libc.C.readlinkat(libc.AT_FDCWD, "/proc/self/exe", path, 4096)
  return n > 0 and ffi.string(path, n) or tool.fail("/proc/self/exe cannot be read: mount /proc")
end

--- The source text of an embedded module, or nil.
function tool.source(module)
  return require "fractal.embedded"(module)
end

-- ---- the command line -------------------------------------------------------------------------------------------

local function option_rows(definition)
  local rows = { unpack(definition.options or {}) }
  rows[#rows + 1] = help_option
  return rows
end

-- Names (with --no-NAME and letters) → { row, value to set where it takes none }.
local function option_names(rows)
  local names = {}
  for _, row in ipairs(rows) do
    names["--" .. row[1]] = { row = row, value = true }
    if row.no then
      names["--no-" .. row[1]] = { row = row, value = false }
    end
    if row.short then
      names["-" .. row.short] = names["--" .. row[1]]
    end
  end
  return names
end

local function checked_value(row, name, text)
  if row.number then
    return tonumber(text) or tool.refuse("%s %s: give a number", name, text)
  end
  for _, choice in ipairs(row.choices or { text }) do
    if choice == text then
      return text
    end
  end
  tool.refuse("%s %s: choose one of %s", name, text, table.concat(row.choices, ", "))
end

local function store(options, row, value)
  if row.many then
    options[row[1]] = options[row[1]] or {}
    table.insert(options[row[1]], value)
  else
    options[row[1]] = value
  end
end

-- One option at arguments[i]; returns the index of the last argument that belongs to it.
local function take_option(options, names, arguments, i)
  local name, given = arguments[i]:match("^(%-%-[^=]+)=(.*)$")
  if not name then
    name, given = arguments[i]:match("^(%-%-.+)$") or arguments[i]:sub(1, 2), nil
    if #name == 2 and #arguments[i] > 2 then
      given = arguments[i]:sub(3)
    end
  end
  local known = names[name]
  if not known then
    local near = #name > 2 and filesystem.nearest(name, names)
    tool.refuse("unknown option %s%s", name, near and (": did you mean %s?"):format(near) or "")
  end
  if not (known.row.value and known.value) then
    if given then
      tool.refuse("%s takes no value", name)
    end
    store(options, known.row, known.value)
    return i
  end
  if not given then
    i = i + 1
    given = arguments[i] or tool.refuse("%s needs a value", name)
  end
  store(options, known.row, checked_value(known.row, name, given))
  return i
end

--- Reads the command line of a tool: returns its options by name and its words, or nil when only help was asked for.
-- "--" ends the options.
function tool.parse(definition, arguments)
  local options, words, rows = {}, {}, option_rows(definition)
  local names, i = option_names(rows), 1
  while i <= #arguments do
    local argument = arguments[i]
    if argument == "--" then
      for j = i + 1, #arguments do
        words[#words + 1] = arguments[j]
      end
      break
    elseif argument:find("^%-.") then
      i = take_option(options, names, arguments, i)
    else
      words[#words + 1] = argument
    end
    i = i + 1
  end
  if options.help then
    return nil
  end
  local least, most = unpack(definition.words or { 0, 0 })
  if #words < least then
    tool.refuse("too few words: %s", definition.usage)
  elseif #words > most then
    tool.refuse('one word too many: "%s"', words[most + 1])
  end
  for _, row in ipairs(rows) do
    if options[row[1]] == nil then
      options[row[1]] = row.default
    end
  end
  return options, words
end

--- The text of `fractal-lua NAME --help`.
function tool.help(name, definition)
  local lines = { ("Usage: fractal-lua %s %s\n"):format(name, definition.usage or "") }
  lines[#lines + 1] = definition.text .. "\n"
  for _, row in ipairs(option_rows(definition)) do
    local left = ("  %s --%s%s%s"):format(row.short and ("-%s,"):format(row.short) or "   ", row.no and "[no-]" or "",
      row[1], row.value and " " .. row.value or "")
    local help = row.help
    if row.choices then
      help = ("%s: %s"):format(help, table.concat(row.choices, ", "))
    end
    if row.default ~= nil then
      help = ("%s (default: %s)"):format(help, tostring(row.default))
    end
    lines[#lines + 1] = ("%-28s %s"):format(left, help)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- what the command calls ---------------------------------------------------------------------------------------

local function say_failure(name, failure)
  local hint = failure.status == 2 and (" (fractal-lua %s --help tells more)"):format(name) or ""
  io.stderr:write("fractal-lua: error: ", failure.text, hint, "\n")
end

--- Runs a tool with its words; returns the exit status.
function tool.main(name, ...)
  local arguments = { ... }
  local ok, result = xpcall(function()
    local definition = require(PREFIX .. name)
    local options, words = tool.parse(definition, arguments)
    if not options then
      io.write(tool.help(name, definition))
      return 0
    end
    return definition.run(options, words)
  end, function(raised)
    return tool.failure(raised) or debug.traceback(tostring(raised), 2)
  end)
  if ok then
    return type(result) == "number" and result or 0
  end
  local failure = tool.failure(result) or { text = result, status = 1 }
  say_failure(name, failure)
  return failure.status
end

--- The lines of `fractal-lua --help` that name the tools.
function tool.list()
  local names, lines = {}, {}
  for module in pairs(package.preload) do
    names[#names + 1] = module:match("^fractal%.command%.([%w-]+)$")
  end
  table.sort(names)
  for i, name in ipairs(names) do
    lines[i] = ("  %-18s %s\n"):format(name, require(PREFIX .. name).summary)
  end
  return table.concat(lines)
end

return tool
