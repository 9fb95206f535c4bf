-- POSIX access control lists, through the extended attributes that hold them.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local tags = { user_obj = 1, user = 2, group_obj = 4, group = 8, mask = 16, other = 32 }

local function u16(n) return string.char(n % 256, math.floor(n / 256) % 256) end
local function u32(n) return u16(n % 65536) .. u16(math.floor(n / 65536)) end

-- The attribute value for entries { tag, permissions[, id] }, in the order the kernel wants.
local function acl(entries)
  local parts = { u32(2) }
  for _, entry in ipairs(entries) do
    parts[#parts + 1] = u16(tags[entry[1]]) .. u16(entry[2]) .. u32(entry[3] or 0xffffffff)
  end
  return table.concat(parts)
end

local access, default = "system.posix_acl_access", "system.posix_acl_default"

case("a named user's entry lets that user in", function(t)
  t:file("f", "x", "600")
  t:as(t.alice, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
  must.setxattr("f", access, acl { { "user_obj", 6 }, { "user", 4, t.alice.uid }, { "group_obj", 0 }, { "mask", 4 },
    { "other", 0 } })
  t:as(t.alice, function()
    must.open("f", "rdonly")
    t:expect("EACCES", sys.open, "f", "wronly")
  end)
  t:as(t.bob, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
  t:mode("f", "640")
end, { "acl", "two_users", "permissions" })

case("a named group's entry lets its members in", function(t)
  t:file("f", "x", "600")
  must.setxattr("f", access, acl { { "user_obj", 6 }, { "group_obj", 0 }, { "group", 6, 7777 }, { "mask", 6 },
    { "other", 0 } })
  t:as(t.alice, function() must.open("f", "rdwr") end, { 7777 })
  t:as(t.alice, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
end, { "acl", "two_users", "permissions" })

case("the mask limits named entries, and chmod changes the mask", function(t)
  t:file("f", "x", "600")
  must.setxattr("f", access, acl { { "user_obj", 6 }, { "user", 6, t.alice.uid }, { "group_obj", 0 }, { "mask", 4 },
    { "other", 0 } })
  t:as(t.alice, function() t:expect("EACCES", sys.open, "f", "wronly") end)
  must.chmod("f", "660")
  t:as(t.alice, function() must.open("f", "rdwr") end)
  must.chmod("f", "600")
  t:as(t.alice, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
end, { "acl", "two_users", "permissions" })

case("a list that says no more than the mode becomes the mode", function(t)
  t:file("f", "x", "644")
  must.setxattr("f", access, acl { { "user_obj", 7 }, { "group_obj", 5 }, { "other", 1 } })
  t:mode("f", "751")
  t:expect("ENODATA", sys.getxattr, "f", access)
end, { "acl" })

case("a list is read back as it was set", function(t)
  t:file "f"
  local value = acl { { "user_obj", 6 }, { "user", 4, 1234 }, { "group_obj", 4 }, { "mask", 4 }, { "other", 0 } }
  must.setxattr("f", access, value)
  t:equal(must.getxattr("f", access), value, "value")
  t:check(table.concat(must.listxattr("f"), " "):find(access, 1, true), "not listed")
  must.removexattr("f", access)
  t:expect("ENODATA", sys.getxattr, "f", access)
end, { "acl" })

case("a malformed list is EINVAL, of another version EOPNOTSUPP", function(t)
  t:file "f"
  t:expect("EOPNOTSUPP", sys.setxattr, "f", access, "rubbish")
  t:expect("EINVAL", sys.setxattr, "f", access, u32(2) .. "short")
  t:expect("EINVAL", sys.setxattr, "f", access, acl { { "user_obj", 15 }, { "group_obj", 4 }, { "other", 0 } })
  t:expect("EINVAL", sys.setxattr, "f", access, acl { { "user_obj", 6 }, { "user", 4, 1234 }, { "group_obj", 4 },
    { "other", 0 } })
end, { "acl" })

case("a default list on a file is EACCES", function(t)
  t:file "f"
  t:expect("EACCES", sys.setxattr, "f", default, acl { { "user_obj", 6 }, { "group_obj", 4 }, { "other", 0 } })
end, { "acl" })

case("setting a list of another's file is EPERM", function(t)
  t:file("f", "x", "666")
  t:as(t.alice, function()
    t:expect("EPERM", sys.setxattr, "f", access, acl { { "user_obj", 7 }, { "group_obj", 7 }, { "other", 7 } })
  end)
end, { "acl", "two_users" })

case("files inherit a directory's default list instead of the umask", function(t)
  t:directory "d"
  must.setxattr("d", default, acl { { "user_obj", 7 }, { "user", 7, 1234 }, { "group_obj", 5 }, { "mask", 7 },
    { "other", 0 } })
  sys.umask "077"
  must.close(must.open("d/f", "wronly creat", "666"))
  t:mode("d/f", "660")
  t:equal(must.getxattr("d/f", access), acl { { "user_obj", 6 }, { "user", 7, 1234 }, { "group_obj", 5 },
    { "mask", 6 }, { "other", 0 } }, "access list")
end, { "acl" })

case("directories inherit the default list as both lists", function(t)
  t:directory "d"
  local value = acl { { "user_obj", 7 }, { "user", 5, 1234 }, { "group_obj", 5 }, { "mask", 5 }, { "other", 5 } }
  must.setxattr("d", default, value)
  must.mkdir("d/e", "777")
  t:equal(must.getxattr("d/e", default), value, "default list")
  t:equal(must.getxattr("d/e", access), value, "access list")
  t:mode("d/e", "755")
end, { "acl" })

case("a default list without more than modes shapes new files", function(t)
  t:directory "d"
  must.setxattr("d", default, acl { { "user_obj", 6 }, { "group_obj", 6 }, { "other", 0 } })
  must.close(must.open("d/f", "wronly creat", "666"))
  t:mode("d/f", "660")
  t:expect("ENODATA", sys.getxattr, "d/f", access)
  must.removexattr("d", default)
  must.close(must.open("d/g", "wronly creat", "666"))
  t:mode("d/g", "644")
end, { "acl" })

return cases
