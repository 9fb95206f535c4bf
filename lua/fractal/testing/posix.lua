-- The POSIX conformance suite: several hundred small cases with their exact errno, run on a directory of any
-- filesystem. Each case runs in a process of its own with a time limit, so a hang or a crash fails that case alone.
-- The process that calls run never touches the directory itself: it must not be the one that serves the mount.
--
--   local posix = require "fractal.testing.posix"
--   local result = posix.run("/mnt")
--   print(posix.format(result))
--
-- In a busted spec each case becomes one assertion:
--
--   for _, name in ipairs(posix.names()) do
--     it(name, function() posix.assert(result, name) end)     -- result = posix.run(dir), made in setup
--   end

local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"
local Context = require "fractal.testing.posix.context"
local capabilities = require "fractal.testing.posix.capabilities"

local posix = {}

-- After this many cases that timed out the others are not tried: the filesystem does not answer any more. One that
-- hangs in the kernel and cannot be killed counts for several.
local HANGS, HUNG = 10, 5

-- The subjects, each a file of cases in fractal/testing/posix/.
posix.subjects = {
  "path", "names", "open", "io", "truncate", "directories", "readdir", "links", "unlink", "symlinks",
  "rename", "permissions", "sticky", "owners", "times", "attributes", "xattrs", "acls",
  "locks", "special", "tmpfiles", "space", "copying", "mapping", "borders", "watching",
}

-- The subjects whose cases change nothing, for filesystems that only show something.
posix.reading_subjects = { "reading" }

-- Every case of the subjects (default: posix.subjects) as { id = "subject/name", name, needs, run }, in their order.
function posix.cases(subjects)
  local all, seen = {}, {}
  for _, subject in ipairs(subjects or posix.subjects) do
    for _, case in ipairs(require("fractal.testing.posix." .. subject)) do
      local id = subject .. "/" .. case.name
      if seen[id] then error("two cases are named " .. id) end
      seen[id] = true
      all[#all + 1] = { id = id, name = case.name, needs = case.needs, run = case.run }
    end
  end
  return all
end

-- The ids of all cases.
function posix.names()
  local names = {}
  for i, case in ipairs(posix.cases()) do names[i] = case.id end
  return names
end

-- ---------------------------------------------------------------------------------------------------- one process each

-- Runs fn in a process of its own with a time limit in seconds: returns "ok", "fail" or "skip", the text, and for how
-- many cases that timed out it counts.
local function isolated(timeout, fn)
  local text, problem, how = process.isolated(timeout, function(fd) return Context.outcome(fn, fd) end)
  local kind, message = text:match("^(%a+)\n(.*)$")
  if kind and not problem then return kind, message, 0 end
  return "fail", problem or "ended without a result", how == "hung" and HUNG or how == "late" and 1 or 0
end

local Suite = {}
Suite.__index = Suite

-- Runs fn in a process of its own; returns "ok", "fail" or "skip", the text, and the seconds it took.
function Suite:timed(fn)
  local began = sys.clock("monotonic")
  local kind, message, late = isolated(self.timeout, fn)
  self.late = self.late + late
  return kind, message, sys.clock("monotonic") - began
end

-- Runs a function in the directory itself, which it is to leave as it is.
function Suite:in_place(fn)
  return self:timed(function(report_fd)
    sys.must.chdir(self.dir)
    return fn(Context.new(self.dir, report_fd))
  end)
end

-- Runs a function in a fresh empty directory that is removed afterwards, whatever happened in it.
function Suite:in_directory(fn)
  self.serial = self.serial + 1
  local dir = ("%s/%d"):format(self.work, self.serial)
  local kind, message, seconds = self:timed(function(report_fd)
    sys.umask("022")
    sys.must.mkdir(dir, "755")
    sys.must.chdir(dir)
    local t = Context.new(dir, report_fd)
    local ok, result = pcall(fn, t)
    sys.chdir("/")
    sys.remove_tree(sys.FDCWD, dir)
    if not ok then error(result, 0) end
    return result
  end)
  if kind == "fail" then
    isolated(self.timeout, function() sys.remove_tree(sys.FDCWD, dir) end)
  end
  return kind, message, seconds
end

-- Whether the filesystem has a capability: true, or nil and why not. Probed once.
function Suite:has(name)
  local known = self.capabilities[name]
  if not known then
    local probe = capabilities.probes[name] or error("unknown capability " .. name)
    local kind, message = self:in_directory(function(t)
      local ok, reason = probe(t)
      if not ok then t:skip(reason) end
    end)
    known = { ok = kind == "ok", reason = message }
    self.capabilities[name] = known
  end
  return known.ok, known.reason
end

-- The reason to skip a case, or nil.
function Suite:skips(case)
  for pattern, reason in pairs(self.skip) do
    if case.id:find(pattern) then return reason end
  end
  for _, need in ipairs(case.needs or {}) do
    local ok, reason = self:has(need)
    if not ok then return reason, need end
  end
end

function Suite:run_case(case)
  local outcome = { name = case.id, needs = case.needs, seconds = 0 }
  local reason, need = self:skips(case)
  if reason then
    outcome.status, outcome.message, outcome.missing = "skipped", reason, need
    return outcome
  end
  if self.late >= HANGS then
    outcome.status, outcome.message = "failed", "not run: cases before it timed out or hung"
    return outcome
  end
  local run = self.reading and self.in_place or self.in_directory
  local kind, message, seconds = run(self, case.run)
  local call = self.lenient and kind == "fail" and message:match("([%w_]+)%(.*%): expected [^\n]*, got ENOSYS$")
  if call then
    kind, message = "skip", ("%s is not implemented"):format(call)
  end
  outcome.status = ({ ok = "passed", fail = "failed", skip = "skipped" })[kind]
  outcome.message, outcome.seconds = message ~= "" and message or nil, seconds
  return outcome
end

-- --------------------------------------------------------------------------------------------------------- the suite

local runs = 0 -- of the suite, by this process

local function absolute(dir)
  if dir:sub(1, 1) == "/" then return dir end
  return sys.must.getcwd() .. "/" .. dir
end

local function skip_table(skip)
  if type(skip) == "string" then return { [skip] = "skipped on request" } end
  local patterns = {}
  for key, value in pairs(skip or {}) do
    if type(key) == "number" then
      patterns[value] = "skipped on request"
    else
      patterns[key] = value
    end
  end
  return patterns
end

-- Runs the suite in a directory (an empty work directory is made in it and removed at the end). Options:
--   filter   Lua pattern that a case's id must match       skip     pattern, list of them, or pattern → reason
--   report   function(outcome) called after each case, which may change the outcome before it is counted
--   timeout  seconds a case may take (default 10)
--   alive    function that tells whether the filesystem's server is still there; where it is not, the suite ends
--   reading  run the cases that change nothing, on what is there, and make no work directory
--   lenient  a case that fails since a call gives ENOSYS is skipped: the filesystem does not implement that call
-- Returns { passed, failed, skipped = counts, cases = { { name, status, message, seconds }… }, seconds }.
function posix.run(dir, options)
  options = options or {}
  runs = runs + 1
  local suite = setmetatable({
    dir = absolute(dir), work = ("%s/posix-%d-%d"):format(absolute(dir), sys.getpid(), runs), serial = 0, late = 0,
    capabilities = {}, timeout = options.timeout or 10, skip = skip_table(options.skip), reading = options.reading,
    lenient = options.lenient,
  }, Suite)
  local began = sys.clock("monotonic")
  local kind, message = isolated(suite.timeout, function()
    return suite.reading and sys.must.list(suite.dir) and "" or sys.must.mkdir(suite.work, "755")
  end)
  if kind ~= "ok" then
    error(("cannot work in %s: %s; give a directory that the user running the suite may %s")
      :format(dir, message, suite.reading and "read" or "write to"), 2)
  end
  local result = { passed = 0, failed = 0, skipped = 0, cases = {} }
  for _, case in ipairs(posix.cases(suite.reading and posix.reading_subjects)) do
    if not options.filter or case.id:find(options.filter) then
      local outcome = suite:run_case(case)
      local ended = options.alive and not options.alive()
      if ended then
        outcome.status, outcome.message = "failed", "the server ended in this case; those behind it were not run"
      end
      if options.report then options.report(outcome) end
      result[outcome.status] = result[outcome.status] + 1
      result.cases[#result.cases + 1] = outcome
      if ended then break end
    end
  end
  if not suite.reading then
    isolated(suite.timeout, function() sys.remove_tree(sys.FDCWD, suite.work) end)
  end
  result.seconds = sys.clock("monotonic") - began
  return result
end

-- One line (or a few) for an outcome: "failed  rename/…: expected EEXIST, got success".
function posix.line(outcome)
  local text = ("%-7s %s"):format(outcome.status, outcome.name)
  if outcome.message then text = text .. ": " .. outcome.message:gsub("\n", "\n        ") end
  return text
end

-- What there is to tell of a result, as a list: failures (no more than most, where that is given), then skips by
-- reason. Each is a line or a few.
function posix.details(result, most)
  local lines, reasons, order, failures = {}, {}, {}, 0
  for _, outcome in ipairs(result.cases) do
    if outcome.status == "failed" then
      failures = failures + 1
      if failures <= (most or math.huge) then lines[failures] = posix.line(outcome) end
    elseif outcome.status == "skipped" then
      if not reasons[outcome.message] then order[#order + 1] = outcome.message end
      reasons[outcome.message] = (reasons[outcome.message] or 0) + 1
    end
  end
  if failures > #lines then lines[#lines + 1] = ("… and %d more that failed"):format(failures - #lines) end
  for _, reason in ipairs(order) do
    lines[#lines + 1] = ("skipped %d case%s: %s"):format(reasons[reason], reasons[reason] == 1 and "" or "s", reason)
  end
  return lines
end

-- The report: the details, then the counts.
function posix.format(result)
  local lines = posix.details(result)
  lines[#lines + 1] = posix.counts(result)
  return table.concat(lines, "\n")
end

-- "412 passed, 0 failed, 3 skipped"
function posix.counts(result)
  local text = ("%d passed, %d failed"):format(result.passed, result.failed)
  if result.skipped > 0 then text = ("%s, %d skipped"):format(text, result.skipped) end
  return text
end

-- Raises when the case named did not pass in this result; returns the reason when it was skipped.
function posix.assert(result, name)
  for _, outcome in ipairs(result.cases) do
    if outcome.name == name then
      if outcome.status == "failed" then error(posix.line(outcome), 2) end
      return outcome.status == "skipped" and outcome.message or nil
    end
  end
  error("no case named " .. name .. " was run", 2)
end

return setmetatable(posix, { __call = function(_, ...) return posix.run(...) end })
