--- Signals as something to read: while they are caught they have no other effect.
--
--   local caught = signals.catch { "int", "term" }
--   poll caught.fd, or wait                          a descriptor that is readable when one has come
--   caught:read()                                    its name: "int"; waits for one
--   caught:release()                                 from here on they act as before

local ffi = require "ffi"
local libc = require "fractal.libc"

local C = libc.C

libc.declare [[
int sigemptyset(void *);
int sigaddset(void *, int);
int sigprocmask(int, const void *, void *);
int signalfd(int, const void *, int);
]]

local SIG_BLOCK, SIG_SETMASK = 0, 2
local SIGNALFD_CLOEXEC = 0x80000
local SIGSET_BYTES, SIGINFO_BYTES = 128, 128

local signals = {
  --- Numbers by name.
  numbers = { hup = 1, int = 2, kill = 9, usr1 = 10, segv = 11, pipe = 13, alrm = 14, term = 15, chld = 17, cont = 18,
    stop = 19, xfsz = 25, winch = 28 },
}

local names = {}
for name, number in pairs(signals.numbers) do
  names[number] = name
end

local Caught = {}
Caught.__index = Caught

--- Whether this process ignores a signal, as nohup(1) has it ignore "hup".
function signals.is_ignored(name)
  local number, ignore = signals.numbers[name], ffi.cast("void *", 1)
  local before = C.signal(number, ignore)
  C.signal(number, before)
  return before == ignore
end

--- Takes these signals by a descriptor from now on, also those that were ignored.
function signals.catch(list)
  local set = ffi.new("uint8_t[?]", SIGSET_BYTES)
  local self = setmetatable({ before = ffi.new("uint8_t[?]", SIGSET_BYTES) }, Caught)
  C.sigemptyset(set)
  for _, name in ipairs(list) do
    C.sigaddset(set, signals.numbers[name])
  end
  C.sigprocmask(SIG_BLOCK, set, self.before)
  self.fd = C.signalfd(-1, set, SIGNALFD_CLOEXEC)
  return self
end

function Caught:read()
  local info = ffi.new("uint8_t[?]", SIGINFO_BYTES)
  C.read(self.fd, info, SIGINFO_BYTES)
  return names[ffi.cast("uint32_t *", info)[0]]
end

function Caught:release()
  C.close(self.fd)
  C.sigprocmask(SIG_SETMASK, self.before, nil)
end

return signals
