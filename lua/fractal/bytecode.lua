--- What a function's bytecode tells without running it: which globals it reads and sets, which of its upvalues it
-- changes.
--
-- LuaJIT's numbers of instructions differ between versions: those needed here are read off functions whose instructions
-- are known. An instruction is 32 bits: opcode, A, then C and B, or D (lj_bc.h).

local bit = require "bit"
local util = require "jit.util"

local band, rshift = bit.band, bit.rshift
local funcbc, funck, funcinfo, funcuvname = util.funcbc, util.funck, util.funcinfo, util.funcuvname

local bytecode = {}

local function opcode(ins)
  return band(ins, 0xff)
end

--- The opcode of the n-th instruction of a chunk's first inner function, else of the chunk.
local function opcode_in(text, n)
  local chunk = loadstring(text)
  local inner = funck(chunk, -1)
  return opcode(funcbc(type(inner) == "proto" and inner or chunk, n))
end

local GGET = opcode_in("return x()", 1)
local GSET = opcode_in("x = ...", 2)
local UGET = opcode_in("local a = {} return function() return a[1] end", 1)
local MOV = opcode_in("local a = ... local b = a", 2)
local reads_field = {
  [opcode_in("local a = ... return a.x", 2)] = true,
  [opcode_in("local a = ... return a[1]", 2)] = true,
  [opcode_in("local a, b = ... return a[b]", 2)] = true,
}
local GET_STRING = opcode_in("local a = ... return a.x", 2)
local sets_field = {
  [opcode_in("local a = ... a.x = a", 2)] = true,
  [opcode_in("local a = ... a[1] = a", 2)] = true,
  [opcode_in("local a, b = ... a[b] = a", 2)] = true,
}
local sets_upvalue = {
  [opcode_in("local a = 1 return function(b) a = b end", 1)] = true,
  [opcode_in("local a = 1 return function() a = 'x' end", 1)] = true,
  [opcode_in("local a = 1 return function() a = 5 end", 1)] = true,
  [opcode_in("local a = 1 return function() a = nil end", 1)] = true,
}
local calls = {
  [opcode_in("local a, b = ... a(b) return b", 4)] = true,
  [opcode_in("local a, b = ... return a(b)", 4)] = true,
}

--- Inner functions of a function or prototype, for iteration.
local function inner_functions(fn)
  local n = 0
  return function()
    while true do
      n = n - 1
      local k = funck(fn, n)
      if k == nil then
        return nil
      elseif type(k) == "proto" then
        return k
      end
    end
  end
end

local function line_of(fn, pc)
  return funcinfo(fn, pc).currentline
end

--- Calls see(kind, name, line) for each global that a chunk and its inner functions use: "get" or "set".
function bytecode.globals(fn, see)
  local pc = 1
  local ins = funcbc(fn, pc)
  while ins do
    local op = opcode(ins)
    if op == GGET or op == GSET then
      see(op == GGET and "get" or "set", funck(fn, -rshift(ins, 16) - 1), line_of(fn, pc))
    end
    pc = pc + 1
    ins = funcbc(fn, pc)
  end
  for inner in inner_functions(fn) do
    bytecode.globals(inner, see)
  end
end

--- Does the function use this string, as the name of a field or as a value?
function bytecode.mentions(fn, text)
  local n = -1
  local k = funck(fn, n)
  while k ~= nil do
    if k == text then
      return true
    end
    n = n - 1
    k = funck(fn, n)
  end
  return false
end

-- Functions of `table` that change what they are given.
local changing = { insert = true, remove = true, sort = true }

--- Calls see(index, line) for each place where a function changes an upvalue: sets it, or a field of the table in it,
-- or of a table below that. Inner functions are left out: what they change of it, they have from it. One pass in the
-- order of the instructions, so that it finds what is written in the usual ways, and not everything.
function bytecode.changed_upvalues(fn, see)
  local from, named = {}, {} -- register → upvalue that its table came out of; register → "table" or "changes"
  local pc = 1
  local ins = funcbc(fn, pc)
  while ins do
    local op, a = opcode(ins), band(rshift(ins, 8), 0xff)
    local c, b, d = band(rshift(ins, 16), 0xff), rshift(ins, 24), rshift(ins, 16)
    if sets_upvalue[op] then
      see(a, line_of(fn, pc))
    elseif sets_field[op] then
      if from[b] then
        see(from[b], line_of(fn, pc))
      end
    elseif calls[op] then
      local changed = named[a] == "changes" and (from[a + 1] or from[a + 2]) -- a frame has one slot or two
      if changed then
        see(changed, line_of(fn, pc))
      end
      from[a], named[a] = nil, nil
    elseif op == UGET then
      from[a], named[a] = d, nil
    elseif op == MOV then
      from[a], named[a] = from[d], named[d]
    elseif op == GGET then
      from[a], named[a] = nil, funck(fn, -d - 1) == "table" and "table" or nil
    elseif op == GET_STRING and named[b] == "table" then
      from[a], named[a] = nil, changing[funck(fn, -c - 1)] and "changes" or nil
    elseif reads_field[op] then
      from[a], named[a] = from[b], nil
    else
      from[a], named[a] = nil, nil
    end
    pc = pc + 1
    ins = funcbc(fn, pc)
  end
end

--- The name of an upvalue, from 0 on.
bytecode.upvalue_name = funcuvname

return bytecode
