--- What `make install` installs, in a directory of its own: the specs of the packaging look at it.

local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local staged = {}

--- The build directory under test.
staged.build = helper.binary:match "^(.*)/"

--- Installs for the prefix /usr below a fresh directory (DESTDIR), which the caller removes with staged.remove.
function staged.install()
  local directory = process.directory()
  local result = process.run({ "cmake", "--install", staged.build, "--prefix", "/usr" }, 60,
    { env = { DESTDIR = directory } })
  assert(result.status == 0, result.err)
  return directory
end

function staged.remove(directory)
  sys.remove_tree(sys.FDCWD, directory)
end

--- Whether a program is there.
function staged.has(program)
  return process.run({ "sh", "-c", 'command -v "$1"', "sh", program }, 10).status == 0
end

--- Runs a shell text as root, with a mount table of its own in which /usr/bin and /usr/sbin also have what is
-- installed below directory.
-- What the text mounts is gone with it. Returns the result of process.run.
function staged.as_system(directory, text, seconds, env)
  local prepare = [[
set -e
mount --make-rprivate /
for directory in /usr/bin /usr/sbin; do
  mount -t overlay overlay -o "lowerdir=$STAGE$directory:$directory" $directory
done
]]
  local settings = { STAGE = directory }
  for name, value in pairs(env or {}) do
    settings[name] = value
  end
  return process.run({ "unshare", "--mount", "bash", "-c", prepare .. text }, seconds, { env = settings })
end

--- Why staged.as_system cannot work here, or nil.
function staged.no_system()
  if not helper.is_root then
    return "a mount table of its own needs root"
  end
  local overlay = 'mount --make-rprivate / && mount -t overlay overlay -o "lowerdir=/usr/bin:/usr/sbin" /usr/sbin'
  local tried = process.run({ "unshare", "--mount", "sh", "-c", overlay }, 20)
  return tried.status ~= 0 and "no overlay can be mounted here: " .. tried.err or nil
end

return staged
