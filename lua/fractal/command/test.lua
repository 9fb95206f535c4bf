--- `fractal-lua test`: everything that can be tried on a filesystem script, with one report.

local guard = require "fractal.testing.guard"
local mounts = require "fractal.testing.mounts"
local posix = require "fractal.testing.posix"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"
local testing = require "fractal.testing"
local tool = require "fractal.tool"

local SPEC_SECONDS = 600
local MOST_FAILURES = 40 -- that are told one by one, for each mount

-- Subjects of the POSIX suite that are about one handler.
local SUBJECT_OF = {
  rename = "^rename/", link = "^links/", symlink = "^symlinks/", setxattr = "^xattrs/", rmdir = "^directories/",
}

local passed, failed = 0, 0

local function say(fmt, ...)
  io.write(fmt:format(...), "\n")
  io.flush()
end

local function indented(text)
  return "  " .. text:gsub("\n$", ""):gsub("\n", "\n  ")
end

-- Counts one check; says what is wrong with it.
local function count(ok, complaint)
  passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
  if not ok then
    say("  failed: %s", (complaint:gsub("\n$", ""):gsub("\n", "\n    ")))
  end
  return ok
end

-- ---- the script alone -------------------------------------------------------------------------------------------

-- Runs --check; returns the set of handlers, or nil when the script cannot be loaded.
local function check(script)
  say("check of %s", script)
  local result = process.run({ testing.command, "--check", script }, 60, { cwd = sys.getcwd() })
  local list = result.out:match("^%d+ handlers?: ([^\n]*)\n")
  if result.out ~= "" then
    say("%s", indented(result.out))
  end
  local complaint = result.err ~= "" and result.err:gsub("fractal%-lua: error: ", "") or "see above"
  if not count(result.status == 0, complaint) and not list then
    return nil
  end
  local handlers = {}
  for name in list:gmatch("%S+") do
    handlers[name] = true
  end
  return handlers
end

-- ---- mounts -------------------------------------------------------------------------------------------------------

-- Why no files and directories can be made and removed in the mount: nil where they can.
local function why_not_writable(m)
  local ok, reason = pcall(m.run, m, function(dir)
    local own = dir .. "/.fractal-test"
    local fd
    for _, step in ipairs {
      { "mkdir", own, "755" }, { "open", own .. "/file", "wronly creat", "644" }, { "write", nil, "text" },
      { "unlink", own .. "/file" }, { "rmdir", own },
    } do
      local name, first, second, third = unpack(step, 1, 4)
      local value, err = sys[name](first or fd, second, third)
      if value == nil then
        return ("%s gives %s"):format(name, err)
      end
      fd = name == "open" and value or fd
    end
  end)
  return not ok and "it does not answer" or reason
end

-- What the POSIX suite leaves out for want of handlers: pattern → reason.
local function skips(handlers)
  local list = {}
  for handler, pattern in pairs(SUBJECT_OF) do
    if not handlers[handler] then
      list[pattern] = "there is no handler " .. handler
    end
  end
  return list
end

local function run_posix(m, handlers, filter)
  local reason = why_not_writable(m)
  local ok, result = pcall(testing.posix, m, {
    reading = reason ~= nil, lenient = true, skip = skips(handlers), filter = filter, timeout = 10,
  })
  if not ok then
    return count(false, result)
  end
  local part = reason and (", the part that changes nothing (%s)"):format(reason) or ""
  say("  POSIX suite%s: %s", part, posix.counts(result))
  for _, line in ipairs(posix.details(result, MOST_FAILURES)) do
    say("%s", indented(line))
  end
  passed, failed = passed + result.passed, failed + result.failed
  return result.failed == 0
end

-- The end of a log, where errors were logged or something has failed.
local function tell_log(m, ok)
  local log = m.log()
  if ok and not log:find("fractal%-lua: error: ") then
    return
  end
  local lines = {}
  for line in log:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  say("  the mount's log%s:", #lines > 20 and " ends" or "")
  say("%s", indented(indented(table.concat(lines, "\n", math.max(1, #lines - 19)))))
end

local function mount_options(given)
  local options = { unpack(given or {}) }
  if sys.geteuid() == 0 then -- the suite becomes other users, and tries devices and set-id bits
    options.allow_other, options.suid, options.dev = true, true, true
  end
  return options
end

local function try_mount(script, transport, handlers, options)
  say("\nmount over %s", transport)
  local ok, m = pcall(testing.mount, {
    script = script, transport = transport, options = mount_options(options.option),
  })
  if not count(ok, ok or m:gsub("^[^\n]-%.lua:%d+: ", "")) then
    return
  end
  say("  %s", m.ready)
  local done = not options.posix or run_posix(m, handlers, options.filter)
  local ended, status = pcall(m.unmount, m)
  if not ended or status ~= 0 then
    m:kill("kill") -- and teardown need not say it once more
  end
  done = count(ended and status == 0, ended and "the server ended with status " .. status or status) and done
  tell_log(m, done)
end

-- ---- its spec -------------------------------------------------------------------------------------------------------

local function spec_command(directory, spec)
  local lua = testing.find_program "luajit" and "--lua=luajit" or nil
  local output = ("--output=%s/fractal/testing/busted_output.lua"):format(directory)
  return { "sh", "-c", 'exec busted "$@" 2>&1', "sh", output, spec, lua }
end

local function run_spec(spec, transport)
  say("\n%s over %s", spec, transport)
  if not testing.find_program "busted" then
    count(false, "there is no busted in PATH to run it: luarocks install busted, or your distribution's package")
    return
  end
  local directory = mounts.directory()
  require "fractal.command.unpack".write(directory)
  local result = process.run(spec_command(directory, spec), SPEC_SECONDS, {
    cwd = sys.getcwd(),
    env = {
      LUA_PATH = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory, os.getenv("LUA_PATH") or ";"),
      FRACTAL_LUA = testing.command, FRACTAL_TRANSPORT = transport,
    },
  })
  say("%s", indented(result.out))
  local good, bad = result.out:match("\n?(%d+) passed, (%d+) failed\n$")
  if not good then
    count(false, ("busted ended with status %d"):format(result.status))
  else
    passed, failed = passed + good, failed + bad
  end
end

-- The spec to run: the one that is named, else the script's neighbour where there is one.
local function find_spec(script, named)
  if named and not sys.access(named, "r") then
    tool.fail("the spec %s cannot be read", named)
  end
  local neighbour = script:gsub("%.lua$", "") .. "_spec.lua"
  return named or sys.access(neighbour, "r") and neighbour or nil, neighbour
end

-- ---- all of it ------------------------------------------------------------------------------------------------------

local function transports(wanted)
  local ok, reason = testing.available(wanted)
  if not ok then
    tool.fail("nothing can be mounted here%s: %s (fractal-lua --doctor tells what to do)",
      wanted and " over " .. wanted or "", reason)
  end
  return wanted and { wanted } or testing.transports()
end

local function try_all(options, words)
  local script = words[1]
  if not sys.access(script, "r") then
    tool.fail("the script %s cannot be read", script)
  end
  testing.command = tool.binary()
  local spec, neighbour = find_spec(script, options.spec)
  local list = transports(options.transport)
  local handlers = check(script)
  for _, transport in ipairs(handlers and list or {}) do
    try_mount(script, transport, handlers, options)
  end
  for _, transport in ipairs(handlers and spec and list or {}) do
    run_spec(spec, transport)
  end
  if handlers and not spec then
    say("\nthere is no %s to run", neighbour)
  end
  local cleared, problems = pcall(testing.teardown)
  if not cleared then
    count(false, problems)
  end
  say("\n%d passed, %d failed", passed, failed)
  return failed == 0 and 0 or 1
end

return {
  summary = "try a filesystem: check, mounts, the POSIX suite, its spec",
  usage = "SCRIPT [options]",
  text = [[
Checks the script, mounts it over each transport that there is, runs the cases of the POSIX suite that it can pass with
the handlers it has (those that change nothing where no directories and files can be made), and then SCRIPT_spec.lua
with busted. The suite works in a directory of its own in the mount. The last line is "N passed, N failed".]],
  options = {
    { "posix", no = true, default = true, help = "the POSIX suite" },
    { "filter", value = "PATTERN", help = "only cases of the suite whose SUBJECT/NAME matches, a Lua pattern" },
    { "transport", value = "NAME", choices = { "uring", "dev" }, help = "only over this one" },
    { "option", short = "o", value = "OPT", many = true, help = "an option of the mount or the script" },
    { "spec", value = "FILE", help = "this spec in place of SCRIPT_spec.lua" },
  },
  words = { 1, 1 },
  run = function(options, words)
    return guard.run(function() return try_all(options, words) end)
  end,
}
