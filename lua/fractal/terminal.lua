--- A terminal for tools that draw a whole screen and read single keys.
--
--   local screen = terminal.open()      nil where standard input or output is none
--   screen:size()                       columns, rows
--   screen:draw(lines)                  shows these lines from the top, and nothing else
--   screen:wait(seconds)                the next key; "resize"; "end": the program is to stop; nil when time is over
--   screen:close()                      gives the terminal back as it was: whatever happens, call it
--
-- Keys are single bytes: Ctrl-C is "\3". Signals that would end the program, and the one of a new size, come as events
-- meanwhile, so that the terminal is not left behind in a state of its own.

local ffi = require "ffi"
local libc = require "fractal.libc"
local signals = require "fractal.signals"

local C = libc.C

ffi.cdef [[
struct fractal_termios { uint32_t iflag, oflag, cflag, lflag; uint8_t line, cc[32]; uint32_t ispeed, ospeed; };
struct fractal_winsize { uint16_t rows, columns, x, y; };
]]
libc.declare [[
int isatty(int);
int tcgetattr(int, struct fractal_termios *);
int tcsetattr(int, int, const struct fractal_termios *);
void cfmakeraw(struct fractal_termios *);
int ioctl(int, unsigned long, void *);
]]

local TIOCGWINSZ, POLLIN = 0x5413, 1
local TCSADRAIN = 1
local INPUT, OUTPUT = 0, 1

local ENTER, LEAVE = "\27[?1049h\27[?25l", "\27[?25h\27[?1049l"

local terminal = {}
local Screen = {}
Screen.__index = Screen

--- Whether the terminal shows UTF-8, as the environment says.
function terminal.is_utf8()
  local locale = os.getenv("LC_ALL") or ""
  for _, name in ipairs { "LC_CTYPE", "LANG" } do
    locale = locale ~= "" and locale or os.getenv(name) or ""
  end
  return locale:lower():find("utf%-?8") ~= nil
end

function terminal.open()
  if C.isatty(INPUT) ~= 1 or C.isatty(OUTPUT) ~= 1 then
    return nil
  end
  local self = setmetatable({ before = ffi.new("struct fractal_termios") }, Screen)
  local raw = ffi.new("struct fractal_termios")
  C.tcgetattr(INPUT, self.before)
  ffi.copy(raw, self.before, ffi.sizeof(raw))
  C.cfmakeraw(raw)
  self.signals = signals.catch { "hup", "int", "term", "winch" }
  C.tcsetattr(INPUT, TCSADRAIN, raw)
  io.stdout:write(ENTER)
  io.stdout:flush()
  return self
end

function Screen:close()
  io.stdout:write(LEAVE)
  io.stdout:flush()
  C.tcsetattr(INPUT, TCSADRAIN, self.before)
  self.signals:release()
end

function Screen:size()
  local size = ffi.new("struct fractal_winsize")
  if C.ioctl(OUTPUT, TIOCGWINSZ, size) < 0 or size.columns == 0 or size.rows == 0 then
    return 80, 24
  end
  return size.columns, size.rows
end

function Screen:draw(lines)
  io.stdout:write("\27[H", table.concat(lines, "\27[K\r\n"), "\27[K\27[J")
  io.stdout:flush()
end

local function read_byte(fd)
  local byte = ffi.new("uint8_t[1]")
  return C.read(fd, byte, 1) == 1 and string.char(byte[0]) or "end"
end

function Screen:wait(seconds)
  local fds = ffi.new("struct fractal_libc_pollfd[2]")
  fds[0].fd, fds[0].events = self.signals.fd, POLLIN
  fds[1].fd, fds[1].events = INPUT, POLLIN
  if C.poll(fds, 2, math.max(0, math.ceil(seconds * 1000))) <= 0 then
    return nil
  elseif fds[0].revents ~= 0 then
    return self.signals:read() == "winch" and "resize" or "end"
  end
  return read_byte(INPUT)
end

return terminal
