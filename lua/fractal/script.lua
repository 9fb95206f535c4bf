--- The script of this Lua state: running it, and running it again where it has run before.
--
-- A second run would meet what the first one left behind: modules that are loaded already, C declarations that may not
-- be repeated, metatables of C types that may not be changed. Here stands what is done about each.

local ffi = require "ffi"
local filesystem = require "fractal.filesystem"
local report = require "fractal.report"
local saved = require "fractal.saved"
local task = require "fractal.task"
local traceback = require "fractal.traceback"

local TRIAL_SECONDS, HOOK_INSTRUCTIONS = 10, 100000

local script = {
  fs = nil,   -- the filesystem table that is served
  path = nil, -- the script's file
}

local run = 0 -- counts the times it ran, also those that came to nothing

-- modules beside the script -------------------------------------------------------------------------------------------

local beside = {} -- which templates of package.path lead there
local modules = {} -- name of a module found there → its file

ffi.cdef [[
void fractal_source_note(const char *path);
bool fractal_exchange_cancelled(void);
]]

--- Compiles a file and keeps its text for tracebacks. Returns nil and why not.
local function compile(path)
  local file, why = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  if not text then
    return nil, why or path .. " cannot be read"
  end
  text = text:gsub("^#[^\n]*", "")
  traceback.remember(path, text)
  return loadstring(text, "@" .. path)
end

local function load_file(name, path)
  if modules[name] then
    ffi.C.fractal_source_note(path)
  end
  local chunk, why = compile(path)
  return chunk or error(("error loading module '%s' from file '%s':\n\t%s"):format(name, path, why), 0)
end

--- The standard loader of Lua modules, but that it notes which are the script's own, keeps their texts, and opens files
-- by io.open, with its guard.
local function load_module(name)
  local tried, inner = {}, name:gsub("%.", "/")
  for template in package.path:gmatch("[^;]+") do
    local candidate = template:gsub("%?", (inner:gsub("%%", "%%%%")))
    local file, why = io.open(candidate, "rb")
    if file then
      file:close()
      modules[name] = beside[template] and candidate or nil
      return load_file(name, candidate)
    end
    tried[#tried + 1] = "\n\tno file " .. why
  end
  return table.concat(tried)
end

--- `require` finds modules beside the script first.
local function search_beside(path)
  local dir = path:match("^(.*)/[^/]*$") or "."
  for _, form in ipairs { "%s/?/init.lua", "%s/?.lua" } do
    local template = form:format(dir)
    beside[template] = true
    package.path = template .. ";" .. package.path
  end
  package.loaders[2] = load_module
end

-- C declarations ------------------------------------------------------------------------------------------------------

local declared = {} -- text of a declaration → the last run that had it
local metatypes = {} -- number of a C type → { metatable = …, run = … }
local restore_metatables = {}

--- A text, and the types given for its dollar signs.
local function describe(text, ...)
  local words = { tostring(text) }
  for i = 1, select("#", ...) do
    words[#words + 1] = tostring((select(i, ...)))
  end
  return table.concat(words, "\0")
end

local declare, set_metatype = ffi.cdef, ffi.metatype

--- As ffi.cdef; a text that an earlier run has declared stands already.
function ffi.cdef(text, ...)
  local key = describe(text, ...)
  if not declared[key] or declared[key] == run then
    local ok, err = pcall(declare, text, ...)
    if not ok and run > 1 and err:find("redefine", 1, true) then
      err = "changed C declarations need a remount: " .. err
    end
    if not ok then
      error(err, 2)
    end
  end
  declared[key] = run
end

--- As ffi.metatype; the metatable that an earlier run gave a type gets the fields of the new one. The machine code that
-- has looked into it is dropped when the reload ends, one way or the other.
function ffi.metatype(ct, metatable)
  local id = tonumber(ffi.typeof(ct))
  local known = metatypes[id]
  if known and known.run < run then
    restore_metatables[#restore_metatables + 1] = saved.of(known.metatable)
    saved.assign(known.metatable, metatable)
    known.run = run
    return ffi.typeof(ct)
  end
  local ok, result = pcall(set_metatype, ct, metatable)
  if not ok then
    error(result, 2)
  end
  metatypes[id] = { metatable = metatable, run = run }
  return result
end

-- running -------------------------------------------------------------------------------------------------------------

--- Runs the script. Returns its filesystem table, or nil and the reason it cannot be used.
local function execute()
  run = run + 1
  ffi.C.fractal_source_note(script.path)
  local chunk, why = compile(script.path)
  if not chunk then
    return nil, "cannot load the script: " .. why
  end
  -- A coroutine keeps its stack, also where that has overflowed.
  local co = coroutine.create(chunk)
  local ok, result = coroutine.resume(co)
  if not ok and type(result) ~= "string" then
    return nil, tostring(result) -- a sentence that is raised on purpose
  elseif not ok then
    return nil, report.text("error in the script", report.of_dead(co, result))
  elseif not filesystem.is(result) then
    return nil, ("%s returned %s: end it with `return fs`, where fs comes from fractal.lowlevel{} or another "
      .. "constructor"):format(script.path, result == nil and "nothing" or "a " .. type(result))
  end
  return result
end

--- Runs the script at `path` for the first time. Returns nothing, or the reason it cannot be used.
function script.load(path)
  search_beside(path)
  script.path = path
  local why
  script.fs, why = execute()
  return why
end

--- Runs it for the first time, to look at it only: it has to return within TRIAL_SECONDS, or until the mount ends.
function script.try(path)
  local deadline = task.now() + TRIAL_SECONDS
  jit.off() -- compiled loops call no hook
  debug.sethook(function()
    if ffi.C.fractal_exchange_cancelled() then
      error("the mount ends", 0)
    elseif task.now() > deadline then
      error(("the script does not return: it has run for %d s"):format(TRIAL_SECONDS), 0)
    end
  end, "", HOOK_INSTRUCTIONS)
  local why = script.load(path)
  debug.sethook()
  return why
end

--- Takes the script's own modules out of what is loaded. Returns a function that puts them back.
local function unload_modules()
  local loaded = {}
  for name in pairs(modules) do
    loaded[name] = { value = package.loaded[name], path = modules[name] }
    package.loaded[name], modules[name] = nil, nil
  end
  return function()
    for name in pairs(modules) do
      package.loaded[name], modules[name] = nil, nil
    end
    for name, module in pairs(loaded) do
      package.loaded[name], modules[name] = module.value, module.path
    end
  end
end

local globals_before = {} -- global variables before it ran again
local globals_set = {} -- those that the run has set → { was = …, is = … }

local function note_globals()
  globals_set = {}
  for _, list in ipairs { globals_before, _G } do
    for key in next, list do
      local was, is = globals_before[key], rawget(_G, key)
      if was ~= is then
        globals_set[key] = { was = was, is = is }
      end
    end
  end
end

--- Puts back what the run has set, but for what has changed since: that was the version that serves.
local function restore_globals()
  for key, value in pairs(globals_set) do
    if rawget(_G, key) == value.is then
      rawset(_G, key, value.was)
    end
  end
end

--- Prepares to run it again: its own modules will be loaded anew. Returns a function that puts modules, global
-- variables and metatables back.
function script.begin()
  globals_before, globals_set = {}, {}
  saved.assign(globals_before, _G)
  local restore = { restore_globals, unload_modules() }
  restore_metatables = restore
  return function()
    for i = #restore, 1, -1 do
      restore[i]()
    end
  end
end

--- Runs it again. Returns the new filesystem table, or nil and the reason it cannot be used.
function script.run_again()
  local fs, why = execute()
  note_globals()
  return fs, why
end

return script
