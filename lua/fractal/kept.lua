--- `fractal.kept(name, make)`: a value that stays when the script is reloaded.
--
--     local notes = fractal.kept("notes", function() return {} end)
--
-- The first call of a name calls make() and keeps what it returns; later ones, those of a reloaded script too, return
-- that. Names are the script's own, and each Lua state keeps its own values. They stay until the unmount, also while no
-- version of the script asks for them.

local saved = require "fractal.saved"

local kept = {}

local values = {} -- name → value
local counts = {} -- what a constructor keeps → how often it was made in this run of the script

function kept.get(name, make)
  if type(name) ~= "string" or type(make) ~= "function" then
    error("fractal.kept takes a name and a function that makes the value", 2)
  end
  if values[name] == nil then
    local value = make()
    if value == nil then
      error(("the function of fractal.kept(%q) returned nothing to keep"):format(name), 2)
    end
    values[name] = value
  end
  return values[name]
end

--- A name for what the library keeps for the script: the second filesystem of one kind finds that of the second.
function kept.own(kind)
  counts[kind] = (counts[kind] or 0) + 1
  return ("fractal.%s %d"):format(kind, counts[kind])
end

--- The script runs once more. Returns a function that forgets what was kept since, for a run that came to nothing.
function kept.begin()
  counts = {}
  return saved.of(values)
end

return kept
