--- Errno values by name, with and without the E: E.NOENT == E.ENOENT == 2. Values of Linux (errno(3)).
--
-- `errno.check(value)` tells whether a handler may return the value; `errno.name(2)` is "ENOENT".

local ffi = require "ffi"

ffi.cdef "char *strerror(int);"

local names = {
  PERM = 1, NOENT = 2, SRCH = 3, INTR = 4, IO = 5, NXIO = 6, ["2BIG"] = 7, NOEXEC = 8, BADF = 9, CHILD = 10,
  AGAIN = 11, NOMEM = 12, ACCES = 13, FAULT = 14, NOTBLK = 15, BUSY = 16, EXIST = 17, XDEV = 18, NODEV = 19,
  NOTDIR = 20, ISDIR = 21, INVAL = 22, NFILE = 23, MFILE = 24, NOTTY = 25, TXTBSY = 26, FBIG = 27, NOSPC = 28,
  SPIPE = 29, ROFS = 30, MLINK = 31, PIPE = 32, DOM = 33, RANGE = 34, DEADLK = 35, NAMETOOLONG = 36, NOLCK = 37,
  NOSYS = 38, NOTEMPTY = 39, LOOP = 40, NOMSG = 42, IDRM = 43, NODATA = 61, TIME = 62, NONET = 64, REMOTE = 66,
  NOLINK = 67, COMM = 70, PROTO = 71, BADMSG = 74, OVERFLOW = 75, BADFD = 77, ILSEQ = 84, RESTART = 85, USERS = 87,
  NOTSOCK = 88, MSGSIZE = 90, NOPROTOOPT = 92, PROTONOSUPPORT = 93, OPNOTSUPP = 95, AFNOSUPPORT = 97,
  ADDRINUSE = 98, ADDRNOTAVAIL = 99, NETDOWN = 100, NETUNREACH = 101, NETRESET = 102, CONNABORTED = 103,
  CONNRESET = 104, NOBUFS = 105, ISCONN = 106, NOTCONN = 107, SHUTDOWN = 108, TIMEDOUT = 110, CONNREFUSED = 111,
  HOSTDOWN = 112, HOSTUNREACH = 113, ALREADY = 114, INPROGRESS = 115, STALE = 116, UCLEAN = 117, REMOTEIO = 121,
  DQUOT = 122, NOMEDIUM = 123, MEDIUMTYPE = 124, CANCELED = 125, NOKEY = 126, KEYEXPIRED = 127, KEYREVOKED = 128,
  KEYREJECTED = 129, OWNERDEAD = 130, NOTRECOVERABLE = 131,
}

local E, by_number = {}, {}
for name, number in pairs(names) do
  E[name] = number
  E["E" .. name] = number
  by_number[number] = "E" .. name
end
E.WOULDBLOCK, E.EWOULDBLOCK = names.AGAIN, names.AGAIN
E.NOTSUP, E.ENOTSUP = names.OPNOTSUPP, names.OPNOTSUPP
E.NOATTR, E.ENOATTR = names.NODATA, names.NODATA

local MAX = 511 -- the kernel refuses larger ones in a reply

local errno = { E = E }

--- The name of an errno ("ENOENT"), or its number as text.
function errno.name(number)
  return by_number[number] or tostring(number)
end

--- strerror(3).
function errno.strerror(number)
  return ffi.string(ffi.C.strerror(number))
end

--- May a handler answer with this value?
function errno.check(value)
  return type(value) == "number" and value >= 1 and value <= MAX and value % 1 == 0
end

setmetatable(E, {
  __index = function(_, name)
    error(("E.%s is no errno; see errno(3) for the names"):format(tostring(name)), 2)
  end,
})

return errno
