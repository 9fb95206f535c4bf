-- Runs the POSIX suite on a directory: luajit spec/mount/posix_run.lua DIR [options]
--
--   --user UID           run it as this user (and its gid UID), in a directory of DIR made for it; needs root
--   --filter PATTERN     only cases whose id (subject/name) matches this Lua pattern
--   --expect-skip LIST   comma-separated capability names that may be missing ("none": no skip at all is accepted);
--                        a case skipped for any other reason counts as failed
--   --timeout SECONDS    for each case (default 10)
--   --list               print the ids of the cases and stop
--   --verbose            one line for every case
--
-- Prints a line for each failure and at the end "N passed, N failed[, N skipped]"; exit status 1 on failures, 2 on
-- wrong usage.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../../lua/?.lua;" .. here .. "/../../lua/?/init.lua;" .. package.path

local sys = require "fractal.testing.sys"
local posix = require "fractal.testing.posix"

local function usage(message)
  io.stderr:write(message, "\nusage: luajit posix_run.lua DIR [--user UID] [--filter PATTERN] ",
    "[--expect-skip LIST] [--timeout SECONDS] [--list] [--verbose]\n")
  os.exit(2)
end

local function parse(arguments)
  local options, i = {}, 1
  local valued = { ["--user"] = "user", ["--filter"] = "filter", ["--expect-skip"] = "expect_skip",
    ["--timeout"] = "timeout" }
  while arguments[i] do
    local word = arguments[i]
    if valued[word] then
      i = i + 1
      options[valued[word]] = arguments[i] or usage(word .. " needs a value")
    elseif word == "--list" or word == "--verbose" then
      options[word:sub(3)] = true
    elseif word:sub(1, 1) == "-" then
      usage("unknown option " .. word)
    elseif options.dir then
      usage("one directory only, please: " .. word)
    else
      options.dir = word
    end
    i = i + 1
  end
  for _, name in ipairs { "user", "timeout" } do
    if options[name] and not tonumber(options[name]) then usage("--" .. name .. " needs a number") end
  end
  return options
end

-- Makes the directory own for the user and becomes the user.
local function become(own, uid)
  sys.must.mkdir(own, "755")
  sys.must.chown(own, uid, uid)
  local ok, err = sys.become(uid, uid)
  if not ok then usage("cannot become user " .. uid .. ": " .. err) end
  ok, err = sys.access(own, "r w x")
  if not ok then
    usage(("user %d cannot reach %s (%s): every directory above must be searchable, a FUSE mount needs allow_other")
      :format(uid, own, err))
  end
end

-- Turns skips that are not in the comma-separated list of capabilities into failures.
local function refuse_skips(outcome, allowed)
  if outcome.status ~= "skipped" or not allowed then return end
  if outcome.missing and ("," .. allowed .. ","):find("," .. outcome.missing .. ",", 1, true) then return end
  outcome.status, outcome.message = "failed", "unexpected skip: " .. outcome.message
end

local options = parse(arg)
if options.list then
  print(table.concat(posix.names(), "\n"))
  os.exit(0)
end
if not options.dir then usage("which directory?") end
local function run(dir)
  io.stdout:setvbuf("line")
  local result = posix.run(dir, {
    filter = options.filter,
    timeout = tonumber(options.timeout),
    report = function(outcome)
      refuse_skips(outcome, options.expect_skip)
      if options.verbose then print(posix.line(outcome)) end
    end,
  })
  print(posix.format(result))
  return result.failed == 0 and #result.cases > 0 and 0 or 1
end

-- The same in a process that has become the user; its directory is removed here, with root's rights.
local function run_as(dir, uid)
  local own = ("%s/user-%d"):format(dir, sys.getpid())
  local pid = sys.must.fork()
  if pid == 0 then
    become(own, uid)
    os.exit(run(own))
  end
  local _, status = sys.must.waitpid(pid)
  sys.remove_tree(sys.FDCWD, own)
  return status or 1
end

os.exit(options.user and run_as(options.dir, tonumber(options.user)) or run(options.dir))
