--- A filesystem table: its settings, checked, and its handlers.
--
-- There are kinds of filesystems, which differ in their handlers: a kind knows its handlers' names and turns them into
-- low-level ones, which are what the dispatch calls.

local advice = require "fractal.advice"
local caps = require "fractal.caps"
local log = require "fractal.log"

local filesystem = {}

--- Settings of a filesystem: name → its type and the -o option that it stands for.
filesystem.settings = {
  name = { "string", "fsname" },
  state = { "string", "state" },
  workers = { "number", "workers" },
  queue_depth = { "number", "queue_depth" },
  max_write = { "number", "max_write" },
  max_readahead = { "number", "max_readahead" },
  max_background = { "number", "max_background" },
  time_gran = { "number", "time_gran" },
  request_timeout = { "number", "request_timeout" },
  max_stack_depth = { "number", "max_stack_depth" },
  transport = { "string", "transport" },
  subtype = { "string", "subtype" },
  single_only = { "boolean" },
  attr_ttl = { "number", "attr_ttl" },
  entry_ttl = { "number", "entry_ttl" },
  negative_ttl = { "number", "negative_ttl" },
  options = { "table" },
  mount = { "table" },
}
local settings = filesystem.settings
for _, cap in ipairs(caps) do
  if cap.default ~= "NEVER" and cap.default ~= "CORE" and not settings[cap.option] then
    settings[cap.option] = { "boolean", cap.option }
  end
end

local defaults = { attr_ttl = 1, entry_ttl = 1, negative_ttl = 0 }

--- Edit distance of two words (insert, delete, replace, each 1).
function filesystem.distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

local distance = filesystem.distance

--- The key of `known` most like `word`, or nil when none is near.
function filesystem.nearest(word, known)
  local best, best_distance = nil, math.max(2, math.floor(#word / 3)) + 1
  for candidate in pairs(known) do
    local d = distance(word, candidate)
    if d < best_distance or (d == best_distance and best and candidate < best) then
      best, best_distance = candidate, d
    end
  end
  return best
end

--- "; did you mean 'x'?" where a key of `known` is near, else "".
function filesystem.did_you_mean(word, known)
  local near = filesystem.nearest(tostring(word), known)
  return near and ("; did you mean '%s'?"):format(near) or ""
end
local did_you_mean = filesystem.did_you_mean

local function check_settings(given, kind, level)
  for key, value in pairs(given) do
    local rule = settings[key] or kind.settings[key]
    if not rule then
      error(("unknown setting '%s'%s"):format(tostring(key), did_you_mean(key, settings)), level + 1)
    elseif type(value) ~= rule[1] then
      error(("setting '%s' is a %s, not a %s"):format(key, rule[1], type(value)), level + 1)
    end
  end
end

--- The kind of fractal.lowlevel: its handlers are served as they are.
local lowlevel_kind = {
  signatures = advice.lowlevel, -- handler's name → its arguments
  settings = {}, -- settings of this kind beside the common ones: name = { type }
  required = { -- handlers without which nothing works: name, what fails
    { "lookup", "nothing in the mount can be reached without it" },
    { "getattr", "nothing in the mount can be reached without it" },
  },
  mount = function(_, given) return given end, -- (fs, mount options of its settings) → those to use
  -- (fs, its settings) → the table of low-level handlers, and a function (req) → "read of …" for messages
  lower = function(fs) return fs, log.request end,
}

local known = setmetatable({}, { __mode = "k" }) -- fs → what it was made with

--- Makes a filesystem table of a kind. Constructors call it in a tail call, so that mistakes in the settings name the
-- line of the script.
function filesystem.new(given, kind)
  given = given or {}
  check_settings(given, kind, 2)
  local all = {}
  for key, value in pairs(defaults) do
    all[key] = value
  end
  for key, value in pairs(given) do
    all[key] = value
  end
  local fs = { options = {} }
  known[fs] = { settings = all, help = given.options or {}, kind = kind }
  return fs
end

--- Makes a filesystem table with low-level handlers to be filled in. See README and reference for the settings.
function filesystem.lowlevel(given)
  return filesystem.new(given, lowlevel_kind)
end

--- The kind a filesystem is of.
function filesystem.kind(fs)
  return known[fs].kind
end

--- The filesystem's low-level handlers. Made at the first call: the script has filled its table in by then.
function filesystem.lowered(fs)
  local entry = known[fs]
  if not entry.low then
    entry.low, entry.subject = entry.kind.lower(fs, entry.settings)
  end
  return entry.low
end

--- What a request asks for, in the terms of the filesystem's kind: "read of inode 2", or of a path.
function filesystem.subject(fs, req)
  return known[fs].subject(req)
end

--- One of the settings that it was made with.
function filesystem.setting(fs, name)
  return known[fs].settings[name]
end

--- The filesystem serves no more. What is known of it holds the table itself, so the collector would never take it.
function filesystem.forget(fs)
  known[fs] = nil
end

--- Is the value a filesystem table?
function filesystem.is(value)
  return known[value] ~= nil
end

--- The filesystem's settings as a flat list of -o words: name, value or false, …
function filesystem.words(fs)
  local words = {}
  local function add(name, value)
    words[#words + 1] = value == false and "no" .. name or name
    words[#words + 1] = type(value) ~= "boolean" and tostring(value) or false
  end
  for key, value in pairs(known[fs].settings) do
    local word = settings[key] and settings[key][2]
    if word then
      add(word, value)
    end
  end
  for key, value in pairs(known[fs].kind.mount(fs, known[fs].settings.mount or {})) do
    add(key, value)
  end
  return words
end

--- Does the filesystem keep its data in Lua tables, so that states of their own would each see other files?
function filesystem.single_only(fs)
  return known[fs].settings.single_only == true
end

--- The script's own -o options as a flat list: name, help text, …
function filesystem.option_list(fs)
  local list = {}
  for name, help in pairs(known[fs].help) do
    list[#list + 1] = name
    list[#list + 1] = tostring(help)
  end
  return list
end

--- Capability bits that the handlers ask for by being there.
function filesystem.capabilities(fs)
  local names, bits = {}, {}
  fs = filesystem.lowered(fs)
  names.posix_locks = fs.setlk ~= nil
  names.flock_locks = fs.flock ~= nil
  names.readdirplus = fs.readdirplus ~= nil
  names.readdirplus_auto = fs.readdirplus ~= nil and fs.readdir ~= nil
  for _, cap in ipairs(caps) do
    if names[cap.option] then
      bits[#bits + 1] = cap.bit
    end
  end
  return bits
end

--- Names of functions in the table that are no handlers, each with a guess.
function filesystem.misspelt(fs)
  local list, signatures = {}, known[fs].kind.signatures
  for name, value in pairs(fs) do
    if type(value) == "function" and not signatures[name] then
      local near = filesystem.nearest(tostring(name), signatures)
      if advice.lowlevel[name] then
        list[#list + 1] = ("'%s' is a handler of fractal.lowlevel, which this filesystem is not"):format(name)
      elseif near then
        list[#list + 1] = ("'%s' is no handler; did you mean '%s'?"):format(tostring(name), near)
      end
    end
  end
  table.sort(list)
  return list
end

return filesystem
