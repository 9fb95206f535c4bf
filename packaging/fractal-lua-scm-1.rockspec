rockspec_format = "3.0"
package = "fractal-lua"
version = "scm-1"
source = {
  url = "file://.", -- no archive is published: run `luarocks make` in the source tree
}
description = {
  summary = "Filesystems in Lua over FUSE's io_uring transport",
  detailed = "Mounts what a Lua script describes: the command fractal-lua, with the Lua package in it.",
  license = "MIT",
  labels = { "filesystem", "fuse", "linux", "luajit" },
}
supported_platforms = { "linux" }
dependencies = { "lua == 5.1" }
external_dependencies = {
  LIBURING = { header = "liburing.h" },
  LMDB = { header = "lmdb.h" },
}
build = {
  type = "cmake",
  variables = { CMAKE_BUILD_TYPE = "Release", BUILD_TESTING = "OFF" },
  -- The command alone: LuaRocks would take libfractal and the systemd unit for Lua modules.
  install_pass = false,
  install = { bin = { ["fractal-lua"] = "build.luarocks/fractal-lua" } },
}
