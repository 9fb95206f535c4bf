-- Views: what they read and write, and what they refuse.

local ffi = require "ffi"
local view = require "fractal.view"

local SIZE = 16

local alive = {} -- views do not keep what they point to

-- A request with a buffer of 16 bytes "0123456789abcdef", and a view of it.
local function make(writable)
  local req = ffi.new("struct fractal_request")
  req.epoch = 1
  local buffer = ffi.new("uint8_t[?]", SIZE + 8 + 1, "0123456789abcdef--------")
  alive[#alive + 1] = { req, buffer }
  local new_view = view.ring(ffi.cast("struct fractal_worker *", 8))
  return new_view(req, buffer, SIZE, writable == false and 0 or 1), req, buffer, new_view
end

local function refuses(message, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(err:find(message, 1, true), err)
end

after_each(function() alive = {} end)

describe("a view", function()
  it("knows its length and what it is", function()
    local v = make()
    assert.equal(SIZE, #v)
    assert.is_true(view.is(v))
    assert.is_false(view.is("text"))
    assert.is_false(view.is(nil))
    assert.equal("buffer of 16 bytes", tostring(v))
  end)

  it("reads", function()
    local v = make()
    assert.equal("0123456789abcdef", v:string())
    assert.equal("abcdef", v:string(10))
    assert.equal("345", v:string(3, 3))
    assert.equal("", v:string(16))
    assert.equal("", v:string(0, 0))
    assert.equal(("0"):byte(), v:byte())
    assert.equal(("f"):byte(), v:byte(15))
  end)

  it("writes strings, other views and bytes", function()
    local v = make()
    assert.equal(2, v:put("AB"))
    assert.equal(3, v:put("XYZ", 13))
    assert.equal("AB23456789abcXYZ", v:string())
    local other = make()
    assert.equal(16, v:put(other))
    assert.equal(4, v:put(other:sub(10, 4), 0))
    assert.equal("abcd456789abcdef", v:string())
    assert.equal(3, v:copy(13, other, 1, 3))
    assert.equal("123", v:string(13))
    assert.equal(2, v:fill(120, 0, 2))
    assert.equal("xxcd", v:string(0, 4))
    assert.equal(16, v:fill(0))
    assert.equal(("\0"):rep(16), v:string())
  end)

  it("leaves what lies behind it alone", function()
    local v, _, buffer = make()
    v:put(("y"):rep(SIZE))
    v:fill(1)
    assert.equal("--------", ffi.string(buffer + SIZE, 8))
  end)

  it("has parts", function()
    local v = make()
    local part = v:sub(4, 8)
    assert.equal("456789ab", part:string())
    assert.equal("89ab", part:sub(4):string())
    part:put("Z", 0)
    assert.equal("0123Z5", v:string(0, 6))
    assert.equal(0, #v:sub(16))
  end)

  it("refuses what is out of bounds", function()
    local v = make()
    for _, case in ipairs {
      { 0, 17, "buffer access out of bounds: 17 bytes at 0 of 16" },
      { 10, 7, "buffer access out of bounds: 7 bytes at 10 of 16" },
      { -1, 1, "buffer access out of bounds: 1 bytes at -1 of 16" },
      { 0, -1, "buffer access out of bounds: -1 bytes at 0 of 16" },
      { 2 ^ 32, 1, "buffer access out of bounds" },
      { 0 / 0, 1, "buffer access out of bounds" },
      { 0, 0 / 0, "buffer access out of bounds" },
      { 1 / 0, 1, "buffer access out of bounds" },
    } do
      local offset, n, message = unpack(case)
      refuses(message, v.string, v, offset, n)
      refuses(message, v.fill, v, 0, offset, n)
      refuses(message, v.sub, v, offset, n)
    end
    refuses("buffer access out of bounds: 1 bytes at 16 of 16", v.byte, v, 16)
    refuses("buffer access out of bounds", v.byte, v, -1)
    refuses("buffer access out of bounds: -1 bytes at 17 of 16", v.string, v, 17)
    refuses("buffer access out of bounds: 17 bytes at 0 of 16", v.put, v, ("x"):rep(17))
    refuses("buffer access out of bounds: 2 bytes at 15 of 16", v.put, v, "xx", 15)
    refuses("buffer access out of bounds: 16 bytes at 1 of 16", v.copy, v, 1, (make()))
    refuses("buffer access out of bounds: 5 bytes at 12 of 16", v.copy, v, 0, make(), 12, 5)
    assert.equal("0123456789abcdef", v:string())
  end)

  it("refuses everything after the reply", function()
    local v, req = make()
    local part = v:sub(2, 2)
    req.epoch = 2
    for _, one in ipairs { v, part } do
      refuses("buffer used after reply", one.string, one)
      refuses("buffer used after reply", one.put, one, "x")
      refuses("buffer used after reply", one.fill, one, 0)
      refuses("buffer used after reply", one.byte, one)
      refuses("buffer used after reply", one.sub, one)
      refuses("buffer used after reply", view.check, one)
      refuses("buffer used after reply", view.check_writable, one)
      refuses("buffer used after reply", make().put, make(), one)
    end
    assert.equal("buffer of 16 bytes, used up", tostring(v))
  end)

  it("of data that came is not written to", function()
    local v = make(false)
    local message = "this buffer is read-only: it holds what the caller sent"
    assert.equal("0123", v:string(0, 4))
    refuses(message, v.put, v, "x")
    refuses(message, v.fill, v, 0)
    refuses(message, v.copy, v, 0, (make()))
    refuses(message, v.sub(v, 1).put, v:sub(1), "x")
    refuses(message, view.check_writable, v)
    view.check(v)
  end)

  it("blames the line of the script", function()
    local v = make()
    local _, err = pcall(function() v:byte(99) end)
    assert.truthy(err:find("^[^\n]*view_spec.lua:%d+: buffer access"), err)
  end)
end)

describe("the ring of views", function()
  it("uses them again after 1024 others", function()
    local first, req, buffer, new_view = make()
    for i = 1, 1023 do
      assert.are_not.equal(first, new_view(req, buffer + i % 8, 1, 0))
    end
    local again = new_view(req, buffer + 3, 2, 1)
    assert.equal(ffi.cast("void *", first), ffi.cast("void *", again))
    assert.equal("34", first:string())
  end)

  it("leaves out those of a handler that waits", function()
    local v, req, buffer, new_view = make()
    req.worker = ffi.cast("struct fractal_worker *", 8)
    view.keep(req)
    local other = ffi.new("struct fractal_request")
    alive[#alive + 1] = other
    for _ = 1, 2000 do
      new_view(other, buffer, 1, 0)
    end
    assert.equal("0123456789abcdef", v:string())
  end)
end)
