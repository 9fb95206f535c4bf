-- Errno values: the same as the system's, by both names.

local errno = require "fractal.errno"
local sys = require "fractal.testing.sys"

describe("E", function()
  it("has each errno with and without the E", function()
    assert.equal(2, errno.E.NOENT)
    assert.equal(2, errno.E.ENOENT)
    assert.equal(7, errno.E["2BIG"])
    assert.equal(7, errno.E.E2BIG)
    assert.equal(errno.E.AGAIN, errno.E.WOULDBLOCK)
    assert.equal(errno.E.OPNOTSUPP, errno.E.NOTSUP)
    assert.equal(errno.E.NODATA, errno.E.NOATTR)
  end)

  it("agrees with what the system calls give", function()
    local seen = 0
    for number, name in pairs(sys.K.errno) do
      if rawget(errno.E, name) then
        seen = seen + 1
        assert.equal(number, errno.E[name], name)
      end
    end
    assert.is_true(seen > 20)
  end)

  it("raises for what is no errno, with the line that asks", function()
    local _, err = pcall(function() return errno.E.NOCHEESE end)
    assert.truthy(err:find("errno_spec.lua:%d+: E.NOCHEESE is no errno; see errno%(3%) for the names$"), err)
  end)

  it("has numbers that a reply may have, and no number without a text", function()
    for name, number in pairs(errno.E) do
      assert.is_true(errno.check(number), name)
      assert.is_nil(errno.strerror(number):match("^Unknown error"), name)
    end
  end)
end)

describe("errno", function()
  it("names numbers", function()
    assert.equal("ENOENT", errno.name(2))
    assert.equal("EAGAIN", errno.name(11))
    assert.equal("400", errno.name(400))
  end)

  it("has the system's texts", function()
    assert.equal("No such file or directory", errno.strerror(2))
  end)

  it("tells what a handler may return", function()
    for _, good in ipairs { 1, 2, 511 } do
      assert.is_true(errno.check(good))
    end
    for _, bad in ipairs { 0, -2, 512, 1.5, 0 / 0, 1 / 0, "2", true, {} } do
      assert.is_false(errno.check(bad))
    end
    assert.is_false(errno.check(nil))
  end)
end)
