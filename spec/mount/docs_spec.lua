--- The documents' code blocks, run as they stand: files are written, sessions run against real mounts. See
-- spec.markdown for the marks.
-- unsanitized: the documents' words; what they show has specs of its own

local helper = require "spec.helper"
local markdown = require "spec.markdown"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local build = helper.binary:match("^(.*)/")
local mounted_by_c -- { dir, process } of a server that is no script

local function cache_value(name)
  return process.read_file(build .. "/CMakeCache.txt"):match("\n" .. name .. ":%u+=([^\n]*)")
end

--- What the documents' reader has: the command and the library installed.
local function environment(prefix)
  local sanitize = cache_value("FRACTAL_SANITIZE") or ""
  return {
    PATH = ("%s:%s"):format(build, os.getenv("PATH")),
    PKG_CONFIG_PATH = prefix .. "/lib/pkgconfig",
    LD_LIBRARY_PATH = prefix .. "/lib",
    CC = cache_value("CMAKE_C_COMPILER") .. (sanitize ~= "" and " -fsanitize=" .. sanitize or ""),
    LC_ALL = "C",
  }
end

-- Differs between machines: transport, workers and states of the line printed when ready.
local function neutral(line)
  return (line:gsub("transport %a+, %d+ workers?, %d+ Lua states?", "transport T, N workers, M Lua states"))
end

--- Does a line match an expected one, in which "…" stands for anything?
local function matches(line, expected)
  local pattern = neutral(expected):gsub("%p", "%%%0"):gsub("…", ".*")
  return neutral(line):find("^" .. pattern .. "$") ~= nil
end

--- Compares lists of lines; an expected line "…" stands for any number of lines.
local function same(lines, expected, i, j)
  i, j = i or 1, j or 1
  if j > #expected then
    return i > #lines
  elseif expected[j] == "…" then
    return same(lines, expected, i, j + 1) or (i <= #lines and same(lines, expected, i + 1, j))
  end
  return i <= #lines and matches(lines[i], expected[j]) and same(lines, expected, i + 1, j + 1)
end

local Session = {}
Session.__index = Session

--- The command with the documents' paths made real.
function Session:real(command)
  return (command:gsub("/mnt", self.mount and self.mount.dir or "/mnt"):gsub("/srv", self.dir))
end

--- Output with the documents' paths.
function Session:pretty(text)
  local function replace(what, by)
    text = text:gsub(what:gsub("%p", "%%%0"), by)
  end
  if self.mount then
    replace(self.mount.dir, "/mnt")
  end
  replace(self.dir, "/srv")
  return text
end

--- `fractal-lua OPTIONS SCRIPT /mnt &`, where SCRIPT is a file of the document or an example of this tree.
function Session:start_script(command)
  local words = {}
  for word in self:real(command):gmatch("%S+") do
    words[#words + 1] = word
  end
  local script = words[#words - 2]
  words = { unpack(words, 2, #words - 3) }
  self.mount = helper.mount { script = script:find "^examples/" and script or self.dir .. "/" .. script, args = words }
  return self.mount.ready
end

--- `./program /mnt &`
function Session:start_program(command)
  local dir = helper.directory()
  local server = process.start({ "bash", "-c", "exec " .. command:gsub(" &$", ""):gsub("/mnt", dir) },
    { cwd = self.dir, env = self.env, out = self.dir .. "/output" })
  self.mount = { dir = dir, process = server, log = function() return process.read_file(self.dir .. "/output") end }
  mounted_by_c = self.mount
  assert.is_truthy(process.eventually(20, function() return helper.is_mounted(dir) end), self.mount.log())
  function self.mount.unmount()
    process.run({ "umount", dir }, 10)
    return server:wait(15)
  end
  return ""
end

function Session:run(command)
  if command:find("^fractal%-lua .*/mnt &$") then
    return self:start_script(command)
  elseif command:find("/mnt &$") then
    return self:start_program(command)
  elseif command == "umount /mnt" then
    assert.equal(0, self.mount:unmount())
    return ""
  elseif command == "^C" then
    self.mount:kill("int")
    assert.equal(0, self.mount:wait())
    return ""
  end
  local text = "exec 2>&1\n" .. self:real(command):gsub("^cc ", "$CC ")
  return process.run({ "bash", "-c", text }, 60, { cwd = self.dir, env = self.env }).out
end

local function lines_of(text)
  return text == "" and {} or markdown.lines(text)
end

local function run_session(session, env)
  local self = setmetatable({ dir = helper.directory(), env = env }, Session)
  for name, text in pairs(session.files) do
    process.write_file(self.dir .. "/" .. name, text)
  end
  for _, step in ipairs(session.steps) do
    local out = self:pretty(self:run(step.command))
    local expected = table.concat(step.expected, "\n")
    assert.is_true(same(lines_of(out), step.expected),
      ("$ %s\nexpected:\n%s\ncame:\n%s\nlog:\n%s"):format(step.command, expected, out,
        self.mount and self.mount.log() or ""))
  end
  return self
end

local function check_log(self, expected)
  local log, at = lines_of(self:pretty(self.mount.log())), 1
  for _, line in ipairs(expected) do
    repeat
      assert.is_true(at <= #log, ("the log has no line %q (or not in this order):\n%s"):format(line,
        table.concat(log, "\n")))
      at = at + 1
    until matches(log[at - 1], line)
  end
end

describe("the documents' sessions", function()
  local prefix, env

  setup(function()
    prefix = process.directory()
    local result = process.run({ "cmake", "--install", build, "--prefix", prefix }, 60)
    assert.equal(0, result.status, result.err)
    env = environment(prefix)
  end)

  teardown(function() sys.remove_tree(sys.FDCWD, prefix) end)

  after_each(function()
    if mounted_by_c and helper.is_mounted(mounted_by_c.dir) then
      sys.umount(mounted_by_c.dir)
    end
    mounted_by_c = nil
    helper.teardown()
  end)

  for _, path in ipairs(markdown.documents()) do
    for _, session in ipairs(markdown.sessions(path)) do
      it(("%s:%d"):format(path, session.line), function()
        local self = run_session(session, env)
        if session.log then
          check_log(self, session.log)
        end
      end)
    end
  end
end)
