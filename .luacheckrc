-- luacheck settings: LuaJIT everywhere, busted's names in the specs.
std = "luajit"
max_line_length = 120
unused_args = false -- handlers name all their arguments, used or not
codes = true
color = false
exclude_files = { "build*/**" }

files["spec/**/*_spec.lua"] = { std = "luajit+busted" }
files["lua/fractal/templates/*_spec.lua"] = { std = "luajit+busted" }
files[".busted"] = { std = "luajit" }
