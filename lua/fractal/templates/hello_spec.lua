-- What NAME.lua must do. Run it with: fractal-lua test NAME.lua

local testing = require "fractal.testing"

describe("NAME", function()
  local m

  -- Every test gets a mount of its own, which is gone after it.
  before_each(function() m = testing.mount { script = "NAME.lua" } end)
  after_each(testing.teardown)

  it("has one file", function()
    assert.equal("hello\n", m:sh "ls $MNT")
  end)

  it("says hello", function()
    assert.equal("Hello, world!\n", m:sh "cat $MNT/hello")
  end)

  it("has nothing else", function()
    local ok, out = m:try "cat $MNT/other"
    assert.is_false(ok)
    assert.matches("No such file or directory", out)
  end)

  it("cannot be written to", function()
    assert.is_false((m:try "echo text > $MNT/file"))
  end)
end)
