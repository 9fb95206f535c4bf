-- A directory whose files are stored scrambled: through the mount they are plain, behind it they are not.
--
--   fractal-lua -o source=/srv/secret,key=sesame examples/cookbook/xor.lua /mnt
--
-- What it shows: a wrapper around fractal.passthrough that changes bytes on their way in and out, at any offset.
-- This teaches how such a wrapper is built. It is NOT encryption: XOR with a repeated key is broken within minutes,
-- names and sizes are as they were, and the zeros of a hole come out as the key.

local bit = require "bit"
local fs = require "fractal.passthrough" {
  name = "xor",
  options = { key = "what the bytes are scrambled with" },
}

local prepare, init, read, write = fs.prepare, fs.init, fs.read, fs.write
local key -- its bytes, in each Lua state

function fs.prepare()
  if not fs.options.key then return nil, "say what to scramble with: -o key=WORD" end
  return prepare()
end

function fs.init(conn)
  key = { fs.options.key:byte(1, -1) }
  return init(conn)
end

-- Changes n bytes of a request's buffer in place. Twice the same gives back what was there.
local function scramble(view, n, offset)
  local bytes, length = view.ptr, #key
  for i = 0, n - 1 do
    bytes[i] = bit.bxor(bytes[i], key[(offset + i) % length + 1])
  end
end

function fs.read(req, ino, buf, offset, fh)
  local n, err = read(req, ino, buf, offset, fh)
  if n then scramble(buf, n, offset) end
  return n, err
end

function fs.write(req, ino, data, offset, fh)
  scramble(data, #data, offset)
  return write(req, ino, data, offset, fh)
end

fs.copy_file_range = nil -- bytes mean something else at another offset: the kernel reads and writes them instead

return fs
