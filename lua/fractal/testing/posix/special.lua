-- Special files: fifos, sockets, device nodes and regular files made by mknod(2).

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

for _, kind in ipairs { "file", "fifo", "socket" } do
  case("mknod makes a " .. kind, function(t)
    must.mknod("x", kind, "640")
    t:type("x", kind)
    t:mode("x", "640")
    t:nlink("x", 1)
    t:size("x", 0)
  end, { "mknod" })
  case("mknod of a " .. kind .. " respects the umask", function(t)
    sys.umask "027"
    must.mknod("x", kind, "666")
    t:mode("x", "640")
  end, { "mknod" })
  case("mknod of a " .. kind .. " over a file is EEXIST", function(t)
    t:file "x"
    t:expect("EEXIST", sys.mknod, "x", kind)
  end, { "mknod" })
end

case("mknod of a directory is EPERM, of an unknown type EINVAL", function(t)
  t:expect("EPERM", sys.mknod, "x", "dir", "755")
  t:expect("EINVAL", sys.mknod, "x", "symlink", "755")
  t:expect("EINVAL", sys.mknod, "x", 0x3000, "755")
  t:absent "x"
end)

case("mknod without a type makes a regular file", function(t)
  must.mknod("x", 0, "644")
  t:type("x", "file")
  t:file("x", "content")
  t:content("x", "content")
end)

for _, row in ipairs { { 1, 3 }, { 0, 1 }, { 8, 255 }, { 255, 256 }, { 259, 1048575 }, { 4095, 4095 } } do
  for _, kind in ipairs { "char", "block" } do
    case(("a %s device %d:%d keeps its number"):format(kind, row[1], row[2]), function(t)
      must.mknod("x", kind, "600", sys.makedev(row[1], row[2]))
      local st = must.lstat("x")
      t:equal(st.type, kind, "type")
      t:equal(st.rdev[1] .. ":" .. st.rdev[2], row[1] .. ":" .. row[2], "device")
    end, { "devices" })
  end
end

case("device nodes need root: EPERM", function(t)
  t:unprivileged(function()
    t:expect("EPERM", sys.mknod, "c", "char", "666", sys.makedev(1, 3))
    t:expect("EPERM", sys.mknod, "b", "block", "666", sys.makedev(8, 0))
    t:absent "c"
  end)
end)

case("a device node reaches its driver", function(t)
  must.mknod("null", "char", "666", sys.makedev(1, 3))
  must.mknod("zero", "char", "666", sys.makedev(1, 5))
  local null, zero = must.open("null", "rdwr"), must.open("zero", "rdonly")
  t:equal(must.write(null, "swallowed"), 9, "written")
  t:equal(must.read(null, 10), "", "read")
  t:equal(must.read(zero, 3), "\0\0\0", "zeros")
end, { "open_devices" })

case("a device without a driver is ENXIO", function(t)
  must.mknod("x", "char", "666", sys.makedev(400, 77))
  t:expect("ENXIO", sys.open, "x", "rdonly")
end, { "open_devices" })

case("a device node can be opened, on a nodev mount that is EACCES", function(t)
  must.mknod("null", "char", "666", sys.makedev(1, 3))
  if require("bit").band(must.statvfs(".").flag, sys.K.mount.nodev) == 0 then
    must.open("null", "rdonly")
  else
    t:expect("EACCES", sys.open, "null", "rdonly")
  end
end, { "devices" })

case("device nodes can be renamed, linked and removed", function(t)
  must.mknod("x", "char", "600", sys.makedev(1, 3))
  must.rename("x", "y")
  must.link("y", "z")
  t:equal(must.lstat("z").rdev[2], 3, "minor")
  must.unlink "y"
  t:nlink("z", 1)
end, { "devices", "link" })

case("a fifo carries bytes between processes", function(t)
  must.mkfifo("p", "600")
  local child = t:fork(function()
    local fd = must.open("p", "wronly")
    for i = 1, 10 do must.write(fd, "line " .. i .. "\n") end
  end)
  local fd, parts = must.open("p", "rdonly"), {}
  repeat
    local part = must.read(fd, 100)
    parts[#parts + 1] = part
  until part == ""
  child:wait()
  t:equal(select(2, table.concat(parts):gsub("\n", "")), 10, "lines")
end, { "mknod" })

case("a fifo by two names is one fifo", function(t)
  must.mkfifo("p", "600")
  must.link("p", "q")
  local fd = must.open("p", "rdonly nonblock")
  must.write(must.open("q", "wronly nonblock"), "x")
  t:equal(must.read(fd, 5), "x", "read")
end, { "mknod", "link" })

case("writing a fifo whose reader left is EPIPE", function(t)
  sys.signal("pipe", "ignore")
  must.mkfifo("p", "600")
  local reader = must.open("p", "rdonly nonblock")
  local writer = must.open("p", "wronly nonblock")
  must.close(reader)
  t:expect("EPIPE", sys.write, writer, "x")
end, { "mknod" })

case("an empty fifo with a writer is EAGAIN, without one at its end", function(t)
  must.mkfifo("p", "600")
  local reader = must.open("p", "rdonly nonblock")
  t:equal(must.read(reader, 5), "", "read without a writer")
  local writer = must.open("p", "wronly nonblock")
  t:expect("EAGAIN", sys.read, reader, 5)
  must.close(writer)
end, { "mknod" })

case("an unlinked fifo still works for those who have it open", function(t)
  must.mkfifo("p", "600")
  local fd = must.open("p", "rdwr")
  must.unlink "p"
  must.write(fd, "x")
  t:equal(must.read(fd, 5), "x", "read")
end, { "mknod" })

case("fifo permissions are checked", function(t)
  t:unprivileged(function()
    must.mkfifo("p", "200")
    t:expect("EACCES", sys.open, "p", "rdonly nonblock")
    must.chmod("p", "400")
    t:expect("EACCES", sys.open, "p", "wronly nonblock")
  end)
end, { "mknod", "permissions" })

case("a unix socket is bound and connected to", function(t)
  local server = must.unix_socket "s"
  t:type("s", "socket")
  local client = must.unix_socket("s", true)
  must.close(client)
  must.close(server)
  t:expect("ECONNREFUSED", sys.unix_socket, "s", true)
end, { "socket" })

case("binding a socket over a name is EADDRINUSE", function(t)
  t:file "f"
  t:expect("EADDRINUSE", sys.unix_socket, "f")
end, { "socket" })

case("connecting to what is no socket is ECONNREFUSED, to nothing ENOENT", function(t)
  t:file "f"
  t:expect("ECONNREFUSED", sys.unix_socket, "f", true)
  t:expect("ENOENT", sys.unix_socket, "missing", true)
end, { "socket" })

case("a socket is reached by its new name after a rename", function(t)
  must.unix_socket "s"
  must.rename("s", "r")
  must.unix_socket("r", true)
  t:expect("ENOENT", sys.unix_socket, "s", true)
end, { "socket" })

case("connecting needs write permission on the socket: EACCES", function(t)
  must.unix_socket "s"
  must.chmod("s", "755")
  t:as(t.alice, function() t:expect("EACCES", sys.unix_socket, "s", true) end)
  must.chmod("s", "777")
  t:as(t.alice, function() must.unix_socket("s", true) end)
end, { "socket", "two_users", "permissions" })

return cases
