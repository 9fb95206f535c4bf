--- Socket addresses from text: "127.0.0.1:80", "[::1]:80", "localhost:80", "unix:/path".

local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
struct fractal_sockaddr_in { uint16_t family, port; uint8_t addr[4]; uint8_t zero[8]; };
struct fractal_sockaddr_in6 { uint16_t family, port; uint32_t flowinfo; uint8_t addr[16]; uint32_t scope; };
struct fractal_sockaddr_un { uint16_t family; char path[108]; };
int inet_pton(int family, const char *text, void *addr);
const char *inet_ntop(int family, const void *addr, char *text, unsigned int size);
]]

local AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
local MAX_UNIX_PATH = 107

local sockaddr = {}
local text_buffer = ffi.new("char[64]")

local function network_order(port)
  return bit.bor(bit.lshift(bit.band(port, 0xff), 8), bit.rshift(port, 8))
end

local function parse_unix(path)
  if #path == 0 or #path > MAX_UNIX_PATH then
    return nil
  end
  local addr = ffi.new("struct fractal_sockaddr_un", AF_UNIX, path)
  return addr, ffi.sizeof(addr), AF_UNIX
end

--- Returns the address, its length and its family; or nil where the text is none.
function sockaddr.parse(text)
  local path = text:match("^unix:(.+)$")
  if path then
    return parse_unix(path)
  end
  local host, port = text:match("^%[(.-)%]:(%d+)$")
  local family = AF_INET6
  if not host then
    host, port = text:match("^([^:]+):(%d+)$")
    family = AF_INET
  end
  port = tonumber(port)
  if not port or port > 65535 then
    return nil
  end
  host = host == "localhost" and "127.0.0.1" or host
  local addr = ffi.new(family == AF_INET and "struct fractal_sockaddr_in" or "struct fractal_sockaddr_in6")
  addr.family, addr.port = family, network_order(port)
  if ffi.C.inet_pton(family, host, addr.addr) ~= 1 then
    return nil
  end
  return addr, ffi.sizeof(addr), family
end

--- Host and port of "name:port", where the host is a name to be looked up and no address.
function sockaddr.name(text)
  local host, port = text:match("^([^:%[%]/]+):(%d+)$")
  port = tonumber(port)
  if port and port <= 65535 and not sockaddr.parse(text) then
    return host, port
  end
end

--- The socket address of a struct fractal_address and a port, as sockaddr.parse returns one.
function sockaddr.of(found, port)
  local v4 = found.family == AF_INET
  local addr = ffi.new(v4 and "struct fractal_sockaddr_in" or "struct fractal_sockaddr_in6")
  addr.family, addr.port = found.family, network_order(port)
  ffi.copy(addr.addr, found.addr, v4 and 4 or 16)
  if not v4 then
    addr.scope = found.scope
  end
  return addr, ffi.sizeof(addr), found.family
end

--- A struct fractal_address as text.
function sockaddr.text(found)
  return ffi.string(ffi.C.inet_ntop(found.family, found.addr, text_buffer, 64))
end

return sockaddr
