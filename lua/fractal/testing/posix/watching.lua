-- inotify(7): what is done in the filesystem is told to those who watch it.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local bit = require "bit"

-- Watches path for the event while action runs: fails unless it came, for the name given ("" for path itself).
local function told(title, path, event, name, action, needs)
  case(title, function(t)
    t:directory "d"
    t:file("d/f", "content")
    local fd = must.inotify(path, event)
    action(t)
    for _, got in ipairs(sys.inotify_read(fd) or {}) do
      if bit.band(got.mask, sys.K.inotify[event]) ~= 0 and got.name == name then return end
    end
    error(("%s of %q: expected an event, got none"):format(event, name), 0)
  end, needs)
end

told("a new file is told", "d", "create", "new", function(t) t:file "d/new" end)
told("a new directory is told", "d", "create", "new", function() must.mkdir "d/new" end)
told("a new link is told", "d", "create", "new", function() must.link("d/f", "d/new") end, { "link" })
told("a removed file is told", "d", "delete", "f", function() must.unlink "d/f" end)
told("the end of a watched file is told", "d/f", "delete_self", "", function() must.unlink "d/f" end)
told("a file moved away is told", "d", "moved_from", "f", function() must.rename("d/f", "g") end)
told("a file moved in is told", "d", "moved_to", "g", function() must.rename("d/f", "d/g") end)
told("a write is told", "d", "modify", "f", function(t) t:file("d/f", "new content") end)
told("a chmod is told", "d", "attrib", "f", function() must.chmod("d/f", "600") end)
told("closing after writing is told", "d", "close_write", "f", function(t) t:file("d/f", "x") end)
told("another process's write is told", "d", "modify", "f", function(t)
  t:fork(function() t:file("d/f", "from elsewhere") end):wait()
end)

return cases
