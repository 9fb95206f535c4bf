-- Random operation streams: applies the same operations to two directories and compares every result and, at
-- intervals, both whole trees.
--
--   luajit spec/mount/streams.lua DIR_A DIR_B [--seed N] [--ops N] [--procs N] [--interval N] [--verbose]
--   luajit spec/mount/streams.lua DIR_A DIR_B --replay FILE
--
-- Each process works in a subtree of its own and, taking turns under a lock, in one that all share; one of two
-- users besides root acts now and then where both directories let them in. A stream that fails is shrunk and printed
-- as a file for --replay. DIR_B is the oracle, a tmpfs say. Exit status: 0 agreement, 1 difference, 2 wrong usage.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../../lua/?.lua;" .. here .. "/../../lua/?/init.lua;" .. here .. "/?.lua;" .. package.path

local sys = require "fractal.testing.sys"
local C = require "fractal.testing.sys_cdef"
local Context = require "fractal.testing.posix.context"
local capabilities = require "fractal.testing.posix.capabilities"
local ops = require "stream_ops"

local SHRINK_SECONDS, SHRINK_RUNS, STUCK_SECONDS = 90, 600, 60

local function usage(message)
  io.stderr:write(message, "\nusage: luajit streams.lua DIR_A DIR_B [--seed N] [--ops N] [--procs N] [--interval N]",
    " [--verbose] | --replay FILE\n")
  os.exit(2)
end

local function absolute(dir) return dir:sub(1, 1) == "/" and dir or sys.must.getcwd() .. "/" .. dir end

local function parse(arguments)
  local options = { seed = 1, ops = 10000, procs = 2, interval = 500 }
  local dirs, i = {}, 1
  while arguments[i] do
    local word = arguments[i]:match("^%-%-(%a+)$")
    if word == "verbose" then
      options.verbose = true
    elseif word == "replay" then
      i = i + 1
      options.replay = arguments[i] or usage("--replay needs a file")
    elseif word and options[word] then
      i = i + 1
      options[word] = tonumber(arguments[i]) or usage("--" .. word .. " needs a number")
    elseif arguments[i]:sub(1, 1) == "-" then
      usage("unknown option " .. arguments[i])
    else
      dirs[#dirs + 1] = absolute(arguments[i])
    end
    i = i + 1
  end
  if #dirs ~= 2 then usage("two directories, please") end
  options.a, options.b = dirs[1], dirs[2]
  return options
end

-- ---------------------------------------------------------------------------------------------- what both can do

-- Runs a capability probe in a fresh directory of base.
local function probe(base, name)
  local dir = ("%s/probe-%d"):format(base, sys.getpid())
  sys.must.mkdir(dir)
  local child = Context.new(dir):fork(function()
    sys.must.chdir(dir)
    if not capabilities.probes[name](Context.new(dir)) then error("missing", 0) end
  end)
  local ok = pcall(child.wait, child)
  sys.remove_tree(sys.FDCWD, dir)
  return ok
end

-- Whether a new subdirectory adds a link to its parent.
local function counts_directories(base)
  local dir = ("%s/links-%d"):format(base, sys.getpid())
  sys.must.mkdir(dir)
  sys.must.mkdir(dir .. "/sub")
  local links = sys.must.stat(dir).nlink
  sys.remove_tree(sys.FDCWD, dir)
  return links == 3
end

local function survey(options)
  local known = {}
  local function both(name)
    if name == "whiteout" then
      return both("rename_whiteout") and ops.nodev(options.a) == ops.nodev(options.b)
    end
    if known[name] == nil then known[name] = probe(options.a, name) and probe(options.b, name) end
    return known[name]
  end
  ops.prepare(both)
  options.users = both("two_users") and both("permissions")
  options.dir_links = counts_directories(options.a) and counts_directories(options.b)
  local missing = {}
  for name, ok in pairs(known) do
    if not ok then missing[#missing + 1] = name end
  end
  table.sort(missing)
  if #missing > 0 then print("left out, because one side lacks it: " .. table.concat(missing, ", ")) end
end

-- -------------------------------------------------------------------------------------------------------- one stream

-- The two sides of one subtree.
local function sides(options, name)
  return { dir = options.a .. "/" .. name, fds = {} }, { dir = options.b .. "/" .. name, fds = {} }
end

local function make_roots(options, name)
  for _, base in ipairs { options.a, options.b } do
    sys.must.mkdir(base .. "/" .. name)
    sys.must.chmod(base .. "/" .. name, "777")
  end
end

local function remove_roots(options, name)
  sys.remove_tree(sys.FDCWD, options.a .. "/" .. name)
  sys.remove_tree(sys.FDCWD, options.b .. "/" .. name)
end

-- Applies one operation to both sides: nil, or how the outcomes differ; the outcome as second value.
local function step(a, b, op)
  local on_a, on_b = ops.run(a, op), ops.run(b, op)
  if on_a == on_b then return nil, on_a end
  return ("%s\n  A: %s\n  B: %s"):format(ops.text(op), on_a, on_b)
end

-- Replays a list of operations in fresh subtrees: nil, or the difference and how many operations it took. In a
-- process of its own, so that a hang or a crash is a difference too.
local function replay(options, list)
  make_roots(options, "replay")
  local child = Context.new("/"):fork(function()
    sys.alarm(STUCK_SECONDS)
    sys.umask "022"
    C.setgroups(0, nil)
    local a, b = sides(options, "replay")
    for i, op in ipairs(list) do
      local difference = step(a, b, op)
      if difference then return i .. "\n" .. difference end
    end
    local difference = ops.compare(a.dir, b.dir, options.dir_links)
    return difference and (#list .. "\ntrees: " .. difference) or ""
  end)
  local ok, text = pcall(child.wait, child)
  remove_roots(options, "replay")
  if not ok then return text, #list end
  if text == "" then return nil end
  local count, difference = text:match("^(%d+)\n(.*)$")
  return difference, tonumber(count)
end

-- The first count operations of a list.
local function first(list, count)
  local part = {}
  for i = 1, count do part[i] = list[i] end
  return part
end

-- Delta debugging: the smallest list found, within bounds of time and runs, that still makes a difference.
local function shrink(options, list)
  local limit, runs = sys.clock("monotonic") + SHRINK_SECONDS, 0
  local difference, count = replay(options, list)
  if not difference then return nil end
  list = first(list, count)
  local size = math.max(1, math.floor(#list / 2))
  while runs < SHRINK_RUNS and sys.clock("monotonic") < limit do
    local reduced, at = false, 1
    while at <= #list and runs < SHRINK_RUNS and sys.clock("monotonic") < limit do
      local candidate = {}
      for i, op in ipairs(list) do
        if i < at or i >= at + size then candidate[#candidate + 1] = op end
      end
      runs = runs + 1
      local still, needed = replay(options, candidate)
      if still then
        list, difference, reduced = first(candidate, needed), still, true
      else
        at = at + size
      end
    end
    if size == 1 and not reduced then break end
    size = math.max(1, math.floor(size / 2))
  end
  return list, difference
end

-- -------------------------------------------------------------------------------------------------------- processes

local function read_log(name)
  local list = {}
  for line in io.lines(name) do list[#list + 1] = assert(loadstring("return " .. line))() end
  return list
end

-- What one process keeps for a subtree: its sides, and the log that every operation is written to before it runs.
local function subtree(options, name, control)
  local a, b = sides(options, name)
  local log = sys.must.open(control .. "/" .. name, "wronly append creat cloexec", "644")
  return { name = name, a = a, b = b, log = log }
end

-- Descriptors of the shared subtree belong to a process: slot n of process p gets the number p * 100 + n.
local function own_slots(op, process)
  if type(op[2]) == "number" then op[2] = process * 100 + op[2] end
  if op[1] == "copy" then op[4] = process * 100 + op[4] end
  return op
end

local function run_one(tree, op, tally)
  sys.must.write(tree.log, ops.text(op) .. "\n")
  local difference, result = step(tree.a, tree.b, op)
  if difference then error("difference in " .. tree.name .. ":\n" .. difference, 0) end
  local errno = result:match("^E%u+$")
  tally[op[1]] = (tally[op[1]] or 0) + 1
  tally[errno or "success"] = (tally[errno or "success"] or 0) + 1
end

local function compare_trees(options, tree)
  local difference = ops.compare(tree.a.dir, tree.b.dir, options.dir_links)
  if difference then error("difference in " .. tree.name .. ":\ntrees: " .. difference, 0) end
end

-- The work of one process; returns its tally as text.
local function work(options, process, control)
  math.randomseed(options.seed * 1000 + process)
  sys.umask "022"
  C.setgroups(0, nil)
  local own, shared = subtree(options, "own" .. process, control), subtree(options, "shared", control)
  local turn = sys.must.open(control .. "/turn", "rdwr creat cloexec", "644")
  local tally = {}
  for n = 1, math.ceil(options.ops / options.procs) do
    if n % 20 == 1 then
      sys.alarm(STUCK_SECONDS)
      if sys.stat(control .. "/stop") then break end
    end
    local op = ops.generate(options.users)
    if math.random(100) <= 20 then
      sys.must.flock(turn, "ex")
      run_one(shared, own_slots(op, process), tally)
      if n % options.interval < 5 then compare_trees(options, shared) end
      sys.must.flock(turn, "un")
    else
      run_one(own, op, tally)
    end
    if n % options.interval == 0 then compare_trees(options, own) end
  end
  compare_trees(options, own)
  local parts = {}
  for name, count in pairs(tally) do parts[#parts + 1] = name .. "=" .. count end
  return table.concat(parts, " ")
end

-- ------------------------------------------------------------------------------------------------------------ reports

local function print_tally(tally)
  local names = {}
  for name in pairs(tally) do names[#names + 1] = name end
  table.sort(names, function(x, y) return tally[x] > tally[y] or tally[x] == tally[y] and x < y end)
  for _, name in ipairs(names) do print(("  %-18s %d"):format(name, tally[name])) end
end

local function print_script(options, list, difference)
  print(("-- %d operation%s; run: luajit spec/mount/streams.lua DIR_A DIR_B --replay FILE")
    :format(#list, #list == 1 and "" or "s"))
  print("-- seed " .. options.seed .. ", " .. difference:gsub("\n", "\n-- "))
  print("return {")
  for _, op in ipairs(list) do print("\t" .. ops.text(op) .. ",") end
  print("}")
end

-- Explains a failure: shrinks the stream of the subtree it happened in and prints it; else keeps the log.
local function explain(options, message, control)
  print(message)
  local tree = message:match("^difference in (%w+):")
  if not tree then
    print("the logs of all operations are kept in " .. control)
    return
  end
  if replay(options, {}) then
    print("a directory does not answer any more; the logs of all operations are kept in " .. control)
    return
  end
  local list, difference = shrink(options, read_log(control .. "/" .. tree))
  if not list then
    print("a single process replaying the stream sees no difference; its log is " .. control .. "/" .. tree)
    return
  end
  print_script(options, list, difference)
  sys.remove_tree(sys.FDCWD, control)
end

local function run_streams(options)
  local control = os.tmpname()
  os.remove(control)
  sys.must.mkdir(control, "755")
  local names, children, failure, tally = { "shared" }, {}, nil, {}
  for process = 1, options.procs do names[#names + 1] = "own" .. process end
  for _, name in ipairs(names) do make_roots(options, name) end
  local began = sys.clock("monotonic")
  for process = 1, options.procs do
    children[process] = Context.new("/"):fork(function()
      local ok, result = pcall(work, options, process, control)
      if not ok then
        sys.close(sys.must.open(control .. "/stop", "wronly creat", "644"))
        error(result, 0)
      end
      return result
    end)
  end
  for _, child in ipairs(children) do
    local ok, text = pcall(child.wait, child)
    if not ok then
      failure = failure or text
    else
      for name, count in text:gmatch("(%S+)=(%d+)") do tally[name] = (tally[name] or 0) + tonumber(count) end
    end
  end
  if not failure then
    local difference = ops.compare(options.a .. "/shared", options.b .. "/shared", options.dir_links)
    failure = difference and "difference in shared:\ntrees: " .. difference
  end
  local seconds = sys.clock("monotonic") - began
  for _, name in ipairs(names) do remove_roots(options, name) end
  if failure then
    explain(options, failure, control)
    return 1
  end
  sys.remove_tree(sys.FDCWD, control)
  if options.verbose then print_tally(tally) end
  print(("%d operations by %d processes, seed %d: both sides agree (%d succeeded, %.1f s)"):format(
    options.ops, options.procs, options.seed, tally.success or 0, seconds))
  return 0
end

local function run_replay(options)
  local chunk, err = loadfile(options.replay)
  if not chunk then usage("cannot read the stream: " .. err) end
  local list = chunk()
  local difference, count = replay(options, list)
  if difference then
    print(("difference at operation %d of %d: %s"):format(count, #list, difference))
    return 1
  end
  print(("%d operations: both sides agree"):format(#list))
  return 0
end

local options = parse(arg)
io.stdout:setvbuf("line")
sys.signal("pipe", "ignore")
survey(options)
os.exit(options.replay and run_replay(options) or run_streams(options))
