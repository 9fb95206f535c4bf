-- What NAME.lua must do. Run it with: fractal-lua test NAME.lua

local testing = require "fractal.testing"

describe("NAME", function()
  local m

  -- Every test gets a mount of its own, which is gone after it.
  before_each(function() m = testing.mount { script = "NAME.lua" } end)
  after_each(testing.teardown)

  it("tells how long it is there", function()
    assert.matches("^%d+ s\n$", m:sh "cat $MNT/status/uptime")
  end)

  it("keeps a setting", function()
    assert.equal("3\n", m:sh "cat $MNT/settings/level")
    assert.equal("7\n", m:sh "echo 7 > $MNT/settings/level && cat $MNT/level")
  end)

  it("refuses a setting that is no number", function()
    local ok, out = m:try "echo high > $MNT/settings/level"
    assert.is_false(ok)
    assert.matches("Invalid argument", out)
    assert.equal("3\n", m:sh "cat $MNT/settings/level")
  end)
end)
