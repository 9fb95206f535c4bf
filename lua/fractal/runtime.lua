--- What the C side calls: loads a script, tells its settings, initialises it and runs the drain loop.
--
-- One instance for each Lua state, so the state's script is kept here.

local check = require "fractal.check"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local fold = require "fractal.fold"
local log = require "fractal.log"
local own = require "fractal.own"
local report = require "fractal.report"
local script = require "fractal.script"
local session = require "fractal.session"
local task = require "fractal.task"

local runtime = { waiting = task.waiting }

own.guard()
local globals = check.globals() -- before the script is loaded

local given = {} -- values of the script's own options

--- Runs the script at `path` and takes the table it returns. Returns nil, or the reason it cannot be used.
-- `trial`: only to look at it.
function runtime.load(path, trial)
  local load = trial and script.try or script.load
  local why = load(path)
  report.serve(script.fs)
  return why
end

function runtime.settings()
  return filesystem.words(script.fs)
end

function runtime.options()
  return filesystem.option_list(script.fs)
end

function runtime.single_only()
  return filesystem.single_only(script.fs)
end

function runtime.set_option(name, value)
  given[name], script.fs.options[name] = value, value
end

function runtime.capabilities()
  return filesystem.capabilities(script.fs)
end

--- Calls fs.prepare(), before anything is mounted: options are known, nothing may wait. Returns nil, or why there is to
-- be no mount.
function runtime.prepare()
  local prepare = script.fs.prepare
  if prepare then
    local ok, result, err = xpcall(prepare, report.catch)
    if not ok then
      return report.text("error in prepare", result)
    elseif result == nil and err ~= nil then
      return errno.check(err) and "prepare returned " .. errno.strerror(err) or tostring(err)
    end
  end
end

--- Calls fs.init(conn), which may wait. Returns nothing, or the errno it failed with. `per_worker`: is this one of
-- several states that share nothing?
function runtime.init(pointer, conn, per_worker)
  session.per_worker = per_worker
  task.adopt(task.age)
  log.attach(pointer)
  for _, text in ipairs(filesystem.misspelt(script.fs)) do
    log.warn("%s", text)
  end
  local low = filesystem.lowered(script.fs)
  if low.init then
    local result, err = low.init(require("fractal.conn").wrap(conn))
    if result == nil and err ~= nil then
      log.error("init returned %s: not mounted", errno.check(err) and errno.strerror(err) or tostring(err))
      return errno.check(err) and err or errno.E.IO
    end
  end
  require("fractal.dispatch").use(low)
end

--- Calls fs.destroy(). The session is there until it returns.
function runtime.destroy()
  local destroy = script.fs.destroy
  if destroy then
    local ok, err = xpcall(destroy, report.catch)
    if not ok then
      report.caught("destroy", err)
    end
  end
  fold.flush()
  session.detach()
  log.attach(nil)
end

--- What `--check` finds: a flat list of name, status, text, fix, name … See fractal.check.
function runtime.check(state)
  return check.run(script.fs, globals, state)
end

--- Why the script's handlers cannot serve, as lines; nil where they can.
function runtime.mistakes()
  local list = check.mistakes(script.fs)
  return #list > 0 and table.concat(list, "\n") or nil
end

--- In a state that has tried the script for others: sends a step of the reload to a worker. See fractal.reload.
function runtime.send_step(worker, step, ticket, speaks, entry_ttl, attr_ttl, negative_ttl)
  require("fractal.reload").send(worker, {
    step = step, ticket = ticket, speaks = speaks, options = given,
    entry_ttl = entry_ttl, attr_ttl = attr_ttl, negative_ttl = negative_ttl,
  })
end

--- An error ended a coroutine: logs it, and answers for the request in hand, if any. See fractal.report.
function runtime.failed(req, err, co, what)
  report.failed(req, err, co, what)
end

--- The drain loop of one worker; see fractal.dispatch.
function runtime.drain(worker)
  return require("fractal.dispatch").drain(worker)
end

return runtime
