--- `--check`: what is wrong with a script, or likely to be, without mounting it.
--
-- A finding is { name, status, text, fix }: status "fail" is a mistake, "warn" one in most filesystems, "ok" a fact.

local bytecode = require "fractal.bytecode"
local filesystem = require "fractal.filesystem"
local traceback = require "fractal.traceback"

local check = {}

-- Handlers that usually come together: one, the others of which one should be there, what goes wrong without.
local pairs_of = {
  { "open", { "release" }, "what open allocates for a file handle is never given back" },
  { "opendir", { "releasedir" }, "what opendir allocates for a file handle is never given back" },
  { "mkdir", { "rmdir" }, "directories can be made and not removed" },
  { "create", { "unlink" }, "files can be made and not removed" },
  { "mknod", { "unlink" }, "files can be made and not removed" },
  { "symlink", { "readlink" }, "symbolic links can be made and not followed" },
  { "symlink", { "unlink" }, "symbolic links can be made and not removed" },
  { "write", { "create", "mknod" }, "files can be written and not made" },
  { "write", { "truncate", "setattr" }, "opening a file with O_TRUNC, as the shell's \">\" does, fails with ENOSYS" },
  { "setxattr", { "getxattr" }, "extended attributes can be set and not read" },
  { "getxattr", { "listxattr" }, "extended attributes can be read and not listed" },
  { "setlk", { "getlk" }, "nobody can ask which lock stands in the way" },
}

local function new_list()
  local list = {}
  function list.add(name, status, text, fix)
    for _, value in ipairs { name, status, text, fix or "" } do
      list[#list + 1] = value
    end
  end
  return list
end

--- Is the function the script's own, or one of its modules'? Handlers of ready-made filesystems are the library's.
local function is_of_script(fn)
  return type(fn) == "function" and debug.getinfo(fn, "S").source:sub(1, 1) == "@"
end

local function to_add(signatures, name)
  return ("add `function fs.%s(%s)`"):format(name, signatures[name])
end

local function check_handlers(fs, list)
  local names, kind = {}, filesystem.kind(fs)
  for name, value in pairs(fs) do
    if type(value) == "function" and kind.signatures[name] then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  list.add("handlers", "ok", ("%d handler%s: %s"):format(#names, #names == 1 and "" or "s", table.concat(names, " ")))
  for _, text in ipairs(filesystem.misspelt(fs)) do
    list.add("handlers", "fail", text, "write the name as it should be, or make the function local")
  end
  for _, row in ipairs(kind.required) do
    if not fs[row[1]] then
      list.add("handlers", "fail", ("no %s: %s"):format(row[1], row[2]), to_add(kind.signatures, row[1]))
    end
  end
end

--- What is misspelt or missing of the handlers, one sentence each.
function check.mistakes(fs)
  local list, texts = new_list(), {}
  check_handlers(fs, list)
  for i = 1, #list, 4 do
    if list[i + 1] == "fail" then
      texts[#texts + 1] = list[i + 2]
    end
  end
  return texts
end

--- Does an open or opendir handler give out file handles? By inode it sets the field of that name.
local function gives_handles(fs, name)
  return name ~= "open" and name ~= "opendir" or filesystem.kind(fs).signatures.lookup == nil
    or bytecode.mentions(fs[name], "fh")
end

local function check_pairs(fs, list)
  local signatures = filesystem.kind(fs).signatures
  for _, row in ipairs(pairs_of) do
    local name, others, without = unpack(row)
    local wanted
    for _, other in ipairs(others) do
      if fs[other] then
        wanted = nil
        break
      end
      wanted = wanted or signatures[other] and other
    end
    if wanted and is_of_script(fs[name]) and gives_handles(fs, name) then
      list.add("pairs", "warn", ("%s without %s: %s"):format(name, wanted, without), to_add(signatures, wanted))
    end
  end
end

-- Globals of other versions of Lua: scripts ask whether they are there.
local elsewhere = { bit32 = true, utf8 = true, warn = true, _ENV = true }

--- Globals that the script and its modules use and nothing defines. `before`: those that were there when it was loaded.
local function check_globals(list, before)
  local seen = {}
  for _, path in ipairs(traceback.remembered()) do
    local chunk = loadstring(traceback.text(path), "@" .. path)
    bytecode.globals(chunk, function(kind, name, line)
      local key = kind .. name
      if before[name] or elsewhere[name] or seen[key] then
        return
      end
      seen[key] = true
      if kind == "set" then
        list.add("globals", "warn", ("%s:%d: sets the global '%s'"):format(path, line, name), "declare it local")
      elseif rawget(_G, name) == nil then
        local guess = filesystem.did_you_mean(name, before)
        local text = ("%s:%d: reads the global '%s', which nothing sets%s"):format(path, line, name, guess)
        list.add("globals", "fail", text, "declare it local, before this line")
      end
    end)
  end
end

--- Is the value data that a state keeps for itself, rather than a module or an object with methods of its own? What is
-- nil at first may become anything, such as the session's own objects.
local function is_state(value, fs)
  local kind = type(value)
  if kind == "table" then
    return value ~= fs and getmetatable(value) == nil
  end
  return kind == "number" or kind == "string" or kind == "boolean"
end

--- What a function, and the functions of the script that it calls, change outside of themselves.
local function hazards_of(fn, fs, seen, see)
  if seen[fn] or not is_of_script(fn) then
    return
  end
  seen[fn] = true
  bytecode.changed_upvalues(fn, function(index, line)
    local name, value = debug.getupvalue(fn, index + 1)
    if is_state(value, fs) then
      see(name, type(value) == "table" and "the table" or "the variable", debug.getinfo(fn, "S").short_src, line)
    end
  end)
  local index = 1
  local name, value = debug.getupvalue(fn, index)
  while name do
    if type(value) == "function" then
      hazards_of(value, fs, seen, see)
    end
    index = index + 1
    name, value = debug.getupvalue(fn, index)
  end
end

--- With states that share nothing, what a handler keeps in Lua is not there for the others.
local function check_state(fs, list, state)
  if (state or filesystem.setting(fs, "state")) ~= "per-worker" then
    return
  end
  local handlers, told = {}, {}
  for name, value in pairs(fs) do
    if type(value) == "function" and filesystem.kind(fs).signatures[name] then
      handlers[#handlers + 1] = name
    end
  end
  table.sort(handlers)
  for _, handler in ipairs(handlers) do
    hazards_of(fs[handler], fs, {}, function(name, what, source, line)
      if handler ~= "init" and not told[name] then
        told[name] = true
        local text = "%s:%d: %s changes %s '%s', which each of the states has for itself (state=per-worker)"
        list.add("state", "warn", text:format(source, line, handler, what, name),
          "keep it in fractal.shared, or leave state=per-worker out")
      end
    end)
  end
end

--- The names of all globals.
function check.globals()
  local names = {}
  for name in pairs(_G) do
    names[name] = true
  end
  return names
end

--- All findings as a flat list: name, status, text, fix, name … `before`: check.globals() before the script was loaded.
-- `state`: as the command line has it, nil where that does not say.
function check.run(fs, before, state)
  local list = new_list()
  check_handlers(fs, list)
  check_pairs(fs, list)
  check_globals(list, before)
  check_state(fs, list, state)
  return list
end

return check
