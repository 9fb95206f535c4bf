-- Lua states: a single one counts exactly while both CPUs are served, those of workers run at the same time and share
-- nothing.

local client = require "spec.client"
local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

-- A filesystem that counts its calls in Lua tables and tells through extended attributes of the root, whose own use is
-- not counted:
--   user.count   "getattr=N write=N", of this state
--   user.state   which state answers
--   user.both    the two with a space between
--   user.cpus    the CPUs that the counted handlers ran on
--   user.greeting   the script's own option
local counting = script.one_file([[
  ffi.cdef "int sched_getcpu(void);"
  local identity = {}
  local state = tostring(identity)
  local count, cpus = { getattr = 0, write = 0 }, {}

  local function bump(name)
    cpus[ffi.C.sched_getcpu()] = true
    -- Slow and in several steps, so that two at a time would lose some.
    local n = count[name]
    for i = 1, 20 do n = n + i % 2 end
    count[name] = n - 9
  end

  function fs.getattr(req, ino, attr)
    if ino == 2 then bump "getattr" end
    fill(ino, attr)
  end

  function fs.write(req, ino, data)
    bump "write"
    return #data
  end

  function fs.getxattr(req, ino, name)
    local counted = ("getattr=%d write=%d"):format(count.getattr, count.write)
    if name == "user.count" then
      return counted
    elseif name == "user.both" then
      return state .. " " .. counted
    elseif name == "user.state" then
      return state
    elseif name == "user.greeting" then
      return fs.options.greeting
    elseif name == "user.cpus" then
      local list = {}
      for cpu in pairs(cpus) do list[#list + 1] = cpu end
      table.sort(list)
      return table.concat(list, " ")
    end
    return nil, E.NODATA
  end]], 'options = { greeting = "what to say" }')

local ROUNDS = 5000

-- As many getattrs and writes as arg[1] says.
local load_client = [[
  local fd = must.open(MNT .. "/file", "rdwr")
  for i = 1, arg[1] do
    must.fstat(fd)
    must.pwrite(fd, "text", 0)
  end]]

local function pinned(cpu, command)
  return ("taskset -c %d %s"):format(cpu, command)
end

local function xattr(m, name, cpu)
  local ok, out = m:sh(pinned(cpu or 0, "getfattr --absolute-names --only-values -n user." .. name .. " $MNT"), 5)
  assert.is_true(ok, out)
  return out
end

-- Runs the load on both CPUs at once, with that many rounds each.
local function load_both(m, rounds)
  local clients = {}
  for cpu = 0, 1 do
    clients[cpu + 1] = m:start(pinned(cpu, client.command(load_client, rounds[cpu + 1])))
  end
  for _, one in ipairs(clients) do
    assert.equal(0, one:wait(30), one.output())
  end
end

-- Reads the file once, at the time arg[1].
local timed_reader = [[
  local fd = must.open(MNT .. "/file", "rdonly")
  while sys.clock "monotonic" < tonumber(arg[1]) do sys.sleep(0.001) end
  io.write((must.read(fd, 100)))]]

-- Two readers, one on each CPU, whose handlers are busy for 200 ms. Returns for how long they overlapped, in seconds.
local function busy_overlap(m)
  local readers = {}
  local at = sys.clock "monotonic" + 0.3
  for cpu = 0, 1 do
    readers[cpu + 1] = m:start(pinned(cpu, client.command(timed_reader, at)))
  end
  local times = {}
  for i, reader in ipairs(readers) do
    assert.equal(0, reader:wait(10), reader.output())
    local from, to = reader.output():match("^(%S+) (%S+)$")
    times[i] = { tonumber(from), tonumber(to) }
  end
  return math.min(times[1][2], times[2][2]) - math.max(times[1][1], times[2][1])
end

local busy = script.one_file [[
  ffi.cdef "struct spec_time { int64_t sec, nsec; }; int clock_gettime(int, struct spec_time *);"
  local now = ffi.new("struct spec_time")
  local function seconds()
    ffi.C.clock_gettime(1, now)
    return tonumber(now.sec) + tonumber(now.nsec) / 1e9
  end
  function fs.read()
    local begun, time = seconds(), nil
    repeat time = seconds() until time > begun + 0.2
    return ("%.6f %.6f"):format(begun, time)
  end]]

helper.each_transport(function(transport)
  local function mount(source, state, options)
    return helper.mount { source = source, transport = transport, state = state, options = options }
  end

  describe("the single state", function()
    after_each(helper.teardown)

    it("counts exactly under load from both CPUs", function()
      local m = mount(counting)
      assert.truthy(m.ready:find("2 workers, 1 Lua state$"), m.ready)
      load_both(m, { ROUNDS, ROUNDS })
      assert.equal(("getattr=%d write=%d"):format(ROUNDS * 2, ROUNDS * 2), xattr(m, "count"))
      assert.equal("0 1", xattr(m, "cpus"))
    end)

    it("runs one handler at a time", function()
      local overlap = busy_overlap(mount(busy, "single"))
      assert.is_true(overlap <= 0, "two handlers ran at once in one state")
    end)

    it("is the same for every worker", function()
      local m = mount(counting)
      assert.equal(xattr(m, "state", 0), xattr(m, "state", 1))
    end)
  end)

  describe("per-worker states", function()
    after_each(helper.teardown)

    it("run at the same time", function()
      local m = mount(busy, "per-worker")
      -- On a loaded machine one of the readers may come too late.
      assert.truthy(helper.eventually(10, function() return busy_overlap(m) > 0.1 end))
    end)

    it("share nothing", function()
      local m = mount(counting, "per-worker")
      assert.truthy(m.ready:find("2 workers, 2 Lua states$"), m.ready)
      load_both(m, { 300, 200 })
      local counts = {}
      assert.truthy(helper.eventually(10, function()
        for cpu = 0, 1 do
          local state, count = xattr(m, "both", cpu):match("^(table: %S+) (.*)$")
          counts[state] = count
        end
        return next(counts, (next(counts)))
      end))
      local sum, states = { getattr = 0, write = 0 }, 0
      for _, count in pairs(counts) do
        states = states + 1
        for name, n in count:gmatch("(%w+)=(%d+)") do
          sum[name] = sum[name] + n
        end
      end
      assert.same({ 2, { getattr = 500, write = 500 } }, { states, sum })
    end)

    it("each get the script's options", function()
      local m = mount(counting, "per-worker", { greeting = "hello" })
      for cpu = 0, 1 do
        assert.equal("hello", xattr(m, "greeting", cpu))
      end
    end)
  end)

  describe("one worker", function()
    after_each(helper.teardown)

    it("serves both CPUs in one state", function()
      for _, state in ipairs { "single", "per-worker" } do
        local m = helper.mount { source = counting, transport = transport, state = state, args = { "-s" } }
        assert.truthy(m.ready:find("1 worker, 1 Lua state$"), m.ready)
        load_both(m, { 300, 200 })
        assert.equal("getattr=500 write=500", xattr(m, "count"))
      end
    end)
  end)
end)

if helper.has_uring() then
  describe("over the ring", function()
    after_each(helper.teardown)

    it("each CPU is served by the state of its own worker", function()
      local m = helper.mount { source = counting, transport = "uring", state = "per-worker" }
      load_both(m, { 300, 200 })
      assert.equal("getattr=300 write=300", xattr(m, "count", 0))
      assert.equal("getattr=200 write=200", xattr(m, "count", 1))
      assert.equal("0", xattr(m, "cpus", 0))
      assert.equal("1", xattr(m, "cpus", 1))
      assert.not_equal(xattr(m, "state", 0), xattr(m, "state", 1))
    end)
  end)
end
