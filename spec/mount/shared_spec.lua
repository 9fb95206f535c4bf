-- Data shared by all states of a mount, calls between workers, tasks and locks across workers, and fractal.stop.

local helper = require "spec.helper"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

local source = script.one_file([==[
  local shared = fractal.shared
  local d = shared.dict "things"
  local c = shared.counter "events"
  local exercise = {}
  local function is(expected, got, what)
    if expected ~= got then
      error(("%s: expected %s, got %s"):format(what, tostring(expected), tostring(got)), 2)
    end
  end
  local function fails(err, result, got)
    is(nil, result, "a result")
    is(err, got, "errno")
  end

  function exercise.dict()
    is(nil, d:get("none"), "get")
    for _, value in ipairs { "text", "", "\0\255\0", 1.5, -1, true, false, ("x"):rep(2 ^ 20) } do
      is(true, d:set("key", value), "set")
      is(value, d:get("key"), "get")
    end
    fails(E.FBIG, d:set("key", ("x"):rep(2 ^ 20 + 1)))
    fails(E.EXIST, d:add("key", 1))
    is(true, d:delete("key"), "delete")
    fails(E.NOENT, d:delete("key"))
    is(true, d:add("key", "new"), "add")
    is(true, d:set("key", nil), "set to nil")
    is(nil, d:get("key"), "get")
    fails(E.NOENT, d:incr("n", 1))
    is(5, d:incr("n", 2, 3), "incr with init")
    is(4.5, d:incr("n", -0.5), "incr")
    fails(E.AGAIN, d:cas("n", 4, 5))
    is(true, d:cas("n", 4.5, "text"), "cas")
    fails(E.INVAL, d:incr("n", 1))
    is(true, d:cas("n", "text", nil), "cas to none")
    is(true, d:cas("n", nil, 1), "cas from none")
    fails(E.NAMETOOLONG, d:set(("k"):rep(512), 1))
    is(true, d:set("\0binary", 1), "a key of bytes")
    is("\0binary,n", table.concat(d:keys(), ","), "keys")
    d:delete("\0binary")
    d:delete("n")
    for i = 1, 2000 do d:set("key number " .. i, i) end
    is(2000, #d:keys(), "keys")
    for i = 1, 2000 do d:delete("key number " .. i) end
    is(false, pcall(d.set, d, "key", {}), "a table as the value")
    is(false, pcall(d.set, d, 1, 1), "a number as the key")
  end

  function exercise.ttl()
    is(true, d:set("short", 1, 0.05), "set")
    is(1, d:get("short"), "get")
    fractal.io.sleep(0.06)
    is(nil, d:get("short"), "get")
    is(true, d:add("short", 2), "add")
    d:delete("short")
  end

  function exercise.inodes()
    local t = shared.inodes "mine"
    local root = t:ref(0, 0, 7)
    local ino, generation, value, fresh = t:ref(1, 2, 42)
    is(1, root, "the root's number")
    is(true, fresh, "fresh")
    is(ino, (t:ref(1, 2, 99)), "the same key")
    is(42, t:value(ino), "value")
    is(2, t:count(), "count")
    is(false, (t:forget(ino, 1)), "forget")
    local gone, attached = t:forget(ino, 1)
    is(true, gone, "gone")
    is(42, attached, "attached")
    fails(E.NOENT, t:forget(ino, 1))
    t:forget(root, 1)
  end

  local mine = tostring({})
  fractal.worker.register("who", function(...) return mine, fractal.worker.id, ... end)
  fractal.worker.register("fail", function() error("a mistake", 0) end)
  fractal.worker.register("slow", function() fractal.io.sleep(0.05) return "slept" end)

  function exercise.calls()
    is(2, fractal.worker.count, "count")
    local states = {}
    for id = 0, 1 do
      local state, at, text, t, nothing, last = fractal.worker.call(id, "who", "text", { a = { 1, 2 } }, nil, 5)
      states[state] = true
      is(id, at, "id")
      is("text", text, "text")
      is(2, t.a[2], "table")
      is(nil, nothing, "nil")
      is(5, last, "last")
      is("slept", fractal.worker.call(id, "slow"), "slow")
    end
    local ok, err = pcall(fractal.worker.call, 0, "none")
    is('no function "none": register it with fractal.worker.register where the script begins', err, "error")
    ok, err = pcall(fractal.worker.call, 1, "fail")
    is(true, err:find("^a mistake") ~= nil, "error " .. err)
    ok, err = pcall(fractal.worker.call, 2, "who")
    is(true, err:find("there is no worker 2: they are 0 to 1", 1, true) ~= nil, "error " .. err)
    ok, err = pcall(fractal.worker.call, 1, "who", print)
    is(true, err:find("plain values", 1, true) ~= nil, "error " .. err)
  end

  function exercise.coroutine()
    local ok, err = coroutine.resume(coroutine.create(function() fractal.io.sleep(0) end))
    is(false, ok, "resume")
    is(true, err:find("sleep is not possible inside a coroutine of your own: use fractal.spawn", 1, true) ~= nil, err)
  end

  function exercise.many_tasks()
    local left, all = 5000, fractal.queue()
    for i = 1, 5000 do
      fractal.spawn(function()
        fractal.io.sleep(0.05)
        left = left - 1
        if left == 0 then all:put("done") end
      end)
    end
    is("done", all:get(10), "all tasks")
  end

  function exercise.order()
    local lock, inside, most = fractal.mutex(), 0, 0
    local results = fractal.wait_all((function()
      local list = {}
      for i = 1, 20 do
        list[i] = function()
          return lock:with(function()
            inside = inside + 1
            most = math.max(most, inside)
            fractal.io.sleep(0.001)
            inside = inside - 1
            return i
          end)
        end
      end
      return list
    end)())
    is(1, most, "tasks inside a mutex")
    for i = 1, 20 do is(i, results[i], "result") end
    local s, now, peak = fractal.semaphore(3), 0, 0
    local list = {}
    for i = 1, 12 do
      list[i] = function()
        s:acquire()
        now = now + 1
        peak = math.max(peak, now)
        fractal.io.sleep(0.002)
        now = now - 1
        s:release()
      end
    end
    fractal.wait_all(list)
    is(3, peak, "tasks inside a semaphore")
    fails(E.TIMEDOUT, fractal.queue():get(0.01))
    local runs = 0
    local timer = fractal.every(0.005, function() runs = runs + 1 end)
    fractal.io.sleep(0.1)
    timer:cancel()
    local then_ = runs
    is(true, runs > 2, "runs of a timer")
    fractal.io.sleep(0.03)
    is(then_, runs, "runs of a cancelled timer")
  end

  function exercise.hammer()
    for i = 1, 2000 do
      d:incr("sum", 1, 0)
      c:add(1)
      local filler = string.char(97 + i % 26):rep(3000 + i % 7)
      d:set("torn", filler)
      local seen = d:get("torn")
      if seen ~= seen:sub(1, 1):rep(#seen) then error("a torn read") end
      repeat
        local old = d:get("swapped")
      until d:cas("swapped", old, (old or 0) + 1)
    end
  end

  local box = fractal.queue()
  function fs.getxattr(req, ino, name)
    name = name:match("^user%.(.*)$")
    if name == "sum" then
      return ("%d %d %d"):format(d:get("sum") or 0, c:get(), d:get("swapped") or 0)
    elseif name == "wait" then
      return tostring(box:get(5)) .. " for worker " .. fractal.worker.id
    elseif name == "wake" then
      box:put("woken by worker " .. fractal.worker.id)
      return "ok"
    elseif name == "keep" then
      local k = shared.dict("kept", { persist = fs.options.file })
      -- getfattr asks twice, for the size and for the value.
      return tostring(shared.counter("asked"):add(1) == 1 and k:incr("mounts", 1, 0) or k:get("mounts"))
    elseif name == "stop" then
      fractal.stop("enough")
      fractal.stop("enough")
      return "ok"
    elseif not exercise[name] then
      return nil, E.NODATA
    end
    local ok, err = xpcall(exercise[name], debug.traceback)
    return ok and "ok" or err
  end]==], 'options = { file = "database" }')

local function command(name, cpu)
  return ("taskset -c %d getfattr --absolute-names --only-values -n user.%s $MNT"):format(cpu or 0, name)
end

helper.matrix({ transport = helper.transports(), state = { "single", "per-worker" } }, function(settings)
  describe("shared data and tasks", function()
    after_each(helper.teardown)

    local function mount(options)
      return helper.mount { source = source, transport = settings.transport, state = settings.state, options = options }
    end

    local function get(m, name, cpu)
      local ok, out = m:sh(command(name, cpu), 15)
      assert.is_true(ok, out .. m.log())
      return out
    end

    it("do what their documentation says", function()
      local m = mount()
      for _, name in ipairs { "dict", "ttl", "inodes", "calls", "coroutine", "many_tasks", "order" } do
        assert.equal("ok", get(m, name), name)
        assert.equal("ok", get(m, name, 1), name .. " on the other worker")
      end
      assert.equal(0, m:unmount())
    end)

    it("count exactly and are never torn with both workers changing them", function()
      local m = mount()
      local others = { m:start(command("hammer", 0)), m:start(command("hammer", 1)) }
      for _, other in ipairs(others) do
        assert.equal(0, other:wait(20), other.output())
        assert.equal("ok", other.output())
      end
      -- getfattr asks twice, for the size and for the value.
      assert.equal("8000 8000 8000", get(m, "sum"))
    end)

    it("outlive the mount in a file, and leave nothing in memory", function()
      local file = helper.directory() .. "/database"
      for i = 1, 3 do
        local m = mount { file = file }
        assert.equal(tostring(i), get(m, "keep"))
        assert.equal(0, m:unmount())
      end
      local leftovers = io.popen("ls /dev/shm | grep -c '^fractal-lua'")
      assert.equal("0", leftovers:read("*l"))
      leftovers:close()
    end)

    it("end the mount by fractal.stop", function()
      local m = mount()
      assert.equal("ok", get(m, "stop"))
      assert.equal(0, m:wait(5) or m.log())
      assert.truthy(m.log():find("the script stops the mount: enough", 1, true))
      assert.is_false(helper.is_mounted(m.dir))
    end)

    if settings.state == "single" then
      it("wake a task of one worker from another", function()
        local m = mount()
        local waiter = m:start(command("wait", 0))
        sys.sleep(0.2)
        assert.is_nil(waiter:poll())
        get(m, "wake", 1)
        assert.equal(0, waiter:wait(3) or "a task that was not woken", m.log())
        if settings.transport == "uring" then
          assert.equal("woken by worker 1 for worker 0", waiter.output())
        end
      end)
    end
  end)
end)

describe("shared data", function()
  after_each(helper.teardown)

  it("are refused with a sentence where a file cannot be opened", function()
    local result = helper.run({ "--check", (function()
      local path = helper.directory() .. "/script.lua"
      helper.write_file(path, [[require("fractal").shared.dict("x", { persist = "/nowhere/at/all" })]])
      return path
    end)() }, 10)
    assert.equal(1, result.status)
    assert.truthy((result.out .. result.err):find(
      'fractal.shared.dict "x" in /nowhere/at/all cannot be opened: No such file or directory', 1, true), result.err)
  end)
end)
