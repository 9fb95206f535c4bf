-- What NAME.lua must do, tried with Python's web server. Run it with:
--
--   fractal-lua test NAME.lua -o url=http://127.0.0.1:8000

local testing = require "fractal.testing"

describe("NAME", function()
  -- Starts a web server for a directory; returns its process and address.
  local function serve(directory)
    local server = testing.start { "python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory",
      directory }
    local port = testing.eventually(20, function()
      return server:output():match("port (%d+)") or server:poll() and error(server:output())
    end)
    return server, ("http://127.0.0.1:%d"):format(port)
  end

  local server, m

  -- One server and one mount are there for all tests; the last one ends the server.
  setup(function()
    if not testing.find_program "python3" then
      return
    end
    local directory = testing.directory()
    testing.write_file(directory .. "/file", "text\n")
    testing.write_file(directory .. "/a name", ("x"):rep(200000))
    local url
    server, url = serve(directory)
    m = testing.mount { script = "NAME.lua", options = { url = url, attr_ttl = 0 } }
  end)
  teardown(testing.teardown)

  -- A test that is skipped, with the reason, where there is no Python.
  local function try(title, fn)
    it(title, function()
      if not testing.find_program "python3" then
        return pending("there is no python3")
      end
      fn()
    end)
  end

  try("shows the server's files", function()
    assert.equal("a name\nfile\n", m:sh "ls $MNT")
    assert.equal("text\n", m:sh "cat $MNT/file")
    assert.equal("200000\n", m:sh "wc -c < \"$MNT/a name\"")
  end)

  try("says what is not there", function()
    local ok, out = m:try "cat $MNT/other"
    assert.is_false(ok)
    assert.matches("No such file or directory", out)
  end)

  try("gives an error while the server is away", function()
    server:kill "kill"
    server:wait(10)
    assert.is_false((m:try "cat $MNT/file"))
  end)
end)
