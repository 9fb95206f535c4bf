--- `fractal.tree`: configuration and status as files, from a table.
--
--     return fractal.tree {
--       ["etc/motd"] = "Hello\n",                                  a file that never changes
--       ["status/uptime"] = function() return os.clock() end,      made anew whenever it is opened
--       level = { read = function() return level end, write = function(text) level = tonumber(text) end },
--       ["latest"] = { target = "status/uptime" },                 a symbolic link
--       logs = { ["today"] = "…", },                               a directory; so is every key that ends in "/"
--       ["users/"] = function() return { alice = "1\n" } end,      a directory made anew whenever it is looked at
--     }
--
-- `write` is called with the bytes of each write(2), as in sysfs, and may refuse them with nil, E.INVAL; `read` may be
-- a string, too. `mode` beside them sets the permissions (default: "0444", "0644" where there is `write`, "0200" where
-- there is only that). A file made by a function has the size it had when it was last opened, 0 before; it is read past
-- the page cache, so every program sees all of it. Functions may return nil and an errno.
--
-- A second table gives settings, as for fractal.pathfs. The result is a filesystem by path: handlers may be added or
-- replaced.

local errno = require "fractal.errno"
local pathfs = require "fractal.pathfs"

local E = errno.E
local ENTRY_FIELDS = { read = true, write = true, mode = true, target = true }

--- Is the table a file or link, not a directory? It is when it has nothing but an entry's fields.
local function is_entry(value)
  for key in pairs(value) do
    if not ENTRY_FIELDS[key] then
      return false
    end
  end
  return next(value) ~= nil
end

local function new_directory()
  return { type = "dir", mode = "0555", children = {} }
end

local function bad(path, what)
  error(("tree entry %q %s"):format(path, what), 0)
end

local function new_entry(path, value)
  if value.target ~= nil then
    if type(value.target) ~= "string" then
      bad(path, "has a target that is no string")
    end
    return { type = "symlink", mode = "0777", target = value.target, size = #value.target }
  elseif value.read ~= nil and type(value.read) ~= "function" and type(value.read) ~= "string" then
    bad(path, "has a `read` that is neither a function nor a string")
  elseif value.write ~= nil and type(value.write) ~= "function" then
    bad(path, "has a `write` that is no function")
  end
  local default = not value.write and "0444" or value.read and "0644" or "0200"
  return {
    type = "file", mode = value.mode or default, read = value.read or "", write = value.write,
    size = type(value.read) == "string" and #value.read or 0,
  }
end

local fill

--- The node of a value, whose key ended in "/" where `is_directory`.
local function new_node(path, value, is_directory)
  if type(value) == "table" and (is_directory or not is_entry(value)) then
    local node = new_directory()
    fill(node, value, path .. "/")
    return node
  elseif is_directory and type(value) == "function" then
    local node = new_directory()
    node.list = value
    return node
  elseif is_directory then
    bad(path, ("ends in \"/\": give it a table or a function that returns one, not a %s"):format(type(value)))
  elseif type(value) == "table" then
    return new_entry(path, value)
  elseif type(value) == "string" or type(value) == "function" then
    return new_entry(path, { read = value })
  end
  bad(path, ("is a %s; give it a string, a function, a table with read and write, or a table of entries")
    :format(type(value)))
end

--- Puts one value at its path below a directory, making the directories between.
local function place(node, key, value, prefix)
  if type(key) ~= "string" or not key:find("[^/]") then
    bad(prefix .. tostring(key), "is no path")
  end
  local names = {}
  for name in key:gmatch("[^/]+") do
    names[#names + 1] = name
  end
  for i = 1, #names - 1 do
    local child = node.children[names[i]] or new_directory()
    node.children[names[i]] = child
    if not child.children or child.list then
      bad(prefix .. key, ("lies below %q, which is no directory of the table"):format(names[i]))
    end
    node = child
  end
  local name, made = names[#names], new_node(prefix .. key:gsub("/+$", ""), value, key:sub(-1) == "/")
  local old = node.children[name]
  if not old then
    node.children[name] = made
  elseif old.children and made.children and not old.list and not made.list then
    for child_name, child in pairs(made.children) do
      old.children[child_name] = child
    end
  else
    bad(prefix .. key, "is there twice")
  end
end

fill = function(node, entries, prefix)
  for key, value in pairs(entries) do
    place(node, key, value, prefix)
  end
end

--- The children of a directory, or nil and an errno.
local function children_of(node, path)
  if not node.list then
    return node.children
  end
  local entries, err = node.list()
  if type(entries) ~= "table" then
    if entries == nil and err then
      return nil, err
    end
    error(("the function of the directory %q returned %s, not a table of entries"):format(path, type(entries)), 0)
  end
  local fresh = new_directory()
  fill(fresh, entries, path .. "/")
  return fresh.children
end

--- The node of a path, or nil and an errno.
local function find(root, path)
  local node = root
  for name in path:gmatch("[^/]+") do
    if not node.children then
      return nil, E.NOTDIR
    end
    local children, err = children_of(node, path)
    if not children then
      return nil, err
    end
    node = children[name]
    if not node then
      return nil, E.NOENT
    end
  end
  return node
end

--- What a file holds now. Returns a string, or nil and an errno.
local function contents(node, path)
  if type(node.read) == "string" then
    return node.read
  end
  local text, err = node.read()
  if type(text) == "number" or type(text) == "boolean" then
    text = tostring(text) .. "\n"
  elseif text == nil and err then
    return nil, err
  elseif type(text) ~= "string" then
    local came = text == nil and "nothing" or "a " .. type(text)
    error(("the function of %q returned %s, not a string"):format(path, came), 0)
  end
  return text
end

local function add_directories(fs, root)
  function fs.getattr(path)
    return find(root, path)
  end

  function fs.readdir(path)
    local node, err = find(root, path)
    if not node then
      return nil, err
    end
    local children, why = children_of(node, path)
    if not children then
      return nil, why
    end
    local list = {}
    for name, child in pairs(children) do
      list[#list + 1] = { name = name, type = child.type }
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
  end

  function fs.readlink(path)
    local node, err = find(root, path)
    return node and node.target, err or not node.target and E.INVAL or nil
  end
end

local function add_files(fs, root)
  --- The handle of an open file: { text = what it held then, node = … }.
  function fs.open(path, flags)
    local node, err = find(root, path)
    if not node then
      return nil, err
    end
    local handle = { node = node }
    if flags % 4 ~= 1 then -- not O_WRONLY
      handle.text, err = contents(node, path)
      if not handle.text then
        return nil, err
      end
      node.size = #handle.text
    end
    return handle, { direct_io = type(node.read) ~= "string" or node.write ~= nil }
  end

  function fs.read(_, buf, offset, handle)
    return (handle.text or ""):sub(offset + 1, offset + #buf)
  end

  function fs.write(_, data, _, handle)
    if not handle.node.write then
      return nil, E.ACCES
    end
    local result, err = handle.node.write(data:string())
    if result == nil and err ~= nil then
      return nil, err
    end
    return #data
  end

  --- Opening with O_TRUNC, as the shell's ">" does: the write that follows tells the whole value.
  function fs.truncate(path)
    local node, err = find(root, path)
    if node and not node.write then
      err = E.ACCES
    end
    return nil, err
  end
end

--- Makes the filesystem.
return function(entries, settings)
  if type(entries) ~= "table" then
    error(("fractal.tree takes a table of paths, not a %s"):format(type(entries)), 2)
  end
  local all = { single_only = true }
  for key, value in pairs(settings or {}) do
    all[key] = value
  end
  local fs, root = pathfs.new(all), new_directory()
  fill(root, entries, "")
  add_directories(fs, root)
  add_files(fs, root)
  return fs
end
