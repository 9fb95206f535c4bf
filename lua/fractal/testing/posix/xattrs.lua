-- Extended attributes: values, flags, limits, name spaces and permissions.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("a value is set, read, listed and removed", function(t)
  t:file "f"
  must.setxattr("f", "user.one", "value")
  t:equal(must.getxattr("f", "user.one"), "value", "value")
  must.setxattr("f", "user.two", "2")
  local names = table.concat(must.listxattr("f"), " ")
  t:check(names:find("user.one", 1, true) and names:find("user.two", 1, true), "names: " .. names)
  must.removexattr("f", "user.one")
  t:expect("ENODATA", sys.getxattr, "f", "user.one")
  t:equal(must.getxattr("f", "user.two"), "2", "value")
end, { "user_xattr" })

case("a value is replaced by a shorter and a longer one", function(t)
  t:file "f"
  for _, value in ipairs { "middle", "s", ("long"):rep(100), "" } do
    must.setxattr("f", "user.x", value)
    t:equal(must.getxattr("f", "user.x"), value, "value")
  end
  t:equal(#must.listxattr("f"), 1, "names")
end, { "user_xattr" })

case("an empty value is not a missing one", function(t)
  t:file "f"
  must.setxattr("f", "user.x", "")
  t:equal(must.getxattr("f", "user.x", 0), 0, "size")
  t:equal(must.getxattr("f", "user.x"), "", "value")
  t:expect("ENODATA", sys.getxattr, "f", "user.y")
end, { "user_xattr" })

case("a value keeps every byte", function(t)
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  local value = table.concat(bytes)
  t:file "f"
  must.setxattr("f", "user.x", value)
  t:equal(must.getxattr("f", "user.x"), value, "value")
end, { "user_xattr" })

for _, size in ipairs { 1, 64, 255, 1024, 2048, 3000 } do
  case(("a value of %d bytes is kept"):format(size), function(t)
    local value = ("0123456789"):rep(300):sub(1, size)
    t:file "f"
    must.setxattr("f", "user.x", value)
    t:equal(must.getxattr("f", "user.x"), value, "value")
    t:equal(must.getxattr("f", "user.x", 0), size, "size probed")
  end, { "user_xattr" })
end

case("a value of more than 64 KiB is E2BIG", function(t)
  t:file "f"
  t:expect("E2BIG", sys.setxattr, "f", "user.x", ("x"):rep(65537))
  t:expect("ENODATA", sys.getxattr, "f", "user.x")
end, { "user_xattr" })

case("XATTR_CREATE of an existing name is EEXIST", function(t)
  t:file "f"
  must.setxattr("f", "user.x", "1", "create")
  t:expect("EEXIST", sys.setxattr, "f", "user.x", "2", "create")
  t:equal(must.getxattr("f", "user.x"), "1", "value")
end, { "user_xattr" })

case("XATTR_REPLACE of a missing name is ENODATA", function(t)
  t:file "f"
  t:expect("ENODATA", sys.setxattr, "f", "user.x", "1", "replace")
  must.setxattr("f", "user.x", "1")
  must.setxattr("f", "user.x", "2", "replace")
  t:equal(must.getxattr("f", "user.x"), "2", "value")
end, { "user_xattr" })

case("unknown flags are EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.setxattr, "f", "user.x", "1", 8)
end, { "user_xattr" })

case("removing a missing name is ENODATA", function(t)
  t:file "f"
  t:expect("ENODATA", sys.removexattr, "f", "user.x")
end, { "user_xattr" })

case("a buffer too small is ERANGE, for values and for lists", function(t)
  t:file "f"
  must.setxattr("f", "user.x", "0123456789")
  t:expect("ERANGE", sys.getxattr, "f", "user.x", 5)
  t:equal(must.getxattr("f", "user.x", 10), "0123456789", "value")
  t:expect("ERANGE", sys.listxattr, "f", 3)
  t:check(must.listxattr("f", 0) >= 7, "size of the list")
end, { "user_xattr" })

case("a name of 255 bytes works, of 256 is ERANGE", function(t)
  t:file "f"
  local name = "user." .. ("n"):rep(250)
  must.setxattr("f", name, "x")
  t:equal(must.getxattr("f", name), "x", "value")
  t:check(table.concat(must.listxattr("f"), " "):find(name, 1, true), "the name is not listed")
  t:expect("ERANGE", sys.setxattr, "f", name .. "n", "x")
  t:expect("ERANGE", sys.getxattr, "f", name .. "n")
  t:expect("ERANGE", sys.removexattr, "f", name .. "n")
end, { "user_xattr" })

case("an empty name is ERANGE", function(t)
  t:file "f"
  t:expect("ERANGE", sys.setxattr, "f", "", "x")
  t:expect("ERANGE", sys.getxattr, "f", "")
end, { "user_xattr" })

case("a name space that nobody knows is EOPNOTSUPP", function(t)
  t:file "f"
  t:expect("EOPNOTSUPP", sys.setxattr, "f", "nospace.x", "x")
  t:expect("EOPNOTSUPP", sys.setxattr, "f", "plain", "x")
  t:expect("EOPNOTSUPP", sys.getxattr, "f", "nospace.x")
  t:expect("EOPNOTSUPP", sys.removexattr, "f", "nospace.x")
end, { "user_xattr" })

case("a missing file is ENOENT", function(t)
  t:expect("ENOENT", sys.setxattr, "f", "user.x", "x")
  t:expect("ENOENT", sys.getxattr, "f", "user.x")
  t:expect("ENOENT", sys.listxattr, "f")
  t:expect("ENOENT", sys.removexattr, "f", "user.x")
end, { "user_xattr" })

case("a file without attributes lists none", function(t)
  t:file "f"
  for _, name in ipairs(must.listxattr("f")) do t:check(not name:find("^user%."), "unexpected " .. name) end
end, { "user_xattr" })

case("directories have user attributes", function(t)
  t:directory "d"
  must.setxattr("d", "user.x", "dir")
  t:equal(must.getxattr("d", "user.x"), "dir", "value")
end, { "user_xattr" })

case("links and fifos have no user attributes: EPERM", function(t)
  must.symlink("x", "s")
  must.mkfifo("p", "644")
  t:expect("EPERM", sys.lsetxattr, "s", "user.x", "1")
  t:expect("EPERM", sys.setxattr, "p", "user.x", "1")
end, { "user_xattr", "symlink", "mknod" })

case("the plain form follows links, the l form does not", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.setxattr("s", "user.x", "1")
  t:equal(must.getxattr("f", "user.x"), "1", "value on the file")
  t:equal(must.getxattr("s", "user.x"), "1", "value through the link")
  t:expect_any({ "EPERM", "ENODATA" }, sys.lgetxattr, "s", "user.x")
  for _, name in ipairs(must.llistxattr("s")) do t:check(name ~= "user.x", "listed on the link") end
end, { "user_xattr", "symlink" })

case("the f forms act on a descriptor", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.fsetxattr(fd, "user.x", "1")
  t:equal(must.fgetxattr(fd, "user.x"), "1", "value")
  t:equal(table.concat(must.flistxattr(fd), " "):match("user%.x"), "user.x", "list")
  must.unlink "f"
  must.fsetxattr(fd, "user.y", "2")
  t:equal(must.fgetxattr(fd, "user.y"), "2", "value after unlink")
  must.fremovexattr(fd, "user.x")
  t:expect("ENODATA", sys.fgetxattr, fd, "user.x")
end, { "user_xattr" })

case("attributes follow a rename and are shared by links", function(t)
  t:file "f"
  must.setxattr("f", "user.x", "1")
  must.rename("f", "g")
  t:equal(must.getxattr("g", "user.x"), "1", "value after rename")
  must.link("g", "h")
  must.setxattr("h", "user.x", "2")
  t:equal(must.getxattr("g", "user.x"), "2", "value by the other link")
end, { "user_xattr", "link" })

case("a new file of the same name has no attributes", function(t)
  t:file "f"
  must.setxattr("f", "user.x", "1")
  must.unlink "f"
  t:file "f"
  t:expect("ENODATA", sys.getxattr, "f", "user.x")
end, { "user_xattr" })

case("writing and truncating keep attributes", function(t)
  t:file("f", "x")
  must.setxattr("f", "user.x", "1")
  t:file("f", "new content")
  must.truncate("f", 0)
  t:equal(must.getxattr("f", "user.x"), "1", "value")
end, { "user_xattr" })

case("fifty attributes on one file", function(t)
  t:file "f"
  for i = 1, 50 do must.setxattr("f", ("user.n%02d"):format(i), "value " .. i) end
  for i = 1, 50, 2 do must.removexattr("f", ("user.n%02d"):format(i)) end
  for i = 1, 50 do
    local value, err = sys.getxattr("f", ("user.n%02d"):format(i))
    if i % 2 == 1 then
      t:equal(err, "ENODATA", "errno of a removed one")
    else
      t:equal(value, "value " .. i, "value")
    end
  end
  local count = 0
  for _, name in ipairs(must.listxattr("f")) do
    if name:find("^user%.") then count = count + 1 end
  end
  t:equal(count, 25, "names listed")
end, { "user_xattr" })

case("names differ by case and are not cut at equal prefixes", function(t)
  t:file "f"
  must.setxattr("f", "user.a", "1")
  must.setxattr("f", "user.A", "2")
  must.setxattr("f", "user.ab", "3")
  t:equal(must.getxattr("f", "user.a"), "1", "user.a")
  t:equal(must.getxattr("f", "user.A"), "2", "user.A")
  must.removexattr("f", "user.a")
  t:equal(must.getxattr("f", "user.ab"), "3", "user.ab")
end, { "user_xattr" })

case("setting needs write permission, getting read permission: EACCES", function(t)
  t:unprivileged(function()
    t:file("f", "x", "600")
    must.setxattr("f", "user.x", "1")
    must.chmod("f", "400")
    t:expect("EACCES", sys.setxattr, "f", "user.x", "2")
    t:expect("EACCES", sys.removexattr, "f", "user.x")
    t:equal(must.getxattr("f", "user.x"), "1", "value")
    must.chmod("f", "200")
    t:expect("EACCES", sys.getxattr, "f", "user.x")
  end)
end, { "user_xattr", "permissions" })

case("others set user attributes where they may write", function(t)
  t:file("f", "x", "666")
  t:as(t.alice, function() must.setxattr("f", "user.x", "1") end)
  must.chmod("f", "644")
  t:as(t.alice, function()
    t:equal(must.getxattr("f", "user.x"), "1", "value")
    t:expect("EACCES", sys.setxattr, "f", "user.x", "2")
  end)
end, { "user_xattr", "two_users", "permissions" })

case("user attributes of a sticky directory are its owner's: EPERM", function(t)
  t:directory("d", "1777")
  t:as(t.alice, function() t:expect("EPERM", sys.setxattr, "d", "user.x", "1") end)
  must.chmod("d", "777")
  t:as(t.alice, function() must.setxattr("d", "user.x", "1") end)
end, { "user_xattr", "two_users", "permissions" })

case("trusted attributes are root's", function(t)
  t:file("f", "x", "666")
  must.setxattr("f", "trusted.x", "1")
  t:equal(must.getxattr("f", "trusted.x"), "1", "value")
  t:check(table.concat(must.listxattr("f"), " "):find("trusted.x", 1, true), "not listed")
  must.removexattr("f", "trusted.x")
  t:expect("ENODATA", sys.getxattr, "f", "trusted.x")
end, { "trusted_xattr" })

case("trusted attributes are hidden from others: ENODATA and EPERM", function(t)
  t:file("f", "x", "666")
  must.setxattr("f", "trusted.x", "1")
  t:as(t.alice, function()
    t:expect("ENODATA", sys.getxattr, "f", "trusted.x")
    t:expect("EPERM", sys.setxattr, "f", "trusted.x", "2")
    t:expect("EPERM", sys.removexattr, "f", "trusted.x")
    for _, name in ipairs(must.listxattr("f")) do t:check(name ~= "trusted.x", "trusted.x is listed") end
  end)
end, { "trusted_xattr", "two_users" })

case("trusted attributes are allowed on links and fifos", function(t)
  must.symlink("x", "s")
  must.mkfifo("p", "644")
  must.lsetxattr("s", "trusted.x", "1")
  must.setxattr("p", "trusted.x", "2")
  t:equal(must.lgetxattr("s", "trusted.x"), "1", "value on the link")
  t:equal(must.getxattr("p", "trusted.x"), "2", "value on the fifo")
end, { "trusted_xattr", "symlink", "mknod" })

case("security attributes are set by root and read by others", function(t)
  t:file("f", "x", "644")
  must.setxattr("f", "security.test", "1")
  t:equal(must.getxattr("f", "security.test"), "1", "value")
  t:as(t.alice, function()
    t:equal(must.getxattr("f", "security.test"), "1", "value for others")
    t:expect("EPERM", sys.setxattr, "f", "security.test", "2")
  end)
end, { "security_xattr", "two_users" })

case("a file capability is lost by writing", function(t)
  t:file("f", "x", "755")
  local capability = "\1\0\0\2\0\4\0\0" .. ("\0"):rep(12)
  must.setxattr("f", "security.capability", capability)
  t:equal(must.getxattr("f", "security.capability"), capability, "value")
  must.write(must.open("f", "wronly"), "changed")
  t:expect("ENODATA", sys.getxattr, "f", "security.capability")
end, { "security_xattr" })

case("a malformed file capability is EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.setxattr, "f", "security.capability", "xx")
end, { "security_xattr" })

return cases
