-- What NAME.lua must do. Run it with: fractal-lua test NAME.lua

local testing = require "fractal.testing"

describe("NAME", function()
  -- After each test its mounts are taken off.
  after_each(testing.teardown)

  it("keeps files and directories", function()
    local m = testing.mount { script = "NAME.lua" }
    assert.equal("text\n", m:sh "mkdir -p $MNT/a/b && echo text > $MNT/a/b/file && cat $MNT/a/b/file")
  end)

  it("refuses names that end in .tmp, and says so in its log", function()
    local m = testing.mount { script = "NAME.lua" }
    local ok, out = m:try "touch $MNT/file.tmp"
    assert.is_false(ok)
    assert.matches("Operation not permitted", out)
    assert.matches("wanted to create file.tmp", m:log())
  end)

  it("is full when its space is used up", function()
    local m = testing.mount { script = "NAME.lua", options = { size = "1m" } }
    local ok, out = m:try "head -c 2M /dev/zero > $MNT/file"
    assert.is_false(ok)
    assert.matches("No space left on device", out)
  end)
end)
