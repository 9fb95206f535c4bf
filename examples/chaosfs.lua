-- Mirrors a directory and misbehaves by rule, to see how applications take it.
--
--   fractal-lua -o source=DIR,rules=FILE examples/chaosfs.lua /mnt
--
-- Each line of FILE is a rule: an operation (or *), then what happens, then how likely (1 where it is left out):
--
--   read   delay 0.2         every read waits 200 ms first
--   write  error ENOSPC 0.1  one write in ten fails
--   read   short 0.5         every other read brings only half of what was asked for
--   *      error EIO 0.001
--
-- A delayed request leaves the worker to others. Empty lines and lines that begin with # do nothing. Without FILE it
-- mirrors faithfully. The kernel's caches hide repeated reads from it, so cache=never is the default here.

local fractal = require "fractal"
local E = fractal.errno

local fs = require "fractal.passthrough" {
  name = "chaosfs",
  cache = "never",
  options = { rules = "file with one rule a line: OPERATION delay SECONDS|error NAME|short [PROBABILITY]" },
}

local OPERATIONS = {
  "lookup", "getattr", "setattr", "readlink", "symlink", "mknod", "mkdir", "unlink", "rmdir", "rename", "link", "open",
  "create", "read", "write", "fsync", "opendir", "readdir", "statfs", "getxattr", "setxattr", "listxattr",
}

local rules = {} -- operation → list of { kind, value, probability }

local function known(operation)
  return operation == "*" or type(fs[operation]) == "function"
end

local function parse(line)
  local operation, kind, rest = line:match("^(%S+)%s+(%S+)%s*(.-)%s*$")
  local words = {}
  for word in (rest or ""):gmatch("%S+") do
    words[#words + 1] = word
  end
  local value
  if kind == "delay" then
    value = tonumber(table.remove(words, 1))
  elseif kind == "error" then
    local ok, number = pcall(function() return E[table.remove(words, 1)] end)
    value = ok and number or nil
  elseif kind == "short" then
    value = true
  end
  local probability = tonumber(words[1] or 1)
  if not value or not probability or #words > 1 or not known(operation) then
    return nil
  end
  return operation, { kind = kind, value = value, probability = probability }
end

local function load_rules(path)
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    if line:match("%S") and not line:match("^%s*#") then
      local operation, rule = parse(line)
      if not operation then
        error(("%s:%d: %q is no rule; one reads: OPERATION delay SECONDS|error NAME|short [PROBABILITY]"):format(
          path, number, line), 0)
      end
      rules[operation] = rules[operation] or {}
      table.insert(rules[operation], rule)
    end
  end
end

local function applies(rule)
  return rule.probability >= 1 or math.random() < rule.probability
end

--- Does what the list of rules says: returns an errno, and whether the transfer is to be short.
local function suffer(list)
  local short
  for _, rule in ipairs(list or {}) do
    if applies(rule) then
      if rule.kind == "error" then
        return rule.value
      elseif rule.kind == "short" then
        short = true
      else
        local ok, err = fractal.io.sleep(rule.value)
        if not ok then
          return err
        end
      end
    end
  end
  return nil, short
end

--- A buffer of half the length, at least one byte.
local function half(buf)
  return #buf > 1 and buf:sub(0, math.floor(#buf / 2)) or buf
end

for _, operation in ipairs(OPERATIONS) do
  local faithful = fs[operation]
  if faithful then
    fs[operation] = function(req, ino, third, ...)
      local err, short = suffer(rules[operation])
      if not err then
        local more
        err, more = suffer(rules["*"])
        short = short or more
      end
      if err then
        return nil, err
      elseif short and (operation == "read" or operation == "write") then
        third = half(third)
      end
      return faithful(req, ino, third, ...)
    end
  end
end

local start = fs.init

function fs.init(conn)
  if fs.options.rules then
    local ok, why = pcall(load_rules, fs.options.rules)
    if not ok then
      fractal.log.error("%s", why)
      return nil, E.INVAL
    end
  end
  return start(conn)
end

return fs
