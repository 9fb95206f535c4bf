-- What NAME.lua must do. Run it with: fractal-lua test NAME.lua -o source=SOURCE

local testing = require "fractal.testing"

describe("NAME", function()
  local source, m

  -- Every test gets a directory and a mount of its own, which are gone after it.
  before_each(function()
    source = testing.directory()
    testing.write_file(source .. "/file", "text\n")
    testing.write_file(source .. "/file.keep", "kept\n")
    m = testing.mount { script = "NAME.lua", options = { source = source } }
  end)
  after_each(testing.teardown)

  it("shows the files of its source", function()
    assert.equal("file\nfile.keep\n", m:sh "ls $MNT")
    assert.equal("text\n", m:sh "cat $MNT/file")
  end)

  it("changes them", function()
    m:sh "echo more >> $MNT/file"
    assert.equal("text\nmore\n", testing.read_file(source .. "/file"))
  end)

  it("lets nobody remove names that end in .keep", function()
    local ok, out = m:try "rm $MNT/file.keep"
    assert.is_false(ok)
    assert.matches("Operation not permitted", out)
    assert.equal("kept\n", testing.read_file(source .. "/file.keep"))
    m:sh "rm $MNT/file"
  end)
end)
