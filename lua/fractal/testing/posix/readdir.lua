-- Reading directories: completeness, types and inode numbers, seeks, and changes while reading.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local function numbered(count)
  local names = {}
  for i = 1, count do names[i] = ("f%05d"):format(i) end
  return names
end

-- Fails unless entries (a list of { name }) hold each of the wanted names, "." and "..", exactly once.
local function complete(t, entries, wanted)
  local seen = {}
  for _, entry in ipairs(entries) do
    t:check(not seen[entry.name], "twice: " .. entry.name)
    seen[entry.name] = true
  end
  t:check(seen["."] and seen[".."], "'.' or '..' is missing")
  for _, name in ipairs(wanted) do t:check(seen[name], "missing: " .. name) end
  t:equal(#entries, #wanted + 2, "number of entries")
end

local function fill(t, names)
  t:directory "d"
  for _, name in ipairs(names) do t:file("d/" .. name) end
end

case("an empty directory has '.' and '..' only", function(t)
  t:directory "d"
  complete(t, must.getdents_all(must.open("d", "rdonly")), {})
end)

for _, count in ipairs { 1, 10, 300, 3000 } do
  case(("all of %d names are listed once"):format(count), function(t)
    local names = numbered(count)
    fill(t, names)
    complete(t, must.getdents_all(must.open("d", "rdonly")), names)
  end)
end

for _, size in ipairs { 32, 64, 100, 280, 1000 } do
  case(("a buffer of %d bytes lists everything too"):format(size), function(t)
    local names = numbered(40)
    fill(t, names)
    complete(t, must.getdents_all(must.open("d", "rdonly"), size), names)
  end)
end

case("a buffer too small for one entry is EINVAL", function(t)
  t:file(("n"):rep(200))
  local fd = must.open(".", "rdonly")
  t:expect("EINVAL", sys.getdents, fd, 20)
end)

case("long names are listed whole", function(t)
  local names = {}
  for i = 1, 30 do names[i] = ("%02d"):format(i) .. ("n"):rep(253) end
  fill(t, names)
  complete(t, must.getdents_all(must.open("d", "rdonly"), 1024), names)
end)

case("entries tell types and inode numbers", function(t)
  t:directory "d"
  for _, kind in ipairs { "file", "dir", "symlink", "fifo" } do t:make(kind, "d/" .. kind) end
  for _, entry in ipairs(must.getdents_all(must.open("d", "rdonly"))) do
    if entry.name ~= "." and entry.name ~= ".." then
      t:equal(entry.type, entry.name, "type of " .. entry.name)
      t:equal(entry.ino, must.lstat("d/" .. entry.name).ino, "inode of " .. entry.name)
    end
  end
end, { "symlink", "mknod" })

case("'.' and '..' tell the right inode numbers", function(t)
  t:directory "d"
  t:directory "d/e"
  for _, entry in ipairs(must.getdents_all(must.open("d/e", "rdonly"))) do
    t:equal(entry.type, "dir", "type of " .. entry.name)
    t:equal(entry.ino, must.stat("d/e/" .. entry.name).ino, "inode of " .. entry.name)
  end
end)

case("reading on at the end stays at the end", function(t)
  t:file "f"
  local fd = must.open(".", "rdonly")
  must.getdents_all(fd)
  t:equal(#must.getdents(fd), 0, "entries after the end")
  t:equal(#must.getdents(fd), 0, "entries after the end, again")
end)

case("lseek to 0 reads again and sees what is new", function(t)
  t:file "a"
  local fd = must.open(".", "rdonly")
  complete(t, must.getdents_all(fd), { "a" })
  t:file "b"
  must.unlink "a"
  must.lseek(fd, 0)
  complete(t, must.getdents_all(fd), { "b" })
end)

case("rewinddir reads again", function(t)
  t:file "a"
  local stream = must.opendir "."
  while sys.readdir(stream) do end
  t:file "b"
  sys.rewinddir(stream)
  local seen = 0
  while sys.readdir(stream) do seen = seen + 1 end
  t:equal(seen, 4, "entries")
  must.closedir(stream)
end)

case("seekdir returns to where telldir was, from every place", function(t)
  fill(t, numbered(100))
  local stream = must.opendir "d"
  local list, at = {}, {}
  repeat
    at[#at + 1] = sys.telldir(stream)
    local entry = sys.readdir(stream)
    list[#list + 1] = entry
  until not entry
  t:equal(#list, 102, "entries")
  for i = #list, 1, -7 do
    sys.seekdir(stream, at[i])
    t:equal(must.readdir(stream).name, list[i].name, "entry at " .. i)
  end
  must.closedir(stream)
end)

case("lseek to an entry's offset continues after it", function(t)
  fill(t, numbered(400))
  local fd = must.open("d", "rdonly")
  local all = must.getdents_all(fd)
  for _, i in ipairs { 1, 2, 50, 200, 399, 401 } do
    must.lseek(fd, all[i].off)
    local rest = must.getdents_all(fd)
    t:equal(#rest, #all - i, "entries after the first " .. i)
    t:equal(rest[1] and rest[1].name, all[i + 1].name, "next entry")
  end
end)

case("an offset of one descriptor works in another", function(t)
  fill(t, numbered(100))
  local all = must.getdents_all(must.open("d", "rdonly"))
  local fd = must.open("d", "rdonly")
  must.lseek(fd, all[60].off)
  t:equal(must.getdents(fd)[1].name, all[61].name, "next entry")
end)

case("two descriptors read independently", function(t)
  local names = numbered(100)
  fill(t, names)
  local a, b = must.open("d", "rdonly"), must.open("d", "rdonly")
  local from_a, from_b = must.getdents(a, 500), must.getdents_all(b)
  complete(t, from_b, names)
  for _, entry in ipairs(must.getdents_all(a)) do from_a[#from_a + 1] = entry end
  complete(t, from_a, names)
end)

-- Reads a large directory in small steps, calls change(step) between them, returns name → times seen.
local function read_while(t, count, change)
  fill(t, numbered(count))
  local fd, seen, step = must.open("d", "rdonly"), {}, 0
  repeat
    local list = must.getdents(fd, 2048)
    for _, entry in ipairs(list) do seen[entry.name] = (seen[entry.name] or 0) + 1 end
    step = step + 1
    change(step, list)
  until #list == 0
  return seen
end

case("names not touched are listed once while others are removed", function(t)
  local removed, last = {}, 1000
  local seen = read_while(t, 1000, function()
    for _ = 1, 20 do
      local name = ("f%05d"):format(last)
      if last > 500 and sys.unlink("d/" .. name) then removed[name] = true end
      last = last - 1
    end
  end)
  for _, name in ipairs(numbered(1000)) do
    t:check((seen[name] or 0) <= 1, "twice: " .. name)
    if not removed[name] then t:equal(seen[name], 1, "times seen: " .. name) end
  end
end)

case("removing each name as it is read empties the directory", function(t)
  read_while(t, 1000, function(_, list)
    for _, entry in ipairs(list) do
      if entry.name ~= "." and entry.name ~= ".." then must.unlink("d/" .. entry.name) end
    end
  end)
  t:names("d", {})
  must.rmdir "d"
end)

case("old names are listed once while new ones come", function(t)
  local seen = read_while(t, 500, function(step)
    for i = 1, 10 do
      if step <= 50 then t:file(("d/new%d-%d"):format(step, i)) end
    end
  end)
  for _, name in ipairs(numbered(500)) do t:equal(seen[name], 1, "times seen: " .. name) end
  for name, times in pairs(seen) do t:check(times == 1, "twice: " .. name) end
end)

case("another process removes while this one reads", function(t)
  fill(t, numbered(2000))
  local fd = must.open("d", "rdonly")
  local seen = {}
  for _, entry in ipairs(must.getdents(fd, 4096)) do seen[entry.name] = true end
  t:fork(function()
    for i = 2, 2000, 2 do must.unlink(("d/f%05d"):format(i)) end
  end):wait()
  for _, entry in ipairs(must.getdents_all(fd)) do
    t:check(not seen[entry.name], "twice: " .. entry.name)
    seen[entry.name] = true
  end
  for i = 1, 2000, 2 do t:check(seen[("f%05d"):format(i)], "missing: " .. i) end
  t:equal(#must.list "d", 1000, "names left")
end)

case("a renamed file is listed under its new name only", function(t)
  fill(t, { "a", "b", "c" })
  must.rename("d/b", "d/z")
  t:names("d", { "a", "c", "z" })
end)

case("listing needs read permission, not search: EACCES", function(t)
  t:unprivileged(function()
    fill(t, { "a" })
    must.chmod("d", "300")
    t:expect("EACCES", sys.open, "d", "rdonly")
    must.stat "d/a"
    must.chmod("d", "400")
    t:names("d", { "a" })
    t:expect("EACCES", sys.stat, "d/a")
    must.chmod("d", "700")
  end)
end, { "permissions" })

return cases
