-- What every filesystem must do with the files that are there, whatever they are: the cases change nothing, and look at
-- the first few hundred names below their current directory.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run) cases[#cases + 1] = { name = name, run = run } end

local MOST = 300 -- names that are looked at
local PART = 65536

-- Everything below the current directory as a list of { path, parent, name, st }, "." first, directory by directory.
local function survey()
  local found = { { path = ".", st = must.lstat(".") } }
  local at = 1
  while found[at] and #found < MOST do
    local dir = found[at]
    for _, name in ipairs(dir.st.type == "dir" and sys.list(dir.path) or {}) do
      local path = dir.path == "." and name or dir.path .. "/" .. name
      local st = sys.lstat(path)
      if st and #found < MOST then found[#found + 1] = { path = path, parent = dir.path, name = name, st = st } end
    end
    at = at + 1
  end
  return found
end

-- Calls fn(entry) for each entry of the type; skips the case when there is none.
local function each(t, kind, fn)
  local count = 0
  for _, entry in ipairs(survey()) do
    if entry.st.type == kind then
      count = count + 1
      fn(entry)
    end
  end
  if count == 0 then t:skip("there is no " .. kind) end
end

-- Whether a file gives these bytes again and again, and is not one that is made anew each time.
local function stays(t, path, content)
  for _ = 1, 5 do
    if t:read(path) ~= content then return false end
    sys.sleep(0.01)
  end
  return true
end

-- Calls fn(entry, fd, content) for each file that can be opened and gives the same bytes each time it is read.
local function each_content(t, fn)
  local count = 0
  each(t, "file", function(entry)
    if not sys.access(entry.path, "r") then return end
    local fd = must.open(entry.path, "rdonly cloexec nonblock")
    local content = t:read(entry.path)
    if content == t:read(entry.path) then
      count = count + 1
      local ok, message = pcall(fn, entry, fd, content)
      if not ok and stays(t, entry.path, content) then error(message, 0) end
    end
    sys.close(fd)
  end)
  if count == 0 then t:skip("no file can be read that stays the same") end
end

-- The names that getdents gives with a buffer of this size, sorted, without "." and "..".
local function names_in_steps(fd, size)
  local names = {}
  for _, entry in ipairs(must.getdents_all(fd, size)) do
    if entry.name ~= "." and entry.name ~= ".." then names[#names + 1] = entry.name end
  end
  table.sort(names)
  return names
end

case("the root is a directory", function(t)
  t:type(".", "dir")
  t:type("..", "dir")
end)

case("every name that is listed leads to something", function(t)
  each(t, "dir", function(dir)
    for _, name in ipairs(must.list(dir.path)) do must.lstat(dir.path .. "/" .. name) end
  end)
end)

case("no name is listed twice, is empty or has a slash", function(t)
  each(t, "dir", function(dir)
    local seen = {}
    for _, name in ipairs(must.list(dir.path)) do
      t:check(not seen[name], ("%s lists %q twice"):format(dir.path, name))
      t:check(name ~= "" and not name:find("/", 1, true), ("%s lists %q"):format(dir.path, name))
      seen[name] = true
    end
  end)
end)

case("types in a listing are those of the files", function(t)
  each(t, "dir", function(dir)
    local fd = must.open(dir.path, "rdonly directory cloexec")
    for _, entry in ipairs(must.getdents_all(fd)) do
      if entry.type ~= "unknown" and entry.name ~= ".." then
        t:equal(entry.type, must.lstat(dir.path .. "/" .. entry.name).type, "type of " .. dir.path .. "/" .. entry.name)
      end
    end
    sys.close(fd)
  end)
end)

case("a directory read in small steps lists the same names", function(t)
  each(t, "dir", function(dir)
    local fd = must.open(dir.path, "rdonly directory cloexec")
    local whole = table.concat(names_in_steps(fd), "\n")
    must.lseek(fd, 0)
    t:equal(table.concat(names_in_steps(fd, 300), "\n"), whole, "names in " .. dir.path)
    sys.close(fd)
  end)
end)

case("the same name is the same inode each time", function(t)
  for _, entry in ipairs(survey()) do
    t:equal(must.lstat(entry.path).ino, entry.st.ino, "inode of " .. entry.path)
  end
end)

case("a name that is not there is ENOENT", function(t)
  each(t, "dir", function(dir)
    t:expect("ENOENT", sys.lstat, dir.path .. "/no such name")
    t:expect("ENOENT", sys.open, dir.path .. "/no such name", "rdonly")
  end)
end)

case("a name that is too long is ENAMETOOLONG", function(t)
  t:expect_any({ "ENAMETOOLONG", "ENOENT" }, sys.lstat, ("x"):rep(256))
  t:expect("ENAMETOOLONG", sys.lstat, ("x/"):rep(2048) .. "x")
end)

case("a directory is EISDIR when it is read, and cannot be opened for writing", function(t)
  each(t, "dir", function(dir)
    local fd = must.open(dir.path, "rdonly directory cloexec")
    t:expect("EISDIR", sys.read, fd, 1)
    sys.close(fd)
    t:expect_any({ "EISDIR", "EROFS" }, sys.open, dir.path, "wronly")
  end)
end)

case("a file is ENOTDIR where a directory is wanted", function(t)
  each(t, "file", function(file)
    t:expect("ENOTDIR", sys.lstat, file.path .. "/x")
    t:expect("ENOTDIR", sys.open, file.path, "rdonly directory")
  end)
end)

case("a file has as many bytes as its size says", function(t)
  each_content(t, function(file, fd, content)
    local size = must.fstat(fd).size
    -- Files that are made when they are read may not know their size before.
    if size > 0 then t:equal(#content, size, "bytes in " .. file.path) end
  end)
end)

case("nothing is behind the end of a file", function(t)
  each_content(t, function(file, fd, content)
    t:equal(must.pread(fd, 10, #content), "", "what is behind the end of " .. file.path)
    t:equal(must.pread(fd, 10, #content + 100000), "", "what is far behind the end of " .. file.path)
  end)
end)

case("bytes from an offset are those of the whole", function(t)
  each_content(t, function(file, fd, content)
    for _, offset in ipairs { 1, math.floor(#content / 2), #content - 1 } do
      if offset > 0 and offset < #content then
        t:equal(must.pread(fd, PART, offset), content:sub(offset + 1, offset + PART),
          ("%s from byte %d"):format(file.path, offset))
      end
    end
  end)
end)

case("a file read byte by byte is the same", function(t)
  each_content(t, function(file, fd, content)
    local bytes = {}
    for i = 1, math.min(#content, 50) do bytes[i] = must.read(fd, 1) end
    t:equal(table.concat(bytes), content:sub(1, #bytes), "the first bytes of " .. file.path)
  end)
end)

case("a file mapped into memory is the same", function(t)
  local mapped = 0
  each_content(t, function(file, fd, content)
    local length = math.min(#content, must.fstat(fd).size, PART)
    local memory = length > 0 and sys.mmap(length, "read", "private", fd)
    if memory then
      mapped = mapped + 1
      t:equal(require("ffi").string(memory, length), content:sub(1, length), file.path .. " in memory")
      sys.munmap(memory, length)
    end
  end)
  if mapped == 0 then t:skip("no file can be mapped") end
end)

case("several processes that read at once see the same", function(t)
  each_content(t, function(file, _, content)
    local readers = {}
    for i = 1, 4 do
      readers[i] = t:fork(function() t:content(file.path, content) end)
    end
    for i = 1, 4 do readers[i]:wait() end
  end)
end)

case("a symbolic link tells where it leads", function(t)
  each(t, "symlink", function(link)
    local target = must.readlink(link.path)
    t:check(#target > 0, link.path .. " leads nowhere")
    if link.st.size > 0 then t:equal(#target, link.st.size, "length of " .. link.path) end
  end)
end)

case("what is no symbolic link is EINVAL for readlink", function(t)
  t:expect("EINVAL", sys.readlink, ".")
end)

case("extended attributes that are listed can be read", function(t)
  local names = sys.llistxattr(".")
  if not names then t:skip("there are no extended attributes") end
  for _, entry in ipairs(survey()) do
    for _, name in ipairs(entry.st.type ~= "symlink" and sys.llistxattr(entry.path) or {}) do
      must.lgetxattr(entry.path, name)
    end
  end
end)

case("statfs answers", function(t)
  local st = must.statvfs(".")
  t:check(st.bfree <= st.blocks and st.bavail <= st.blocks, "more blocks are free than there are")
  t:check(st.ffree <= st.files, "more inodes are free than there are")
end)

return cases
