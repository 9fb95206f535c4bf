-- `--check`: what it finds in a script, as lines and as JSON.

local helper = require "spec.helper"
local process = require "spec.process"

local head = 'local fractal = require "fractal"\nlocal fs = fractal.KIND { SETTINGS }\n'

-- Checks a script whose handlers are body; returns its exit status and output, with the script as DIR/script.lua.
local function check(body, kind, settings, options)
  local dir = helper.directory()
  local text = head:gsub("KIND", kind or "pathfs"):gsub("SETTINGS", settings or "")
  helper.write_file(dir .. "/script.lua", text .. body .. "\nreturn fs\n")
  local arguments = { "--check", dir .. "/script.lua" }
  if options then
    arguments = { "--check", "-o", options, dir .. "/script.lua" }
  end
  local result = helper.run(arguments)
  return result.status, ((result.out .. result.err):gsub(dir:gsub("%p", "%%%0"), "DIR"))
end

local base = "function fs.getattr() end function fs.readdir() end "

describe("--check", function()
  after_each(helper.teardown)

  for _, case in ipairs {
    { "open", "open without release: what open allocates", "add `function fs.release(path, fh)`" },
    { "opendir", "opendir without releasedir", "add `function fs.releasedir(path, fh)`" },
    { "mkdir", "mkdir without rmdir: directories can be made and not removed", "add `function fs.rmdir(path)`" },
    { "create", "create without unlink", "add `function fs.unlink(path)`" },
    { "write", "write without create", "add `function fs.create(path, mode, flags)`" },
    { "write", "write without truncate: opening a file with O_TRUNC", "add `function fs.truncate(path, size, fh)`" },
    { "symlink", "symlink without readlink", "add `function fs.readlink(path)`" },
  } do
    it("misses the other one: " .. case[2], function()
      local status, out = check(base .. ("function fs.%s() end"):format(case[1]))
      assert.equal(0, status)
      assert.truthy(out:find("warning: " .. case[2], 1, true), out)
      assert.truthy(out:find("; do: " .. case[3] .. "\n", 1, true), out)
    end)
  end

  it("does not miss what is there, nor where the library answers", function()
    local status, out = check(base .. "function fs.mkdir() end function fs.rmdir() end")
    assert.same({ 0, "4 handlers: getattr mkdir readdir rmdir\n" }, { status, out })
    local _, lowlevel = check("function fs.lookup() end function fs.getattr() end "
      .. "function fs.open(req, ino, open) open.direct_io = true end", "lowlevel")
    assert.equal("3 handlers: getattr lookup open\n", lowlevel)
    _, lowlevel = check("function fs.lookup() end function fs.getattr() end "
      .. "function fs.open(req, ino, open) open.fh = 1 end", "lowlevel")
    assert.truthy(lowlevel:find("add `function fs.release(req, ino, fh)`", 1, true), lowlevel)
    status, out = check("fs = fractal.tree { a = { read = tostring, write = tostring } }")
    assert.equal(0, status)
    assert.falsy(out:find("warning", 1, true), out)
  end)

  it("names globals that nothing sets, and those that are set", function()
    local status, out = check(base .. [[
      function fs.read() return tostrin(5) end
      function fs.write() helper() counter = 1 end
      function helper() return string, bit.band, io, utf8 or bit32 end]])
    assert.equal(1, status)
    for _, line in ipairs {
      "DIR/script.lua:3: reads the global 'tostrin', which nothing sets; did you mean 'tostring'?; do: ",
      "warning: DIR/script.lua:4: sets the global 'counter'; do: declare it local\n",
      "warning: DIR/script.lua:5: sets the global 'helper'; do: declare it local\n",
    } do
      assert.truthy(out:find("\n" .. line, 1, true), out)
    end
    for _, name in ipairs { "string", "bit", "io", "utf8", "bit32" } do
      assert.falsy(out:find("global '" .. name .. "'", 1, true), out)
    end
  end)

  it("looks into modules beside the script, too", function()
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", 'local fs = require "part" return fs')
    helper.write_file(dir .. "/part.lua", head:gsub("KIND", "pathfs"):gsub("SETTINGS", "") .. base
      .. "function fs.read()\n  return undefined\nend return fs")
    local result = helper.run { "--check", dir .. "/script.lua" }
    assert.equal(1, result.status)
    assert.truthy(result.out:find("/part.lua:4: reads the global 'undefined'", 1, true), result.out)
  end)

  describe("with state=per-worker", function()
    local cases = {
      { "a table's field", "local nodes = {}\nfunction fs.mkdir(path) nodes[path] = true end function fs.rmdir() end",
        "DIR/script.lua:5: mkdir changes the table 'nodes', which each of the states has for itself" },
      { "a field below a table",
        "local nodes = {}\nfunction fs.chmod(path, mode)\nlocal n = nodes[path]\nn.mode = mode end",
        "DIR/script.lua:7: chmod changes the table 'nodes'" },
      { "a variable", "local count = 0\nfunction fs.statfs() count = count + 1 end",
        "DIR/script.lua:5: statfs changes the variable 'count'" },
      { "table.insert", "local list = {}\nfunction fs.access(path) table.insert(list, path) end",
        "DIR/script.lua:5: access changes the table 'list'" },
      { "a function that a handler calls", "local list = {}\nlocal function note(x) list[#list + 1] = x end\n"
        .. "function fs.access(path) note(path) end", "DIR/script.lua:5: access changes the table 'list'" },
    }
    for _, case in ipairs(cases) do
      it("finds what states do not share: " .. case[1], function()
        local status, out = check(base .. "\n" .. case[2], nil, 'state = "per-worker"')
        assert.equal(0, status)
        assert.truthy(out:find("warning: " .. case[3], 1, true), out)
        local _, by_option = check(base .. "\n" .. case[2], nil, nil, "state=per-worker")
        assert.equal(out, by_option)
        local _, single = check(base .. "\n" .. case[2])
        assert.falsy(single:find("each of the states", 1, true), single)
      end)
    end

    it("lets pass what is only read, local, shared, or of init", function()
      local status, out = check(base .. [[
        local config, ready = { size = 5 }, false
        function fs.init() ready = true end
        function fs.read(path)
          local result = {}
          result[path] = config.size
          result.config = config
          table.insert(result, config)
          return ready and result
        end]], nil, 'state = "per-worker"')
      assert.same({ 0, "4 handlers: getattr init read readdir\n" }, { status, out })
    end)
  end)

  it("is one JSON object with --json", function()
    local dir = helper.directory()
    local function json(text, question)
      helper.write_file(dir .. "/script.lua", text)
      local program = "import json, sys\nx = json.load(sys.stdin)\nprint(" .. question .. ")"
      local command = ("%s --check --json %s/script.lua | python3 -c '%s'"):format(helper.binary, dir, program)
      local result = process.run({ "bash", "-c", command }, 20)
      return result.out .. result.err
    end
    local text = head:gsub("KIND", "pathfs"):gsub("SETTINGS", "") .. base .. "function fs.mkdir() end return fs"
    assert.equal("True handlers ok pairs warn\n",
      json(text, 'x["ok"], " ".join(y["check"] + " " + y["status"] for y in x["findings"])'))
    assert.equal(dir .. "/script.lua add `function fs.rmdir(path)`\n",
      json(text, 'x["script"], x["findings"][1]["fix"]'))
    assert.equal("False load fail\n",
      json("return 1 +", 'x["ok"], x["findings"][0]["check"], x["findings"][0]["status"]'))
  end)
end)
