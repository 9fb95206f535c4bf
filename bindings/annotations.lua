-- Makes the type annotations (LuaCATS, `---@meta`) that editors read: fractal.lua and one file for each ready-made
-- filesystem.
--
-- The build runs it in the source tree: luajit bindings/annotations.lua GENERATED_LUA OUTPUT_DIR
-- Names and values come from the package itself, sentences and arguments of functions from the tables of
-- docs/reference.md and docs/testing.md, handlers from fractal.advice, settings from fractal.filesystem, and the types
-- from bindings/annotation_types.lua. Where one is missing, "any" is written, and spec/unit/annotations_spec.lua fails.

package.path = "./?.lua;" .. package.path
local types = require "bindings.annotation_types"

local annotations = { classes = types.classes, testing = types.testing }

--- What had no type, in sentences: filled by annotations.render.
annotations.missing = {}

local function missing(fmt, ...)
  table.insert(annotations.missing, fmt:format(...))
  return "any"
end

--- Functions of the package that only the library calls.
annotations.internal = {
  ["fractal.log.attach"] = true, ["fractal.log.block"] = true, ["fractal.log.caller"] = true,
  ["fractal.notify.deliver"] = true, ["fractal.worker.deliver"] = true,
  ["fractal.worker.begin"] = true, ["fractal.worker.keep"] = true,
}

--- Tables of functions in the package.
annotations.submodules = { "io", "notify", "backing", "log", "shared", "worker" }

-- ---- the reference's tables ---------------------------------------------------------------------------------

--- Rows of the reference's tables: { cells }. A "|" inside a cell is escaped there.
local function table_rows(text)
  local rows = {}
  for line in text:gmatch "[^\n]+" do
    if line:find "^| " then
      local cells = {}
      for cell in line:gsub("\\|", "\1"):sub(2):gmatch "%s*([^|]-)%s*|" do
        cells[#cells + 1] = (cell:gsub("\1", "|"))
      end
      rows[#rows + 1] = cells
    end
  end
  return rows
end

--- Words of Markdown as plain text, in one line.
local function plain(text)
  return (text:gsub("%[([^%]]*)%]%([^)]*%)", "%1"):gsub("%s+", " "))
end

--- "path [, flags [, mode]]" → { { name = "path" }, { name = "flags", optional = true }, … }. What is no name (a table,
-- a string) is an argument called `options` or `how`.
local function read_arguments(text)
  local list, depth = {}, 0
  text = text:gsub(" or ", "_or_")
  for separator, word, braces, literal in text:gsub("{[^}]*}", "{}"):gmatch '([%s,%[%]]*)([%w_…]*)({?}?)("?%w*"?)' do
    depth = depth + select(2, separator:gsub("%[", ""))
    local name = word ~= "" and word or braces ~= "" and "options" or literal ~= "" and "how" or nil
    if name then
      list[#list + 1] = { name = name, optional = depth > 0 }
    end
  end
  return list
end

--- Functions of the reference: name → list of { arguments, arrow, sentence }, one for each way to call it.
function annotations.functions(reference)
  local list = {}
  for _, cells in ipairs(table_rows(reference)) do
    for name, arguments, behind in cells[1]:gmatch "`(fractal%.[%w_.]+)%s*([({][^`]*)`([^`]*)" do
      list[name] = list[name] or {}
      table.insert(list[name], {
        arguments = read_arguments(arguments:match "^%((.*)%)$" or arguments),
        arrow = behind:match "^ → (.-)%s*$",
        sentence = plain(cells[2] or ""),
      })
    end
  end
  return list
end

--- Sentences for names in the first column of any table of a text: "`fs.read(…)`" → read, "`name`" → name.
local function sentences(text)
  local map = {}
  for _, cells in ipairs(table_rows(text)) do
    for code in cells[1]:gmatch "`([^`]+)`" do
      local name = code:match "^fs%.([%w_]+)%(" or code:match "^req[.:]([%w_]+)" or code:match "^conn[.:]([%w_]+)"
        or code:match "^[vm][.:]([%w_]+)" or code:match "^([%w_]+)%(" or code:match "^([%w_]+)$"
      if name then
        map[name] = plain(cells[#cells])
      end
    end
  end
  return map
end

--- The part of the reference under a heading, up to the next one of its level.
local function section(reference, heading)
  local level = heading:match "^#+"
  local from = select(2, reference:find("\n" .. heading .. "\n", 1, true)) or error("no heading " .. heading)
  local stop = reference:find("\n" .. level .. " ", from, true) or #reference
  return reference:sub(from, stop)
end

-- ---- writing ------------------------------------------------------------------------------------------------

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

--- The type of an argument; context: the function's name, or the kind of filesystem.
local function type_of(name, context)
  return (types.special[context] or {})[name] or types.parameters[name]
    or missing("the argument %s of %s", name, context)
end

local function with_comment(line, sentence)
  return sentence and sentence ~= "" and line .. " " .. sentence or line
end

--- A class; methods become fields with functions.
local function class(name, fields, known, parent)
  local out = { ("---@class fractal.%s%s"):format(name, parent and ": fractal." .. parent or "") }
  for _, field in ipairs(fields) do
    local method, arguments = field[1]:match "^([%w_]+)%((.*)%)$"
    local kind = field[2]
    if method then
      kind = ("fun(self: fractal.%s%s): %s"):format(name, arguments ~= "" and ", " .. arguments or "", field[2])
    end
    out[#out + 1] = with_comment(("---@field %s %s"):format(method or field[1], kind),
      field[3] or known[method or field[1]])
  end
  return table.concat(out, "\n") .. "\n"
end

local function is_varargs(name)
  return name == "…"
end

local function parameter_list(arguments)
  local names = {}
  for i, argument in ipairs(arguments) do
    names[i] = is_varargs(argument.name) and "..." or argument.name
  end
  return table.concat(names, ", ")
end

local function result_of(name, variant)
  if variant.arrow then
    return types.arrows[variant.arrow] or missing("the result %s of %s", variant.arrow, name)
  end
  return types.results[name] or types.module_results[name:match "^(.*)%."]
end

local function typed(name, arguments)
  local out = {}
  for i, argument in ipairs(arguments) do
    local varargs = is_varargs(argument.name)
    out[i] = ("%s%s: %s"):format(varargs and "..." or argument.name, argument.optional and "?" or "",
      varargs and "any" or type_of(argument.name, name))
  end
  return table.concat(out, ", ")
end

--- "integer?, integer?" as lines; the commas of a table's fields do not count.
local function return_lines(result)
  local tables = {}
  result = result:gsub("%b{}", function(fields)
    tables[#tables + 1] = fields
    return "\1"
  end):gsub(", integer%?$", ", integer? errno"):gsub(", ", "\n---@return ")
  return "---@return " .. result:gsub("\1", function() return table.remove(tables, 1) end)
end

--- One function of the package, with its further ways to be called as overloads.
local function declaration(name, variants)
  local out, first = {}, variants[1]
  out[#out + 1] = "---" .. first.sentence
  for _, argument in ipairs(first.arguments) do
    local text = typed(name, { argument })
    local word, kind = text:match "^([^:]+): (.*)$"
    out[#out + 1] = ("---@param %s %s"):format(word, kind)
  end
  local result = result_of(name, first)
  if result then
    out[#out + 1] = return_lines(result)
  end
  for i = 2, #variants do
    local more = variants[i]
    out[#out + 1] = ("---@overload fun(%s): %s"):format(typed(name, more.arguments), result_of(name, more))
  end
  out[#out + 1] = ("function %s(%s) end\n"):format(name, parameter_list(first.arguments))
  return table.concat(out, "\n")
end

--- The fields of a kind of filesystem: its handlers.
local function handlers(kind, signatures, result, known)
  local fields = { { "options", "table<string, any>", "values of the script's own -o options, from init on" } }
  for _, name in ipairs(sorted_keys(signatures)) do
    local arguments = read_arguments(signatures[name])
    local second = types.second_results[kind][name] or "integer?"
    fields[#fields + 1] = {
      name .. "?", ("fun(%s): %s, %s"):format(typed(kind, arguments), result(name), second), known[name],
    }
  end
  return fields
end

local function lowlevel_result(operations)
  return function(name)
    local row = operations[name]
    if not row then -- prepare, reload and flock are no operations of their own
      return "any"
    end
    return types.low_results[name] or types.gives[row.result] or missing("what %s gives: %s", name, row.result)
  end
end

local lua_types = { number = "number", string = "string", boolean = "boolean", table = "table" }

local function settings_fields(settings, known)
  local fields = {}
  for _, name in ipairs(sorted_keys(settings)) do
    fields[#fields + 1] = { name .. "?", lua_types[settings[name][1]], known[name] }
  end
  return fields
end

--- Constants of a module of the package: "fractal.io.O_RDONLY = 0".
local function constants(prefix, module)
  local out = {}
  for _, name in ipairs(sorted_keys(module)) do
    if type(module[name]) == "number" then
      out[#out + 1] = ("%s.%s = %d\n"):format(prefix, name, module[name])
    end
  end
  return table.concat(out)
end

local function table_of(name, values, comment)
  local out = { ("---%s\n%s = {\n"):format(comment, name) }
  for _, key in ipairs(sorted_keys(values)) do
    out[#out + 1] = ("  %s = %d,\n"):format(key:find "^%d" and ("[%q]"):format(key) or key, values[key])
  end
  out[#out + 1] = "}\n"
  return table.concat(out)
end

--- A module that makes a ready-made filesystem.
local function ready_made(name, reference)
  local title = name:sub(1, 1):upper() .. name:sub(2)
  local text = section(reference, "### " .. name)
  local fields = {}
  for option, sentence in pairs(sentences(text)) do
    fields[#fields + 1] = { option .. "?", "string|number", sentence }
  end
  table.sort(fields, function(a, b) return a[1] < b[1] end)
  return ("---@meta fractal.%s\n\n%s\n---@param settings? fractal.%sSettings\n---@return fractal.Lowlevel\n" ..
    "local function new(settings) end\n\nreturn new\n"):format(name, class(title .. "Settings", fields, {}, "Settings"),
    title)
end

--- The module fractal.testing, from the tables of docs/testing.md.
local function testing_module(document)
  local known, out = sentences(document), { "---@meta fractal.testing\n" }
  for _, name in ipairs(sorted_keys(types.testing)) do
    out[#out + 1] = class("testing." .. name, types.testing[name], name == "Process" and {} or known)
  end
  out[#out + 1] = "local fractal = { testing = {} }\n"
  local rows = document:match "\n| `testing%.` | |\n(.-)\n\n" or error "docs/testing.md has no table of functions"
  local named = rows:gsub("(| [^|]*)([^\n]*)", function(names, sentence)
    return names:gsub("`([%w_]+%()", "`fractal.testing.%1") .. sentence
  end)
  local functions = annotations.functions(named)
  for _, name in ipairs(sorted_keys(functions)) do
    out[#out + 1] = declaration(name, functions[name])
  end
  out[#out + 1] = "return fractal.testing\n"
  return table.concat(out, "\n")
end

--- The fields of a class. A connection has the capabilities, too, except where a number stands under that name.
function annotations.fields(name, caps)
  local fields, taken = { unpack(annotations.classes[name]) }, {}
  for _, field in ipairs(fields) do
    taken[field[1]] = true
  end
  for _, cap in ipairs(name == "Conn" and caps or {}) do
    if not taken[cap.option] then
      fields[#fields + 1] = { cap.option, "boolean", cap.doc }
    end
  end
  return fields
end

--- The files by path.
--   package: what require "fractal" gives. advice, filesystem: those modules. caps: the rows of caps.def.
--   operations: documents.operations. reference, testing: the texts of docs/reference.md and docs/testing.md.
function annotations.render(from)
  annotations.missing = {}
  local reference = from.reference
  local functions, known = annotations.functions(reference), sentences(reference)
  local settings = sentences(section(reference, "## Filesystems and settings"))
  for _, cap in ipairs(from.caps) do
    settings[cap.option] = settings[cap.option] or cap.doc
  end
  local by_path = sentences(section(reference, "## Filesystems by path"))
  local low = lowlevel_result(from.operations)
  local out = { "---@meta fractal\n-- Made by bindings/annotations.lua.\n" }

  for _, name in ipairs(sorted_keys(annotations.classes)) do
    local described = name == "Request" or name == "View"
    out[#out + 1] = class(name, annotations.fields(name, from.caps), described and known or {})
  end
  out[#out + 1] = class("Settings", settings_fields(from.filesystem.settings, settings), {})
  out[#out + 1] = class("PathSettings", { { "hide_unlinked?", "boolean" } }, {}, "Settings")
  out[#out + 1] = class("Lowlevel", handlers("lowlevel", from.advice.lowlevel, low, sentences(section(reference,
    "## Handlers by inode"))), {})
  out[#out + 1] = class("Pathfs", handlers("pathfs", from.advice.pathfs, function(name)
    return types.path_results[name] or low(name)
  end, by_path), {})

  out[#out + 1] = "local fractal = {}\n"
  for _, module in ipairs(annotations.submodules) do
    out[#out + 1] = ("fractal.%s = {}\n%s"):format(module, constants("fractal." .. module, from.package[module]))
  end
  out[#out + 1] = constants("fractal", from.package)
  out[#out + 1] = table_of("fractal.errno", from.package.errno, "errno(3), with and without the E")
  out[#out + 1] = table_of("fractal.S_IF", from.package.S_IF, "type bits by name")
  out[#out + 1] = "---number of the worker that runs this code, from 0; nil outside the mount\n---@type integer?\n"
    .. "fractal.worker.id = nil\n\n---how many workers there are\n---@type integer?\nfractal.worker.count = nil\n"
  for _, name in ipairs(sorted_keys(functions)) do
    out[#out + 1] = declaration(name, functions[name])
  end
  out[#out + 1] = "return fractal\n"
  return {
    ["fractal.lua"] = table.concat(out, "\n"),
    ["fractal/memoryfs.lua"] = ready_made("memoryfs", reference),
    ["fractal/passthrough.lua"] = ready_made("passthrough", reference),
    ["fractal/testing.lua"] = testing_module(from.testing),
  }
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

--- What annotations.render needs, from the source tree and the modules of the build.
function annotations.sources()
  return {
    package = require "fractal", advice = require "fractal.advice", filesystem = require "fractal.filesystem",
    caps = require "fractal.caps", operations = require("bindings.documents").operations,
    reference = read_file "docs/reference.md", testing = read_file "docs/testing.md",
  }
end

if arg and arg[0] and arg[0]:find "bindings/annotations%.lua$" then
  local generated, output_dir = arg[1], arg[2]
  if not output_dir then
    error "usage: luajit bindings/annotations.lua GENERATED_LUA OUTPUT_DIR"
  end
  package.path = ("./?.lua;./lua/?.lua;./lua/?/init.lua;%s/?.lua;%s"):format(generated, package.path)
  for path, text in pairs(annotations.render(annotations.sources())) do
    local file = assert(io.open(output_dir .. "/" .. path, "wb"))
    file:write(text)
    file:close()
  end
end

return annotations
