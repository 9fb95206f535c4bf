-- Names: the limits NAME_MAX and PATH_MAX, and that every byte except "/" and NUL is kept as it is.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local longest, too_long = ("n"):rep(255), ("n"):rep(256)

local calls = {
  { "open", function(p) return sys.open(p, "rdonly") end },
  { "create", function(p) return sys.open(p, "wronly creat", "644") end },
  { "stat", function(p) return sys.stat(p) end },
  { "mkdir", function(p) return sys.mkdir(p) end },
  { "rmdir", function(p) return sys.rmdir(p) end },
  { "unlink", function(p) return sys.unlink(p) end },
  { "rename from", function(p) return sys.rename(p, "new") end },
  { "rename to", function(p) return sys.rename("file", p) end },
  { "link from", function(p) return sys.link(p, "new") end, { "link" } },
  { "link to", function(p) return sys.link("file", p) end, { "link" } },
  { "symlink", function(p) return sys.symlink("target", p) end, { "symlink" } },
  { "readlink", function(p) return sys.readlink(p) end },
  { "mkfifo", function(p) return sys.mkfifo(p, "644") end, { "mknod" } },
  { "chmod", function(p) return sys.chmod(p, "600") end },
  { "truncate", function(p) return sys.truncate(p, 0) end },
}
for _, call in ipairs(calls) do
  case(call[1] .. " of a name of 256 bytes is ENAMETOOLONG", function(t)
    t:file "file"
    t:expect("ENAMETOOLONG", call[2], too_long)
    t:names(".", { "file" })
  end, call[3])
end

case("a directory component of 256 bytes is ENAMETOOLONG", function(t)
  t:expect("ENAMETOOLONG", sys.stat, too_long .. "/x")
  t:expect("ENAMETOOLONG", sys.open, too_long .. "/x", "wronly creat", "644")
end)

case("statvfs tells the name limit", function(t)
  t:equal(must.statvfs(".").namemax, 255, "f_namemax")
end)

case("a file name of 255 bytes works", function(t)
  t:file(longest, "x")
  t:content(longest, "x")
  t:names(".", { longest })
  must.rename(longest, ("m"):rep(255))
  must.unlink(("m"):rep(255))
  t:names(".", {})
end)

case("a directory name of 255 bytes works", function(t)
  must.mkdir(longest)
  t:file(longest .. "/" .. longest, "x")
  t:names(longest, { longest })
  must.unlink(longest .. "/" .. longest)
  must.rmdir(longest)
end)

case("link and symlink names of 255 bytes work", function(t)
  t:file("f", "x")
  must.link("f", ("l"):rep(255))
  must.symlink("f", ("s"):rep(255))
  t:content(("s"):rep(255), "x")
  t:nlink(("l"):rep(255), 2)
end, { "link", "symlink" })

case("a path of 4095 bytes works, of 4096 is ENAMETOOLONG", function(t)
  t:file("f", "x")
  local path = ("./"):rep(2047) .. "f"
  t:equal(#path, 4095, "length")
  t:content(path, "x")
  t:expect("ENAMETOOLONG", sys.stat, "/" .. path)
  t:expect("ENAMETOOLONG", sys.open, "/" .. path, "wronly creat", "644")
end)

case("symlink targets of 4095 bytes are kept, of 4096 ENAMETOOLONG", function(t)
  local target = ("t"):rep(4095)
  must.symlink(target, "s")
  t:equal(must.readlink("s", 8192), target, "target")
  t:size("s", 4095)
  t:expect("ENAMETOOLONG", sys.symlink, target .. "t", "r")
  t:absent "r"
end, { "symlink" })

for _, length in ipairs { 1, 59, 60, 61, 255, 256, 1023, 1024, 1025, 4094 } do
  case(("a symlink target of %d bytes is kept"):format(length), function(t)
    local target = ("/x"):rep(2048):sub(1, length)
    must.symlink(target, "s")
    t:equal(must.readlink("s"), target, "target")
    t:size("s", length)
  end, { "symlink" })
end

case("symlink with an empty target is ENOENT", function(t)
  t:expect("ENOENT", sys.symlink, "", "s")
end, { "symlink" })

case("a tree deeper than PATH_MAX can be made, listed and removed", function(t)
  local name, depth = ("d"):rep(200), 30
  for _ = 1, depth do
    must.mkdir(name)
    must.chdir(name)
  end
  t:file("bottom", "x")
  t:expect("ENAMETOOLONG", sys.stat, t:path((name .. "/"):rep(depth) .. "bottom"))
  t:check(#must.getcwd() > 4096, "getcwd is short")
  must.unlink "bottom"
  for _ = 1, depth do
    must.chdir ".."
    must.rmdir(name)
  end
  t:names(".", {})
end)

case("every byte but '/' and NUL can be a name", function(t)
  local want = {}
  for byte = 1, 255 do
    local name = string.char(byte)
    if name ~= "/" and name ~= "." then
      t:file(name, "byte " .. byte)
      want[#want + 1] = name
    end
  end
  table.sort(want)
  t:names(".", want)
  for _, name in ipairs(want) do t:content(name, "byte " .. name:byte()) end
end)

local odd = {
  ["a newline"] = "a\nb", ["a leading dash"] = "-rf", ["three dots"] = "...", ["a leading dot"] = ".hidden",
  ["trailing spaces"] = "x  ", ["a trailing dot"] = "x.", ["a backslash"] = "a\\b", ["a colon and star"] = "c:*?",
  ["bytes that are no UTF-8"] = "\255\254\192\128", ["UTF-8"] = "f\195\168te-\240\159\140\179",
  ["a quote"] = "it's \"x\"", ["control bytes"] = "\1\2\27[0m",
}
local odd_names = {}
for title in pairs(odd) do odd_names[#odd_names + 1] = title end
table.sort(odd_names)
for _, title in ipairs(odd_names) do
  case("a name with " .. title .. " round trips", function(t)
    local name = odd[title]
    t:file(name, "x")
    t:names(".", { name })
    t:content(name, "x")
    must.mkdir "d"
    must.rename(name, "d/" .. name)
    t:names("d", { name })
    must.unlink("d/" .. name)
  end)
end

case("names differ by case", function(t)
  t:file("name", "lower")
  t:file("NAME", "upper")
  t:content("name", "lower")
  t:content("NAME", "upper")
  t:names(".", { "NAME", "name" })
end)

case("composed and decomposed letters are two names", function(t)
  t:file("\195\169", "composed")
  t:file("e\204\129", "decomposed")
  t:content("\195\169", "composed")
  t:content("e\204\129", "decomposed")
end)

case("a name is found again after a failed lookup", function(t)
  t:expect("ENOENT", sys.stat, "f")
  t:file("f", "x")
  t:content("f", "x")
  must.unlink "f"
  t:expect("ENOENT", sys.stat, "f")
  must.mkdir "f"
  t:type("f", "dir")
end)

return cases
