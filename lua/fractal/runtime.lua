--- What the C side calls: loads a script, tells its settings, initialises it and runs the drain loop.
--
-- One instance for each Lua state, so the state's script is kept here.

local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local fold = require "fractal.fold"
local log = require "fractal.log"
local own = require "fractal.own"
local report = require "fractal.report"
local session = require "fractal.session"
local task = require "fractal.task"
local traceback = require "fractal.traceback"

local runtime = { waiting = task.waiting }

own.guard()

local fs -- the script's filesystem table

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
  traceback.remember(path, text)
  return loadstring(text:gsub("^#[^\n]*", ""), "@" .. path)
end

--- `require` finds modules beside the script first.
local function search_beside(path)
  local dir = path:match("^(.*)/[^/]*$") or "."
  package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(dir, dir, package.path)
  -- The standard loader of Lua modules, but for the text that is kept, and the guard around io.open.
  package.loaders[2] = function(name)
    local tried, inner = {}, name:gsub("%.", "/")
    for template in package.path:gmatch("[^;]+") do
      local candidate = template:gsub("%?", (inner:gsub("%%", "%%%%")))
      local file, why = io.open(candidate, "rb")
      if file then
        file:close()
        local chunk
        chunk, why = compile(candidate)
        return chunk or error(("error loading module '%s' from file '%s':\n\t%s"):format(name, candidate, why), 0)
      end
      tried[#tried + 1] = "\n\tno file " .. why
    end
    return table.concat(tried)
  end
end

--- Runs the script at `path` and takes the table it returns. Returns nil, or the reason it cannot be used.
function runtime.load(path)
  search_beside(path)
  local chunk, why = compile(path)
  if not chunk then
    return "cannot load the script: " .. why
  end
  local ok, result = xpcall(chunk, function(err)
    return type(err) == "string" and debug.traceback("error in the script: " .. err, 2) or tostring(err)
  end)
  if not ok then
    return result
  elseif not filesystem.is(result) then
    return ("%s returned %s: end it with `return fs`, where fs comes from fractal.lowlevel{} or another constructor")
      :format(path, result == nil and "nothing" or "a " .. type(result))
  end
  fs = result
  report.serve(fs)
  return nil
end

function runtime.settings()
  return filesystem.words(fs)
end

function runtime.options()
  return filesystem.option_list(fs)
end

function runtime.single_only()
  return filesystem.single_only(fs)
end

function runtime.set_option(name, value)
  fs.options[name] = value
end

function runtime.capabilities()
  return filesystem.capabilities(fs)
end

--- Calls fs.prepare(), before anything is mounted: options are known, nothing may wait. Returns nil, or why there is to
-- be no mount.
function runtime.prepare()
  if fs.prepare then
    local result, err = fs.prepare()
    if result == nil and err ~= nil then
      return errno.check(err) and "prepare returned " .. errno.strerror(err) or tostring(err)
    end
  end
end

--- Calls fs.init(conn), which may wait. Returns nothing, or the errno it failed with. `per_worker`: is this one of
-- several states that share nothing?
function runtime.init(pointer, conn, per_worker)
  session.per_worker = per_worker
  task.adopt()
  log.attach(pointer)
  for _, text in ipairs(filesystem.misspelt(fs)) do
    log.warn("%s", text)
  end
  local low = filesystem.lowered(fs)
  if low.init then
    local result, err = low.init(require("fractal.conn").wrap(conn))
    if result == nil and err ~= nil then
      log.error("init returned %s: not mounted", errno.check(err) and errno.strerror(err) or tostring(err))
      return errno.check(err) and err or errno.E.IO
    end
  end
end

--- Calls fs.destroy(). The session is there until it returns.
function runtime.destroy()
  if fs.destroy then
    local ok, err = xpcall(fs.destroy, report.catch)
    if not ok then
      report.caught("destroy", err)
    end
  end
  fold.flush()
  session.detach()
  log.attach(nil)
end

--- Lists the handlers. Returns the text, and whether something is wrong.
function runtime.check()
  local lines, names, kind = {}, {}, filesystem.kind(fs)
  for name, value in pairs(fs) do
    if type(value) == "function" and kind.signatures[name] then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  lines[1] = ("%d handlers: %s"):format(#names, table.concat(names, " "))
  local wrong = filesystem.misspelt(fs)
  for _, text in ipairs(wrong) do
    lines[#lines + 1] = text
  end
  for _, row in ipairs(kind.required) do
    if not fs[row[1]] then
      wrong[#wrong + 1] = row[1]
      lines[#lines + 1] = ("no %s: %s"):format(row[1], row[2])
    end
  end
  return table.concat(lines, "\n") .. "\n", #wrong > 0
end

--- An error ended a coroutine: logs it, and answers for the request in hand, if any. See fractal.report.
function runtime.failed(req, err, co, what)
  report.failed(req, err, co, what)
end

--- The drain loop of one worker; see fractal.dispatch.
function runtime.drain(worker)
  return require("fractal.dispatch").drain(filesystem.lowered(fs), worker)
end

return runtime
