-- docs/errors.md against the code: it has every message, and no other.

local process = require "spec.process"
local sys = require "fractal.testing.sys"

local text = process.read_file("docs/errors.md")

-- Calls whose text a user may see, by language. What --doctor and --check find comes with its own advice.
local c_calls = { session_log = true, report = true, complain = true, refuse = true, log_text = true }
local lua_calls = { ["log.error"] = true, ["log.warn"] = true, ["p.once"] = true, error = true }
-- Lua that runs in commands of its own, or is a script to begin with.
local no_messages = { "lua/fractal/testing", "lua/fractal/command", "lua/fractal/templates", "lua/fractal/cookbook" }

-- What is no message, but a line of figures.
local figures = { ["in hand: %u requests, at most %u of %u on one worker"] = true }

local SHORTEST = 10 -- letters of a message by which it is known

-- Messages that the code puts together from parts shorter than what stands between two "…" of the document.
local composed = {
  "^error in ", "times more", "the handler returned", "failed with ENOSYS", "^add function fs%.", "has no field",
  "^'%? and setting '$", "return fs, where fs comes from",
}

local function is_composed(message)
  for _, pattern in ipairs(composed) do
    if message:find(pattern) then
      return true
    end
  end
end

local function files(pattern)
  local list = {}
  local result = process.run({ "bash", "-c", "ls " .. pattern }, 10, { cwd = sys.getcwd() })
  for path in result.out:gmatch("[^\n]+") do
    list[#list + 1] = path
  end
  return list
end

local function plain(s)
  return (s:gsub("\\|", "|"):gsub("\\(.)", "%1"):gsub("%s+", " "))
end

-- The longest part of a message between what differs from one to the next, for which "…" stands.
local function known_by(message)
  local longest = ""
  for part in (message .. "…"):gmatch("(.-)…") do
    part = part:match("^%s*(.-)%s*$")
    if #part > #longest then
      longest = part
    end
  end
  return longest
end

-- Calls see(literal, path) for each text among the arguments of such calls; parts that are joined count as one.
local function each_literal(paths, calls, join, see)
  for _, path in ipairs(paths) do
    for name, arguments in process.read_file(path):gmatch("%f[%w_.]([%w_.]+)%s*(%b())") do
      if calls[name] then
        for literal in arguments:gsub('"' .. join .. '"', ""):gmatch('"(.-[^\\])"') do
          see(plain(literal), path)
        end
      end
    end
  end
end

-- All messages of the code: a list of { what it is known by, file }.
local function messages()
  local list = {}
  local function see(literal, path)
    local known = known_by((literal:gsub("%%[-%d.]*[lz]*[a-zA-Z]", "…")))
    if #known >= SHORTEST and known:find(" ", 1, true) and not literal:find("%%%-") and not figures[literal] then
      list[#list + 1] = { known, path }
    end
  end
  each_literal(files "src/*.c src/command/*.c bindings/*.c", c_calls, "%s*", see)
  local lua = {}
  for _, path in ipairs(files "$(find lua/fractal -name '*.lua')") do
    local counts = true
    for _, prefix in ipairs(no_messages) do
      counts = counts and path:sub(1, #prefix) ~= prefix
    end
    lua[#lua + 1] = counts and path or nil
  end
  each_literal(lua, lua_calls, "%s*%.%.%s*", see)
  return list
end

describe("docs/errors.md", function()
  it("has every message", function()
    local document, missing, count = plain(text), {}, 0
    for _, message in ipairs(messages()) do
      count = count + 1
      if not document:find(message[1], 1, true) then
        missing[#missing + 1] = ("%q (%s)"):format(message[1], message[2])
      end
    end
    assert.is_true(count > 80, count)
    assert.equal("", table.concat(missing, "\n"), "add a row to docs/errors.md for each of these messages")
  end)

  it("has no message that does not exist", function()
    local code, wrong, count = {}, {}, 0
    for _, path in ipairs(files "src/*.c src/command/*.c bindings/*.c $(find lua/fractal -name '*.lua')") do
      code[#code + 1] = process.read_file(path):gsub('"%s*%.%.%s*"', ""):gsub('"%s*"', "")
    end
    code = plain(table.concat(code, "\n"))
    for rows in text:gmatch("\n| message | what to do |\n|%-%-%-|%-%-%-|\n(.-)\n\n") do
      for cell in (rows .. "\n"):gmatch("| (.-) | [^\n]-|?\n") do
        for message in (plain(cell) .. "; "):gmatch("(.-); ") do
          count = count + 1
          local known = known_by((message:gsub("`", "")))
          if #known >= SHORTEST and not is_composed(known) and not code:find(known, 1, true) then
            wrong[#wrong + 1] = known
          end
        end
      end
    end
    assert.is_true(count > 100, count)
    assert.equal("", table.concat(wrong, "\n"), "the code has no such message")
  end)
end)
