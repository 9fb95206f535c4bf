-- The borders of a filesystem: EXDEV towards another one.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local capabilities = require "fractal.testing.posix.capabilities"

-- Runs fn(other) with the name of a file in a second filesystem that does not exist yet; removes it afterwards.
local function with_other(fn)
  local other = ("%s/fractal-posix-%d"):format(capabilities.elsewhere(), sys.getpid())
  local ok, err = pcall(fn, other)
  sys.remove_tree(sys.FDCWD, other)
  if not ok then error(err, 0) end
end

for _, kind in ipairs { "file", "dir", "symlink" } do
  case("rename of a " .. kind .. " to another filesystem and back is EXDEV", function(t)
    with_other(function(other)
      t:make(kind, "x")
      t:expect("EXDEV", sys.rename, "x", other)
      t:make(kind, other)
      t:expect("EXDEV", sys.rename, other, "y")
      t:names(".", { "x" })
    end)
  end, { "second_fs", "symlink" })
end

case("link to another filesystem and back is EXDEV", function(t)
  with_other(function(other)
    t:file "f"
    t:expect("EXDEV", sys.link, "f", other)
    t:file(other)
    t:expect("EXDEV", sys.link, other, "g")
    t:nlink("f", 1)
  end)
end, { "second_fs" })

case("EXCHANGE with another filesystem is EXDEV", function(t)
  with_other(function(other)
    t:file "f"
    t:file(other)
    t:expect("EXDEV", sys.rename2, "f", other, "exchange")
  end)
end, { "second_fs" })

case("O_TMPFILE gets no name in another filesystem: EXDEV", function(t)
  with_other(function(other)
    local fd = must.open(".", "rdwr tmpfile", "644")
    t:expect("EXDEV", sys.linkat, sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, other, "symlink_follow")
  end)
end, { "second_fs", "tmpfile" })

case("a symlink leads to another filesystem", function(t)
  with_other(function(other)
    t:file(other, "over there")
    must.symlink(other, "s")
    t:content("s", "over there")
    t:check(must.stat("s").dev ~= must.lstat("s").dev, "both have one device number")
  end)
end, { "second_fs", "symlink" })

case("sendfile copies to and from another filesystem", function(t)
  with_other(function(other)
    t:file("f", ("data"):rep(50000))
    must.sendfile(must.open(other, "wronly creat", "644"), must.open("f", "rdonly"), 0, 200000)
    must.sendfile(must.open("g", "wronly creat", "644"), must.open(other, "rdonly"), 0, 200000)
    t:check(t:read("g") == ("data"):rep(50000), "content differs")
  end)
end, { "second_fs" })

return cases
