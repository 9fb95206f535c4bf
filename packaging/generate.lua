-- Makes the manual page and the completions of the shells from their templates here and from what the built command
-- says about itself, so that they have every option it has and no other.
--
-- The build runs it in the source tree: luajit packaging/generate.lua COMMAND OPS_LUA OUTPUT_DIR
-- COMMAND is the built fractal-lua, OPS_LUA the generated module fractal.ops. A template's @NAME@ is replaced by what
-- the table `parts` has for it; alone on a line, the part brings its own line ends.

package.path = "./?.lua;" .. package.path
local help = require "packaging.help"

local command, ops_path, output_dir = arg[1], arg[2], arg[3]
if not output_dir then
  io.stderr:write("usage: luajit packaging/generate.lua COMMAND OPS_LUA OUTPUT_DIR\n")
  os.exit(2)
end

local model, operations = help.ask(command), dofile(ops_path)

-- ---- common to several templates ----------------------------------------------------------------------------

--- The results of fn(row) for each row, one behind the other.
local function each(rows, fn, separator)
  local out = {}
  for _, row in ipairs(rows) do
    out[#out + 1] = fn(row)
  end
  return table.concat(out, separator or "")
end

--- Everything that may stand behind -o: { text ("workers=" where a value follows), doc, choices }.
local function option_words()
  local list, seen = {}, {}
  local function add(text, row)
    if not seen[text] then
      seen[text] = true
      list[#list + 1] = { text = text, doc = row.doc, choices = help.choices(row) }
    end
  end
  for _, section in ipairs { "session", "mount", "capabilities" } do
    for _, row in ipairs(model[section]) do
      add(row.name .. (row.argument and "=" or ""), row)
    end
  end
  for _, row in ipairs(model.capabilities) do
    add("no" .. row.name, { doc = "without " .. row.name })
  end
  add("nopin", { doc = "workers are left to the scheduler" })
  add("noauto_unmount", { doc = "no unmounting after a crash" })
  return list
end

local function is_pair(word)
  return word.short and word.long
end

--- Is its value what stands behind -o?
local function takes_options(word)
  return word.argument and word.argument:find "^OPT" ~= nil
end

--- "--log" and "-o" of a row of the command line, as a list.
local function spellings(word)
  local list = {}
  if word.short then
    list[#list + 1] = "-" .. word.short
  end
  if word.long then
    list[#list + 1] = "--" .. word.long
  end
  return list
end

local function spelling_list(words)
  return each(words, function(word) return table.concat(spellings(word), " ") end, " ")
end

local function operation_names(separator)
  return each(operations, function(row) return row.name end, separator)
end

-- ---- the manual page ----------------------------------------------------------------------------------------

local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1"):gsub('^"', "\\(dq"))
end

--- An entry of a list of options.
local function roff_entry(left, doc)
  return (".TP\n%s\n%s\n"):format(left, roff(doc))
end

local function roff_argument(word)
  local text = roff(word.argument or "")
  if word.optional then
    return ("\\fR[=\\fI%s\\fR]"):format(text)
  end
  return word.argument and (" \\fI%s\\fR"):format(text) or ""
end

local function roff_word(word)
  local names = {}
  for i, name in ipairs(spellings(word)) do
    names[i] = "\\fB" .. roff(name)
  end
  return roff_entry(table.concat(names, "\\fR, ") .. roff_argument(word) .. "\\fR", word.doc)
end

local function roff_option(row)
  local argument = row.argument and ("\\fB=\\fI%s"):format(roff(row.argument)) or ""
  return roff_entry(("\\fB%s%s\\fR"):format(roff(row.name), argument), row.doc)
end

local function roff_tools()
  if #model.tools == 0 then
    return ""
  end
  return ".SH TOOLS\n" .. each(model.tools, function(tool)
    return (".SS \"fractal\\-lua %s\"\n%s.\n"):format(roff(tool.name), roff(tool.doc)) .. each(tool.words, roff_word)
  end)
end

local function manual()
  return {
    VERSION = model.version,
    WORDS = each(model.words, roff_word),
    TOOLS = roff_tools(),
    SESSION = each(model.session, roff_option),
    MOUNT = each(model.mount, roff_option),
    CAPABILITIES = each(model.capabilities, roff_option),
  }
end

-- ---- bash ---------------------------------------------------------------------------------------------------

local function bash()
  local words = option_words()
  return {
    WORDS = spelling_list(model.words),
    OPERATIONS = operation_names " ",
    OPTIONS = each(words, function(word) return word.text end, " "),
    CHOICES = each(words, function(word)
      local list = word.choices and table.concat(word.choices, " ")
      return list and ("    %s) echo %s ;;\n"):format(word.text:sub(1, -2), list) or ""
    end),
    TOOLS = each(model.tools, function(tool) return tool.name end, " "),
    TOOL_WORDS = each(model.tools, function(tool)
      return ("    %s) echo %s ;;\n"):format(tool.name, spelling_list(tool.words))
    end),
  }
end

-- ---- zsh ----------------------------------------------------------------------------------------------------

local function zsh_text(text)
  return (text:gsub("[%[%]:\\]", "\\%0"):gsub("'", "'\\''"))
end

--- A row of _arguments.
local function zsh_word(word)
  local doc, behind = zsh_text(word.doc), ""
  if word.long == "trace" then
    behind = ":operations:_sequence compadd - " .. operation_names " "
  elseif takes_options(word) then
    behind = ":options:_fractal_lua_options"
  elseif word.argument == "FILE" then
    behind = ":file:_files"
  elseif word.argument then
    behind = (":%s: "):format(zsh_text(word.argument):lower())
  end
  local repeated = takes_options(word) and "*" or ""
  if is_pair(word) then
    local short, long = "-" .. word.short, "--" .. word.long
    local exclusion = takes_options(word) and "*" or ("(%s %s)"):format(short, long)
    return ("    '%s'{%s,%s}'[%s]%s' \\\n"):format(exclusion, short, long, doc, behind)
  end
  local name = word.short and "-" .. word.short or "--" .. word.long
  return ("    '%s%s%s[%s]%s%s' \\\n"):format(repeated, name, word.optional and "=-" or "", doc,
    word.optional and ":" or "", behind)
end

--- A row of _values: "workers[doc]:value:(a b)".
local function zsh_option(word)
  local name, needs_value = word.text:match "^(.-)(=?)$"
  local behind = word.choices and ":value:(" .. table.concat(word.choices, " ") .. ")"
    or needs_value == "=" and ":value: " or ""
  return ("    '%s[%s]%s' \\\n"):format(name, zsh_text(word.doc), behind)
end

local function zsh()
  return {
    WORDS = each(model.words, zsh_word),
    OPTIONS = each(option_words(), zsh_option),
    TOOLS = each(model.tools, function(tool)
      return ("    '%s:%s' \\\n"):format(tool.name, zsh_text(tool.doc))
    end),
    TOOL_WORDS = each(model.tools, function(tool)
      local words = each(tool.words, zsh_word)
      return ("    %s)\n      _arguments \\\n%s        '*:file:_files' ;;\n"):format(tool.name, words)
    end),
  }
end

-- ---- fish ---------------------------------------------------------------------------------------------------

local function fish_text(text)
  return (text:gsub("[\\']", "\\%0"))
end

--- A row of `complete`, below a condition.
local function fish_word(word, condition)
  local short = word.short and " -s " .. word.short or ""
  local long = word.long and " -l " .. word.long or ""
  local behind = ""
  if word.long == "trace" then
    behind = (" -a '(__fish_complete_list , __fractal_lua_operations)'")
  elseif takes_options(word) then
    behind = " -x -a '(__fish_complete_list , __fractal_lua_options)'"
  elseif word.argument then
    behind = word.argument == "FILE" and " -r -F" or " -x"
  end
  return ("complete -c fractal-lua -n '%s'%s%s%s -d '%s'\n"):format(condition, short, long, behind, fish_text(word.doc))
end

local function fish()
  local no_tool = "not __fractal_lua_tool"
  return {
    WORDS = each(model.words, function(word) return fish_word(word, no_tool) end),
    OPERATIONS = operation_names " ",
    OPTIONS = each(option_words(), function(word)
      if word.choices then
        return each(word.choices, function(choice)
          return ("    printf '%%s\\t%%s\\n' %s%s '%s'\n"):format(word.text, choice, fish_text(word.doc))
        end)
      end
      return ("    printf '%%s\\t%%s\\n' %s '%s'\n"):format(word.text, fish_text(word.doc))
    end),
    TOOL_NAMES = each(model.tools, function(tool) return tool.name end, " "),
    TOOLS = each(model.tools, function(tool)
      return ("complete -c fractal-lua -n __fish_is_first_arg -a %s -d '%s'\n"):format(tool.name, fish_text(tool.doc))
        .. each(tool.words, function(word) return fish_word(word, "__fish_seen_subcommand_from " .. tool.name) end)
    end),
  }
end

-- ---- files --------------------------------------------------------------------------------------------------

local function fill(template, parts, path)
  local function part(name)
    return parts[name] or error(("%s: there is no @%s@"):format(template, name))
  end
  local file = assert(io.open(template, "rb"))
  local text = ("\n" .. file:read("*a")):gsub("%f[^\n]@(%u[%u_]*)@\n", part):gsub("@(%u[%u_]*)@", part)
  file:close()
  file = assert(io.open(path, "wb"))
  file:write(text:sub(2), "")
  file:close()
end

for template, parts in pairs {
  ["fractal-lua.1"] = manual(),
  ["completions/fractal-lua.bash"] = bash(),
  ["completions/_fractal-lua"] = zsh(),
  ["completions/fractal-lua.fish"] = fish(),
} do
  fill(("packaging/%s.in"):format(template), parts, ("%s/%s"):format(output_dir, template:match "[^/]+$"))
end
