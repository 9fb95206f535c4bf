--- Tracebacks for people who write filesystems: their own functions with their lines, the library's folded away.

local traceback = {}

local SHOWN = 12 -- functions of the script
local DEEPEST = 300 -- of a stack that has overflowed, the rest is more of the same
local AROUND = 1 -- lines before and behind the one that failed

local texts, paths = {}, {} -- path of a script → its text; the paths in order

--- Keeps a script's text, as it was when it was loaded: later its file may have changed, or lie below the mount.
function traceback.remember(path, text)
  if not texts[path] then
    paths[#paths + 1] = path
  end
  texts[path] = text
end

--- The paths whose text is kept, and the text of one.
function traceback.remembered()
  return paths
end

function traceback.text(path)
  return texts[path]
end

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    lines[#lines + 1] = line
  end
  return lines
end

local function is_library(info)
  return info.source:sub(1, 9) == "=fractal/"
end

--- debug.getinfo for a level of a coroutine; where it is nil, of the running one, seen from the caller of the function
-- that calls this one.
local function info_at(co, level, what)
  local info
  if co then
    info = debug.getinfo(co, level, what)
  else
    info = debug.getinfo(level + 3, what)
  end
  return info -- no tail call, which would take this function's own frame out of the count
end

--- LuaJIT does not know the line of a function in which an instruction itself failed. The error's text begins with it;
-- otherwise it is the function's first line.
local function complete(info, err)
  if info.currentline < 0 then
    local source, line = tostring(err):match("^([^\n]-):(%d+): ")
    info.currentline = source == info.short_src and tonumber(line) or info.linedefined
  end
end

--- Frames of Lua functions from `level` on, innermost first: of a coroutine, or of the running one where it is nil.
-- Each has what debug.getinfo tells of it: source, short_src, currentline, name, what. `err`: the error in the first.
function traceback.frames(co, level, err)
  local list = {}
  for i = level, level + DEEPEST do
    local info = info_at(co, i, "Sln")
    if not info then
      break
    elseif info.what ~= "C" then
      complete(info, err)
      list[#list + 1] = info
    end
  end
  return list
end

--- "fs.lua:12" of the innermost function of the script, else of the library; "?" where there is none.
function traceback.place(co, level, err)
  local first
  for i = level, level + DEEPEST do
    local info = info_at(co, i, "Sl")
    if not info then
      break
    elseif info.what ~= "C" then
      complete(info, err)
      if not is_library(info) then
        return info.short_src .. ":" .. info.currentline
      end
      first = first or info
    end
  end
  return first and first.short_src .. ":" .. first.currentline or "?"
end

local function name_of(info)
  if info.what == "main" then
    return "in main chunk"
  elseif info.name then
    return ("in function '%s'"):format(info.name)
  end
  return ("in function <%s:%d>"):format(info.short_src, info.linedefined)
end

local function lines_of(info)
  local text = info.source:sub(1, 1) == "@" and texts[info.source:sub(2)]
  return text and split(text)
end

--- Adds the line of a frame's source, with `around` lines before and behind it.
local function add_source(out, info, around)
  local lines = lines_of(info)
  if not lines then
    return
  end
  for n = info.currentline - around, info.currentline + around do
    if lines[n] and (n == info.currentline or lines[n]:find("%S")) then
      out[#out + 1] = ("  %s %5d | %s"):format(n == info.currentline and ">" or " ", n, lines[n])
    end
  end
end

--- The frames as they are shown: those of the script, or the library's where there is no other; each place once, with
-- the number of library functions behind it and how often it calls itself.
local function select_frames(frames)
  local list, only_library, last = {}, true, nil
  for _, info in ipairs(frames) do
    only_library = only_library and is_library(info)
  end
  for _, info in ipairs(frames) do
    if is_library(info) and not only_library then
      if last then
        last.library = last.library + 1
      end
    elseif last and last.library == 0 and last.info.currentline == info.currentline
      and last.info.source == info.source then
      last.again = last.again + 1
    else
      last = { info = info, library = 0, again = 0 }
      list[#list + 1] = last
    end
  end
  return list
end

--- The lines of text for a list of frames.
function traceback.lines(frames)
  local out, list = {}, select_frames(frames)
  for i, frame in ipairs(list) do
    if i > SHOWN then
      out[#out + 1] = ("  (%d more)"):format(#list - SHOWN)
      break
    end
    local info = frame.info
    out[#out + 1] = ("  at %s:%d: %s"):format(info.short_src, info.currentline, name_of(info))
    add_source(out, info, i == 1 and AROUND or 0)
    if frame.again > 0 then
      out[#out + 1] = ("  (called by itself, %d times and more)"):format(frame.again)
    end
    if frame.library > 0 and i < #list then
      out[#out + 1] = ("  (%d of the library's functions)"):format(frame.library)
    end
  end
  return out
end

return traceback
