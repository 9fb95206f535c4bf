-- Generates what the build derives from other files, so that each fact is written once:
--
--   embedded.h, embedded.c   every Lua module as source text inside the binary
--   lua/fractal/cdef.lua     the declarations of src/fractal.h and src/abi.h, for ffi.cdef
--   lua/fractal/ops.lua      the rows of src/ops.def as a Lua table
--   lua/fractal/caps.lua     the rows of src/caps.def as a Lua table
--
-- The build runs it in the source tree: luajit bindings/generate.lua OUTPUT_DIR MODULE_LIST DECLARATIONS
-- MODULE_LIST is a file with the path of one Lua module on each line, DECLARATIONS the C headers as the
-- preprocessor leaves them with FRACTAL_CDEF defined.

local output_dir, module_list, declarations = arg[1], arg[2], arg[3]
if not declarations then
  io.stderr:write("usage: luajit bindings/generate.lua OUTPUT_DIR MODULE_LIST DECLARATIONS\n")
  os.exit(2)
end

local function fail(fmt, ...)
  io.stderr:write("generate.lua: ", fmt:format(...), "\n")
  os.exit(1)
end

local function read_file(path)
  local file, reason = io.open(path, "rb")
  if not file then
    fail("cannot read %s", reason)
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(path, text)
  local file, reason = io.open(path, "wb")
  if not file then
    fail("cannot write %s", reason)
  end
  file:write(text)
  file:close()
end

--- Removes C comments; strings and line ends stay, so that lines keep their numbers.
local function strip_comments(text)
  local out, position = {}, 1
  while position <= #text do
    local start = text:find('["/]', position)
    if not start then
      break
    end
    out[#out + 1] = text:sub(position, start - 1)
    local stop
    if text:sub(start, start) == '"' then
      stop = start
      repeat
        stop = text:find('[\\"]', stop + 1) or fail("a string is not closed")
        local escaped = text:sub(stop, stop) == "\\"
        stop = escaped and stop + 1 or stop
      until not escaped
      out[#out + 1] = text:sub(start, stop)
    elseif text:sub(start, start + 1) == "/*" then
      stop = select(2, text:find("*/", start + 2, true)) or fail("a comment is not closed")
      out[#out + 1] = " " .. text:sub(start, stop):gsub("[^\n]", "")
    elseif text:sub(start, start + 1) == "//" then
      stop = (text:find("\n", start, true) or #text + 1) - 1
    else
      stop = start
      out[#out + 1] = "/"
    end
    position = stop + 1
  end
  out[#out + 1] = text:sub(position)
  return table.concat(out)
end

--- Splits the arguments of one macro call at its top-level commas.
local function split_arguments(text)
  local list, depth, current, quoted = {}, 0, {}, false
  for char in text:gmatch(".") do
    if char == '"' then
      quoted = not quoted
    elseif not quoted and char == "(" then
      depth = depth + 1
    elseif not quoted and char == ")" then
      depth = depth - 1
    end
    if char == "," and depth == 0 and not quoted then
      list[#list + 1] = table.concat(current)
      current = {}
    else
      current[#current + 1] = char
    end
  end
  list[#list + 1] = table.concat(current)
  for i, item in ipairs(list) do
    list[i] = item:match("^%s*(.-)%s*$")
  end
  return list
end

--- A column as a Lua literal: numbers and strings as they are (adjacent strings joined), names quoted.
local function lua_literal(text)
  if tonumber(text) then
    return text
  elseif text:match('^".*"$') then
    return (text:gsub('"%s+"', ""))
  end
  return ("%q"):format(text)
end

--- A module that returns the rows of an X-macro file, each with its columns by name.
local function rows_module(path, macro, columns)
  local out = { ("-- Generated from %s.\nreturn {\n"):format(path) }
  for call in strip_comments(read_file(path)):gmatch("%f[%w_]" .. macro .. "%s*(%b())") do
    local row, fields = split_arguments(call:sub(2, -2)), {}
    if #row ~= #columns then
      fail("%s: the row %s has %d columns, expected %d", path, row[1], #row, #columns)
    end
    for i, column in ipairs(columns) do
      fields[i] = ("%s = %s"):format(column, lua_literal(row[i]))
    end
    out[#out + 1] = ("  { %s },\n"):format(table.concat(fields, ", "))
  end
  if #out == 1 then
    fail("%s has no %s row", path, macro)
  end
  out[#out + 1] = "}\n"
  return table.concat(out)
end

local function cdef_module(text)
  return ([[
-- Generated from src/fractal.h.
local text = [==[
%s]==]
require("ffi").cdef(text)
return text
]]):format(text)
end

--- "…/lua/fractal/io/init.lua" → "fractal.io", "=fractal/io/init.lua"
local function module_name(path)
  local inner = path:match("lua/(fractal/.+)%.lua$") or fail("%s is not below lua/fractal/", path)
  return inner:gsub("/init$", ""):gsub("/", "."), "=" .. inner .. ".lua"
end

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["?"] = "\\?", ["\t"] = "\\t", ["\r"] = "\\r" }

local function c_literal(text)
  local out = {}
  for line, eol in text:gmatch("([^\n]*)(\n?)") do
    if line ~= "" or eol ~= "" then
      local escaped = line:gsub('[%c\\"?\128-\255]', function(char)
        return escapes[char] or ("\\%03o"):format(char:byte())
      end)
      out[#out + 1] = ('\t"%s%s"'):format(escaped, eol ~= "" and "\\n" or "")
    end
  end
  return #out > 0 and table.concat(out, "\n") or '\t""'
end

local embedded_header = [[
/* Generated: the Lua package as source text inside the binary. */
#ifndef FRACTAL_EMBEDDED_H
#define FRACTAL_EMBEDDED_H

#include <stddef.h>

struct fractal_embedded {
	const char *module;	/* name for require, as "fractal.lowlevel" */
	const char *chunkname;	/* for luaL_loadbuffer, as "=fractal/lowlevel.lua" */
	const char *source;	/* Lua source text */
	size_t length;		/* of source, in bytes */
};

/* Ends with a row whose module is NULL. */
extern const struct fractal_embedded fractal_embedded[];

#endif
]]

local function embedded_source(modules)
  local out = { '/* Generated: see embedded.h. */\n#include "embedded.h"\n' }
  local rows = {}
  for i, module in ipairs(modules) do
    out[#out + 1] = ("\nstatic const char source_%d[] =\n%s;\n"):format(i, c_literal(module.source))
    rows[i] = ('\t{ "%s", "%s", source_%d, sizeof(source_%d) - 1 },\n'):format(
      module.name, module.chunkname, i, i)
  end
  out[#out + 1] = ("\nconst struct fractal_embedded fractal_embedded[] = {\n%s\t{ NULL, NULL, NULL, 0 },\n};\n"):format(
    table.concat(rows))
  return table.concat(out)
end

--- Generated and hand-written modules, sorted by name.
local function collect_modules(derived)
  local modules = {}
  for name, source in pairs(derived) do
    modules[#modules + 1] = { name = "fractal." .. name, chunkname = ("=fractal/%s.lua"):format(name), source = source }
  end
  for path in read_file(module_list):gmatch("[^\n]+") do
    local name, chunkname = module_name(path)
    modules[#modules + 1] = { name = name, chunkname = chunkname, source = read_file(path) }
  end
  table.sort(modules, function(a, b) return a.name < b.name end)
  return modules
end

local generated = {
  cdef = cdef_module(read_file(declarations)),
  ops = rows_module("src/ops.def", "FRACTAL_OP",
    { "NAME", "name", "opcode", "struct", "names", "data", "reply", "err", "minor", "doc" }),
  caps = rows_module("src/caps.def", "FRACTAL_CAP", { "NAME", "option", "bit", "default", "doc" }),
}

for name, source in pairs(generated) do
  write_file(("%s/lua/fractal/%s.lua"):format(output_dir, name), source)
end
write_file(output_dir .. "/embedded.h", embedded_header)
write_file(output_dir .. "/embedded.c", embedded_source(collect_modules(generated)))
