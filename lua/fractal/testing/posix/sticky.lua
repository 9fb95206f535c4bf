-- The sticky bit: who may remove and rename in a directory that everybody may write to.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

-- A sticky directory d owned by dir_owner with an entry x owned by file_owner; the caller is bob.
local function prepare(t, dir_owner, file_owner, kind)
  t:directory "d"
  t:make(kind, "d/x")
  must.lchown("d/x", file_owner, file_owner)
  must.chown("d", dir_owner, dir_owner)
  must.chmod("d", "1777")
end

local owners = {
  { "another's entry in root's directory", 0, 10001, false },
  { "root's entry in root's directory", 0, 0, false },
  { "one's own entry in root's directory", 0, 10002, true },
  { "another's entry in one's own directory", 10002, 10001, true },
  { "another's entry in that other's directory", 10001, 10001, false },
}
for _, row in ipairs(owners) do
  local title, dir_owner, file_owner, allowed = row[1], row[2], row[3], row[4]
  for _, kind in ipairs { "file", "dir", "symlink" } do
    local function check(t, fn, ...)
      if allowed then
        local value, err = fn(...)
        t:check(value, ("%s: expected success, got %s"):format(sys.describe(fn, ...), tostring(err)))
      else
        t:expect("EPERM", fn, ...)
      end
    end
    local word = allowed and "works" or "is EPERM"
    case(("removing %s (%s) %s"):format(title, kind, word), function(t)
      prepare(t, dir_owner, file_owner, kind)
      t:as(t.bob, function() check(t, kind == "dir" and sys.rmdir or sys.unlink, "d/x") end)
    end, { "two_users", "permissions", "symlink" })
    case(("renaming %s (%s) %s"):format(title, kind, word), function(t)
      prepare(t, dir_owner, file_owner, kind)
      t:as(t.bob, function() check(t, sys.rename, "d/x", "d/y") end)
    end, { "two_users", "permissions", "symlink" })
    case(("replacing %s (%s) %s"):format(title, kind, word), function(t)
      prepare(t, dir_owner, file_owner, kind)
      t:as(t.bob, function()
        t:make(kind == "dir" and "dir" or "file", "d/mine")
        check(t, sys.rename, "d/mine", "d/x")
      end)
    end, { "two_users", "permissions", "symlink" })
  end
end

case("without the sticky bit anybody removes", function(t)
  prepare(t, 0, 10001, "file")
  must.chmod("d", "777")
  t:as(t.bob, function() must.unlink "d/x" end)
end, { "two_users", "permissions" })

case("root removes in spite of the sticky bit", function(t)
  prepare(t, 10001, 10001, "file")
  must.unlink "d/x"
end, { "root" })

case("everybody may create in a sticky directory", function(t)
  prepare(t, 0, 0, "file")
  t:as(t.bob, function()
    t:file "d/mine"
    t:directory "d/dir"
    must.unlink "d/mine"
    must.rmdir "d/dir"
  end)
end, { "two_users", "permissions" })

case("exchanging with another's file in a sticky directory is EPERM", function(t)
  prepare(t, 0, 10001, "file")
  t:as(t.bob, function()
    t:file "d/mine"
    t:expect("EPERM", sys.rename2, "d/mine", "d/x", "exchange")
  end)
end, { "two_users", "permissions", "rename_exchange" })

return cases
