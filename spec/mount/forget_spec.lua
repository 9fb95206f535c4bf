-- Forgets: every reference that an answer gave the kernel comes back, one by one or in batches, and none twice.

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- memfs tells the sum of its lookup counts and the number of its inodes.
local function memfs_count(m, name)
  local ok, out = m:sh("getfattr --absolute-names --only-values -n user.fractal." .. name .. " $MNT", 5)
  assert.is_true(ok, out)
  return tonumber(out)
end

-- Makes the kernel drop the mount's cached names and inodes until the count is 0; returns what is left after some
-- seconds.
local function drop_until_none(m, count)
  helper.eventually(10, function()
    m:drop_names()
    return count() == 0
  end)
  return count()
end

local FILES = 5000

-- Any name is a file of its own, with an inode number that its digits tell; nothing stays cached. Attributes of the
-- root:
--   user.held     the sum of all references given minus those that came back
--   user.calls    how many forgets came alone, how many in batches, and the highest count in one
local counting = script.one_file [[
  local held, single, batched, most = 0, 0, 0, 0
  function fs.lookup(req, parent, name, entry)
    local number = tonumber(name:match("%d+"))
    if not number then return nil, E.NOENT end
    held = held + 1
    entry.ino = number + 1000
    fill(2, entry.attr)
  end
  function fs.forget(req, ino, nlookup)
    held = held - nlookup
    most = math.max(most, nlookup)
    if req.opname == "batch_forget" then
      batched = batched + 1
    else
      single = single + 1
    end
  end
  function fs.getxattr(req, ino, name)
    if name == "user.held" then return tostring(held) end
    if name == "user.calls" then return ("%d %d %d"):format(single, batched, most) end
    return nil, E.NODATA
  end]]

helper.each_transport(function(transport)
  describe("lookup counts", function()
    after_each(helper.teardown)

    for _, workers in ipairs { 2, 1 } do
      it(("of thousands of inodes return to zero, workers %d"):format(workers), function()
        local m = helper.mount { script = "examples/memfs.lua", transport = transport, workers = workers }
        client.output(m, [[
          for d = 1, 10 do
            local dir = MNT .. "/" .. d
            must.mkdir(dir)
            for i = 1, arg[1] / 10 do
              must.close(must.open(dir .. "/" .. i, "wronly creat excl", "644"))
            end
            must.link(dir .. "/1", dir .. "/link")
          end]], 20, { FILES })
        assert.is_true(m:sh("find $MNT -ls >/dev/null", 20))
        assert.equal(1 + 10 + FILES, memfs_count(m, "inodes"))
        assert.is_true(memfs_count(m, "lookups") > FILES / 10) -- the kernel may have dropped some by itself
        assert.equal(0, drop_until_none(m, function() return memfs_count(m, "lookups") end))
        assert.equal(1 + 10 + FILES, memfs_count(m, "inodes"))
        assert.equal(m.ready .. "\n", m.log())
      end)
    end

    it("of removed files free their inodes", function()
      local m = helper.mount { script = "examples/memfs.lua", transport = transport }
      assert.is_true(m:sh("mkdir $MNT/d && cd $MNT/d && touch {1..1000} && cd $MNT && rm -r d", 20))
      helper.eventually(10, function() return memfs_count(m, "inodes") == 1 end)
      assert.same({ 1, 0 }, { memfs_count(m, "inodes"), memfs_count(m, "lookups") })
      assert.equal(m.ready .. "\n", m.log())
    end)

    it("are kept for files that are open", function()
      local m = helper.mount { script = "examples/memfs.lua", transport = transport }
      local holder = m:start "echo text >$MNT/kept; exec 3<>$MNT/kept; rm $MNT/kept; echo open; exec sleep 30"
      assert.truthy(helper.eventually(5, function() return holder.output() == "open\n" end))
      assert.is_true(m:sh("touch $MNT/{1..100}", 10))
      m:drop_names()
      assert.is_true(helper.eventually(10, function() return memfs_count(m, "lookups") == 1 end))
      assert.equal(1 + 100 + 1, memfs_count(m, "inodes"))
      holder:destroy()
      assert.is_true(helper.eventually(10, function() return memfs_count(m, "inodes") == 1 + 100 end))
      assert.equal(0, memfs_count(m, "lookups"))
    end)
  end)

  describe("forgets", function()
    after_each(helper.teardown)

    local function xattr(m, name)
      local ok, out = m:sh("getfattr --absolute-names --only-values -n user." .. name .. " $MNT", 5)
      assert.is_true(ok, out)
      return out
    end

    it("bring back all references of an inode at once", function()
      local m = helper.mount { source = counting, transport = transport }
      client.output(m, "for i = 1, 50 do must.stat(MNT .. '/7') end", 5)
      assert.equal("50", xattr(m, "held"))
      assert.equal(0, drop_until_none(m, function() return tonumber(xattr(m, "held")) end))
      local single, batched, most = xattr(m, "calls"):match("^(%d+) (%d+) (%d+)$")
      assert.same({ 1, 50 }, { single + batched, tonumber(most) })
    end)

    it("come in batches, from both CPUs, while others work", function()
      local m = helper.mount { source = counting, transport = transport }
      local clients = {}
      for cpu = 0, 1 do
        clients[cpu + 1] = m:start(("taskset -c %d %s"):format(cpu, client.command([[
          for i = 1, arg[1] do
            must.stat(("%s/%d"):format(MNT, arg[2] * 1000000 + i))
          end]], FILES, cpu + 1)))
      end
      for _ = 1, 5 do
        sys.sleep(0.05)
        m:drop_names()
      end
      for _, one in ipairs(clients) do
        assert.equal(0, one:wait(20), one.output())
      end
      assert.equal(0, drop_until_none(m, function() return tonumber(xattr(m, "held")) end))
      local single, batched, most = xattr(m, "calls"):match("^(%d+) (%d+) (%d+)$")
      assert.is_true(single + batched >= FILES * 2, single .. " and " .. batched)
      assert.is_true(tonumber(batched) > 0, batched)
      assert.equal("1", most)
      assert.equal(m.ready .. "\n", m.log())
    end)

    it("need no handler", function()
      local m = helper.mount { source = script.one_file "", transport = transport }
      client.output(m, "for i = 1, 1000 do must.stat(MNT .. '/file') sys.stat(MNT .. '/none' .. i) end", 10)
      m:drop_names()
      assert.is_true(m:sh("stat $MNT/file", 10))
      assert.equal(m.ready .. "\n", m.log())
      assert.equal(0, m:unmount())
    end)
  end)
end)
