-- fractal.tree: settings and status as files.

local helper = require "spec.helper"

local function tree(entries, settings)
  return ([[
local fractal = require "fractal"
local E = fractal.errno
local level, calls = 3, 0
return fractal.tree(%s, %s)]]):format(entries, settings or "nil")
end

local function output(m, command)
  local ok, out = m:sh(command, 10)
  assert.is_true(ok, ("%s\n%s\nthe log:\n%s"):format(command, out, m.log()))
  return out
end

local function fails(m, command, text)
  local ok, out = m:sh(command, 10)
  assert.is_false(ok, out)
  assert.truthy(out:find(text, 1, true), out)
end

helper.each_transport(function(transport)
  describe("fractal.tree", function()
    after_each(helper.teardown)

    it("serves examples/tree.lua", function()
      local m = helper.mount { script = "examples/tree.lua", transport = transport }
      assert.equal("README\nsettings\nstatus\n", output(m, "ls $MNT"))
      assert.truthy(output(m, "cat $MNT/status/uptime"):find("^%d+ s\n$"))
      assert.equal("7\n", output(m, "echo 7 >$MNT/settings/level && cat $MNT/settings/level"))
      fails(m, "echo high >$MNT/settings/level", "Invalid argument")
      fails(m, "cat $MNT/nothing", "No such file or directory")
      assert.equal(0, m:unmount())
    end)

    it("has texts, functions, writable entries, links and directories of every form", function()
      local m = helper.mount { transport = transport, source = tree [[{
        ["etc/motd"] = "text\n",
        ["/etc/issue"] = { read = "issue\n", mode = "0400" },
        calls = function() calls = calls + 1 return calls end,
        level = { read = function() return level end, write = function(text) level = tonumber(text) end },
        command = { write = function(text) if text ~= "go\n" then return nil, E.INVAL end end },
        link = { target = "etc/motd" },
        nested = { deeper = { ["file"] = "below\n" } },
        ["read/"] = { read = "a file of that name\n" },
        ["empty/"] = {},
        ["users/"] = function() return { alice = "1\n", bob = function() return "2\n" end } end,
      }]] }
      assert.equal("calls\ncommand\nempty\netc\nlevel\nlink\nnested\nread\nusers\n", output(m, "ls $MNT"))
      assert.equal("text\ntext\nbelow\na file of that name\n1\n2\n",
        output(m, "cd $MNT && cat etc/motd link nested/deeper/file read/read users/*"))
      assert.equal("555 directory\n400 regular file\n444 regular file\n644 regular file\n200 regular file\n",
        output(m, "cd $MNT && stat -c '%a %F' etc etc/issue etc/motd level command | sed 's/empty //'"))
      assert.equal("1\n2\n", output(m, "cat $MNT/calls $MNT/calls"))
      assert.equal("9\n", output(m, "echo 9 >$MNT/level; cat $MNT/level"))
      output(m, "echo go >$MNT/command")
      fails(m, "echo stop >$MNT/command", "Invalid argument")
      assert.equal("", output(m, "ls $MNT/empty"))
    end)

    it("gives a file made by a function its size when it is opened, and all of it whatever its size was", function()
      local m = helper.mount { transport = transport, source = tree(
        [[{ big = function() calls = calls + 1 return ("x"):rep(100000 * calls) end }]], "{ attr_ttl = 0 }") }
      assert.equal("0\n", output(m, "stat -c %s $MNT/big"))
      assert.equal("100000\n", output(m, "cat $MNT/big | wc -c"))
      assert.equal("200000 200000\n", output(m, "cat $MNT/big | wc -c | tr '\\n' ' '; stat -c %s $MNT/big"))
    end)

    it("refuses what is not there to be done", function()
      local m = helper.mount { transport = transport, source = tree [[{
        fixed = "text\n", broken = function() return nil, E.AGAIN end, wrong = function() return {} end }]] }
      fails(m, "cat $MNT/broken", "Resource temporarily unavailable")
      fails(m, "cat $MNT/wrong", "Input/output error")
      assert.truthy(m.log():find('the function of "/wrong" returned a table, not a string', 1, true), m.log())
      assert.is_false((m:sh("echo x >$MNT/fixed", 10)))
      assert.is_false((m:sh("rm -f $MNT/fixed", 10)))
      assert.equal("text\n", output(m, "cat $MNT/fixed"))
    end)
  end)
end)

describe("fractal.tree without a mount", function()
  after_each(helper.teardown)

  local function check(entries)
    local path = helper.directory() .. "/script.lua"
    helper.write_file(path, tree(entries))
    local result = helper.run { "--check", path }
    return result.status, result.out .. result.err
  end

  local wrong = {
    { "{ x = 5 }", 'tree entry "x" is a number; give it a string, a function' },
    { '{ a = "x", ["a/b"] = "y" }', "tree entry \"a" },
    { '{ a = "x", ["/a"] = "y" }', "is there twice" },
    { '{ "text" }', 'tree entry "1" is no path' },
    { '{ ["a/"] = "text" }', 'tree entry "a" ends in "/": give it a table' },
    { '{ a = { read = 5 } }', 'tree entry "a" has a `read` that is neither a function nor a string' },
    { '{ a = { b = { write = "x" } } }', 'tree entry "a/b" has a `write` that is no function' },
    { '"text"', "fractal.tree takes a table of paths, not a string" },
  }
  for _, case in ipairs(wrong) do
    it("names the mistake in " .. case[1], function()
      local status, out = check(case[1])
      assert.equal(1, status)
      assert.truthy(out:find(case[2], 1, true), out)
    end)
  end

  it("accepts nested tables that meet below one directory", function()
    assert.equal(0, (check '{ ["a/b"] = "1", a = { c = "2" }, ["a/"] = { d = "3" } }'))
  end)
end)
