-- --profile: the script's hot function is the widest frame, and the signals that sampling takes disturb nobody.
-- What is read while it is written anew is in memory: a disk under load keeps whoever truncates a file waiting.

local helper = require "spec.helper"
local process = require "spec.process"
local script = require "spec.script"

local source = script.one_file [[
  local function knead(n)
    local t = {}
    for i = 1, n do t[i % 7 + 1] = ("%d"):format(i) end
    return #t
  end
  local function glance(n) return n + 1 end
  local kept = {}
  function fs.getattr(req, ino, attr)
    fill(ino, attr)
    if ino == 2 then knead(1000) glance(1) end
  end
  function fs.setattr(req, ino, set, attr) fill(ino, attr) end
  function fs.write(req, ino, data, offset) kept[offset] = data:string() return #data end
  function fs.read(req, ino, buf, offset) fractal.io.sleep(0.001) return kept[offset] or "" end]]

-- Folded stacks as a list of { frames = list, samples }.
local function read_folded(path)
  local list = {}
  for stack, samples in helper.read_file(path):gmatch("([^\n]+) (%d+)\n") do
    local frames = {}
    for frame in stack:gmatch("[^;]+") do
      frames[#frames + 1] = frame
    end
    list[#list + 1] = { frames = frames, samples = tonumber(samples) }
  end
  return list
end

-- Each worker burns in a function of its own, so that a stack tells who it belongs to.
local burning = script.one_file [[
  local function step(i, x) return (x * 3 + i) % 1000003 end
  local function burn_0(n) local x = 0 for i = 1, n do x = step(i, x) end return x end
  local function burn_1(n) local x = 1 for i = 1, n do x = step(i, x) end return x end
  function fs.getattr(req, ino, attr)
    fill(ino, attr)
    if ino ~= 2 then
      return
    elseif fractal.worker.id == 0 then
      burn_0(20000)
    else
      burn_1(20000)
    end
  end
  function fs.read(req, ino, buf, offset) return offset == 0 and ("x"):rep(100) or "" end]]

-- Samples of stacks that have a frame, and of all of the script's.
local function shares(path, frame)
  local with, all = 0, 0
  for _, stack in ipairs(read_folded(path)) do
    local has, own = false, false
    for _, name in ipairs(stack.frames) do
      has, own = has or name == frame, own or name:find("^script%.lua:") ~= nil
    end
    with, all = with + (has and stack.samples or 0), all + (own and stack.samples or 0)
  end
  return with, all
end

-- By worker: samples of its stacks, and of those with a frame whose name is this text and the worker's number.
local function by_worker(path, frame)
  local all, with = { [0] = 0, 0 }, { [0] = 0, 0 }
  for _, stack in ipairs(read_folded(path)) do
    local id = tonumber(stack.frames[1]:match("^worker (%d+)$"))
    assert(all[id], "a stack of no worker: " .. table.concat(stack.frames, ";"))
    all[id] = all[id] + stack.samples
    for _, name in ipairs(stack.frames) do
      if name:find(frame, 1, true) then
        assert.equal(frame .. id, name)
        with[id] = with[id] + stack.samples
        break
      end
    end
  end
  return all, with
end

local function await_burning(path, frame, samples)
  assert.truthy(helper.eventually(60, function()
    local _, with = by_worker(path, frame)
    return with[0] >= samples and with[1] >= samples
  end), helper.read_file(path))
end

-- By worker: the processor time that its thread has used, in ticks.
local function used_time(pid)
  local used = {}
  local threads = process.run({ "sh", "-c", "cat /proc/" .. pid .. "/task/*/stat" }, 10).out
  for id, user, system in threads:gmatch("%(fractal/(%d)%) %u" .. (" %S+"):rep(10) .. " (%d+) (%d+)") do
    used[tonumber(id)] = tonumber(user) + tonumber(system)
  end
  return used
end

local function await_drawing(prefix)
  assert.truthy(helper.eventually(20, function()
    return helper.read_file(prefix .. ".svg"):find("</svg>", 1, true)
  end))
end

-- The script's frames of a drawing, the widest first: "NAME WIDTH" on each line.
local widest = [[
import sys, xml.etree.ElementTree as tree
space = "{http://www.w3.org/2000/svg}"
frames = []
for g in tree.parse(sys.argv[1]).iter(space + "g"):
    title = g.find(space + "title")
    if title is not None:
        frames.append((-float(g.find(space + "rect").get("width")), title.text))
print("\n".join(text for _, text in sorted(frames) if text.startswith("script.lua:knead")
    or text.startswith("script.lua:glance")))
]]

describe("--profile", function()
  after_each(helper.teardown)

  helper.each_transport(function(transport)
    it("shows where the script spends its time", function()
      local prefix = helper.tmpfs() .. "/profile"
      local m = helper.mount { source = source, transport = transport,
        args = { "--profile=1", "--profile-file=" .. prefix } }
      local client = m:start [[exec python3 -c 'import os
while True: os.stat(os.environ["MNT"] + "/file")']]
      assert.is_true(m:sh([[for i in $(seq 30); do
        text=$(printf %100s $RANDOM)
        printf %s "$text" > $MNT/file && [ "$(cat $MNT/file)" = "$text" ] || exit 1
      done]], 60))
      -- Written every second, while it serves.
      assert.truthy(helper.eventually(60, function()
        return shares(prefix .. ".folded", "script.lua:knead") >= 20
      end), helper.read_file(prefix .. ".folded"))
      await_drawing(prefix)
      assert.is_nil(client:poll())
      client:kill("kill")
      assert.truthy(client:wait(10))
      assert.equal(0, m:unmount())
      local hot, all = shares(prefix .. ".folded", "script.lua:knead")
      assert.is_true(hot > all / 2, helper.read_file(prefix .. ".folded"))
      local drawn = process.run({ "python3", "-c", widest, prefix .. ".svg" }, 20)
      assert.equal(0, drawn.status, drawn.err)
      assert.truthy(drawn.out:find("^script%.lua:knead: %d+ samples, "), drawn.out)
      assert.truthy(m.log():find(("profile: %s.svg, %s.folded\n"):format(prefix, prefix), 1, true), m.log())
    end)
  end)

  helper.each_transport(function(transport)
    it("shows what each state does, across a reload", function()
      local dir = helper.tmpfs()
      local folded = dir .. "/profile.folded"
      helper.write_file(dir .. "/script.lua", burning)
      local m = helper.mount { script = dir .. "/script.lua", transport = transport, state = "per-worker",
        workers = 2, args = { "--profile=1", "--profile-file=" .. dir .. "/profile" } }
      local clients = {}
      for cpu = 0, 1 do
        clients[cpu + 1] = m:start(([[exec taskset -c %d python3 -c 'import os
while True: os.stat(os.environ["MNT"] + "/file")']]):format(cpu))
      end
      await_burning(folded, "script.lua:burn_", 50)
      assert.is_true(m:sh([[for i in $(seq 30); do
        [ "$(cat $MNT/file)" = "$(printf %100s | tr ' ' x)" ] || exit 1
      done]], 60))
      helper.write_file(dir .. "/script.lua", (burning:gsub("burn_", "knead_")))
      m.process:kill("hup")
      await_burning(folded, "script.lua:knead_", 50)
      local used = used_time(m.pid)
      for _, client in ipairs(clients) do
        assert.is_nil(client:poll())
        client:kill("kill")
        assert.truthy(client:wait(10))
      end
      assert.equal(0, m:unmount())
      assert.truthy(m.log():find("reloaded ", 1, true), m.log())
      local all, burnt = by_worker(folded, "script.lua:burn_")
      local _, kneaded = by_worker(folded, "script.lua:knead_")
      for id = 0, 1 do
        assert.is_true(burnt[id] + kneaded[id] > all[id] / 3, helper.read_file(folded))
      end
      -- Samples go by the time that each worker has used.
      local ratio = (all[0] / used[0]) / (all[1] / used[1])
      assert.is_true(ratio > 1 / 3 and ratio < 3, ratio .. "\n" .. helper.read_file(folded))
    end)
  end)

  it("is written from the background, and where states are many", function()
    local prefix = helper.directory() .. "/profile"
    local m = helper.mount { source = source, background = true, state = "per-worker",
      args = { "--profile", "--profile-file=" .. prefix } }
    assert.is_true(m:sh("for i in $(seq 50); do stat $MNT/file || exit 1; done", 20))
    assert.equal(0, m:unmount())
    await_drawing(prefix)
  end)

  it("says where it cannot be written", function()
    local dir = helper.directory()
    helper.write_file(dir .. "/script.lua", source)
    local result = helper.run { "--profile-file=" .. dir .. "/none/p", dir .. "/script.lua", dir }
    assert.equal(1, result.status)
    local sentence = ("the profile cannot be written to %s/none/p.folded: No such file or directory"):format(dir)
    assert.truthy(result.err:find(sentence, 1, true), result.err)
    assert.is_false(helper.is_mounted(dir))
  end)
end)
