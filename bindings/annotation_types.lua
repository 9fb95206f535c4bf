-- The types that bindings/annotations.lua writes: of what no other file tells. Each string is a type as LuaCATS has it.

local types = {}

--- Classes of what handlers get and functions give: fields in their order, { name, type [, sentence] }; a field whose
-- name has parentheses is a method, and its type what it returns.
types.classes = {
  Statvfs = {
    { "bsize", "integer" }, { "frsize", "integer" }, { "blocks", "integer" }, { "bfree", "integer" },
    { "bavail", "integer" }, { "files", "integer" }, { "ffree", "integer" }, { "favail", "integer" },
    { "flag", "integer" }, { "namemax", "integer" },
  },
  Time = { { "sec", "integer" }, { "nsec", "integer" } },
  Attr = {
    { "ino", "integer" }, { "mode", "integer", "type and permission bits" }, { "nlink", "integer" },
    { "uid", "integer" }, { "gid", "integer" }, { "size", "integer" }, { "blocks", "integer", "of 512 bytes" },
    { "blksize", "integer" },
    { "rdev", "integer" }, { "atime", "number|fractal.Time" }, { "mtime", "number|fractal.Time" },
    { "ctime", "number|fractal.Time" },
  },
  Entry = {
    { "ino", "integer" }, { "generation", "integer" }, { "attr", "fractal.Attr" }, { "attr_ttl", "number", "seconds" },
    { "entry_ttl", "number", "seconds" },
  },
  Open = {
    { "flags", "integer", "of open(2)" }, { "fh", "integer" }, { "backing_id", "integer" }, { "keep_cache", "boolean" },
    { "direct_io", "boolean" }, { "nonseekable", "boolean" }, { "noflush", "boolean" },
    { "parallel_direct_writes", "boolean" }, { "cache_dir", "boolean" }, { "stream", "boolean" },
  },
  Statfs = {
    { "blocks", "integer" }, { "bfree", "integer" }, { "bavail", "integer" }, { "files", "integer" },
    { "ffree", "integer" }, { "bsize", "integer" }, { "frsize", "integer" }, { "namelen", "integer" },
  },
  Statx = { { "[string]", "any", "the fields of struct statx" } },
  Set = {
    { "mode", "integer?" }, { "uid", "integer?" }, { "gid", "integer?" }, { "size", "integer?" },
    { "atime", 'number|"now"|nil' }, { "mtime", 'number|"now"|nil' }, { "ctime", "number?" },
    { "atime_sec", "integer?" }, { "atime_nsec", "integer?" }, { "mtime_sec", "integer?" },
    { "mtime_nsec", "integer?" }, { "ctime_sec", "integer?" }, { "ctime_nsec", "integer?" },
    { "kill_suidgid", "boolean?" }, { "lock_owner", "string?" },
  },
  Lock = {
    { "type", "integer", "F_RDLCK, F_WRLCK or F_UNLCK" }, { "start", "integer" },
    { "length", "integer", "0: to the end" }, { "pid", "integer" }, { "owner", "string" },
  },
  Dir = {
    { "add(name: string, what: any, next_or_type?: any, next_offset?: integer)", "boolean", "false when it is full" },
  },
  View = {
    { "ptr", "ffi.cdata*", "unchecked, for the FFI" }, { "string(offset?: integer, n?: integer)", "string" },
    { "put(what: string|fractal.View, offset?: integer)", "integer" },
    { "copy(offset: integer, other: fractal.View, from?: integer, n?: integer)", "integer" },
    { "fill(byte: integer, offset?: integer, n?: integer)", "integer" },
    { "sub(offset: integer, n?: integer)", "fractal.View" }, { "byte(offset: integer)", "integer" },
  },
  Request = {
    { "uid", "integer" }, { "gid", "integer" }, { "pid", "integer" }, { "unique", "integer" }, { "resent", "boolean?" },
    { "opname", "string" }, { "ino", "integer" }, { "umask", "integer?" }, { "flags", "integer?" },
    { "lock_owner", "string?" }, { "kill_suidgid", "boolean?" }, { "read_flags", "integer?" },
    { "write_flags", "integer?" }, { "open_flags", "integer?" }, { "release_flags", "integer?" },
    { "setxattr_flags", "integer?" }, { "lk_flags", "integer?" }, { "valid", "integer?" },
    { "interrupted()", "boolean" }, { "groups()", "integer[]" },
    { "security_context(index?: integer)", "string?, string?" },
  },
  Stat = {
    { "mode", "integer" }, { "size", "integer" }, { "nlink", "integer" }, { "uid", "integer" }, { "gid", "integer" },
    { "ino", "integer" }, { "blocks", "integer" }, { "blksize", "integer" }, { "atime", "number" },
    { "mtime", "number" }, { "ctime", "number" }, { "btime", "number" }, { "[string]", "any" },
  },
  Conn = {
    { "offers(name: string)", "boolean" }, { "proto_major", "integer" }, { "proto_minor", "integer" },
    { "max_write", "integer" }, { "max_readahead", "integer" }, { "max_pages", "integer" },
    { "max_background", "integer" }, { "congestion_threshold", "integer" }, { "time_gran", "integer" },
    { "max_stack_depth", "integer" }, { "request_timeout", "integer" }, { "attr_ttl", "number" },
    { "entry_ttl", "number" }, { "negative_ttl", "number" },
  },
  Timer = { { "cancel()", "nil" } },
  Mutex = { { "lock()", "boolean?, integer?" }, { "unlock()", "nil" }, { "with(fn: function, ...: any)", "any" } },
  Semaphore = { { "acquire()", "boolean?, integer?" }, { "release()", "nil" } },
  Queue = { { "put(value: any)", "nil" }, { "get(seconds?: number)", "any, integer?" } },
  Dict = {
    { "get(key: string)", "string|number|boolean|nil" },
    { "set(key: string, value: string|number|boolean|nil, ttl?: number)", "boolean?, integer?" },
    { "add(key: string, value: string|number|boolean, ttl?: number)", "boolean?, integer?" },
    { "incr(key: string, n: number, init?: number)", "number?, integer?" },
    { "cas(key: string, old: any, new: any, ttl?: number)", "boolean?, integer?" },
    { "delete(key: string)", "boolean?, integer?" }, { "keys()", "string[]" },
  },
  Counter = {
    { "add(n: integer)", "integer" }, { "get()", "integer" }, { "set(n: integer)", "integer" },
    { "cas(old: integer, new: integer)", "boolean" },
  },
  Inodes = {
    { "ref(a: integer, b: integer, value?: integer)", "integer, integer, integer, boolean" },
    { "value(ino: integer)", "integer" }, { "forget(ino: integer, n: integer)", "any" }, { "count()", "integer" },
  },
}

--- Arguments by name, in functions and handlers alike.
types.parameters = {
  arg = "integer", argv = "string[]", atime = "number", attr = "fractal.Attr", backlog = "integer",
  block = "integer", blocksize = "integer", buf = "fractal.View", child = "integer", cmd = "integer",
  conn = "fractal.Conn", data = "fractal.View", datasync = "boolean", device = "integer", dir = "fractal.Dir",
  dirfd = "integer", domain = "integer", entries = "table", entry = "fractal.Entry", errno = "integer",
  events = "integer", exact = "{ atime: fractal.Time, mtime: fractal.Time }", fd = "integer", flags = "integer",
  fmt = "string", fn = "function", from_offset = "integer?", gid = "integer", handle = "integer?", host = "string",
  how = "any", id = "integer", ino = "integer", input = "fractal.View", kind = "integer", length = "integer",
  lock = "fractal.Lock", m_or_directory = "fractal.testing.Mount|string", make = "function", mask = "integer",
  mode = "integer", mtime = "number", n = "integer", n_or_view = "integer|fractal.View", name = "string",
  new = "string", newdirfd = "integer", newfh = "integer", newino = "integer", newname = "string",
  newoffset = "integer", newparent = "integer", newpath = "string", nlookup = "integer", offset = "integer",
  old = "string", olddirfd = "integer", op = "integer", open = "fractal.Open", options = "table",
  output = "fractal.View", parent = "integer", parts = "(string|fractal.View)[]", path = "string",
  path_or_fd = "string|integer", protocol = "integer", rdev = "integer", reason = "string", req = "fractal.Request",
  seconds = "number", set = "fractal.Set", settings = "fractal.Settings", size = "integer", st = "fractal.Statfs",
  string_or_view = "string|fractal.View", stx = "fractal.Statx", target = "string", text = "string",
  timeout = "number", to_offset = "integer?", transport = "string", uid = "integer", value = "fractal.View",
  view = "fractal.View", views = "fractal.View[]", wait = "boolean", whence = "integer", where = "string",
}

--- Where an argument of that name is of another type.
types.special = {
  ["fractal.io.splice"] = { from = "integer", to = "integer" },
  ["fractal.io.copy_file_range"] = { from = "integer", to = "integer" },
  ["fractal.io.lseek"] = { whence = '"set"|"cur"|"end"|"data"|"hole"' },
  ["fractal.io.setxattr"] = { value = "string" },
  ["fractal.io.utimensat"] = { atime = 'number|"now"|nil', mtime = 'number|"now"|nil' },
  ["fractal.io.fchownat"] = { uid = "integer?", gid = "integer?" },
  ["fractal.backing.open"] = { ino = "integer?" },
  ["fractal.testing.mount"] = { settings = "fractal.testing.Settings" },
  ["fractal.testing.posix"] = { options = "table?" },
  ["fractal.testing.start"] = { options = "table?" },
  ["fractal.testing.with"] = { settings = "fractal.testing.Settings" },
  ["fractal.pathfs"] = { settings = "fractal.PathSettings" },
  ["fractal.tree"] = { settings = "fractal.PathSettings" },
  ["fractal.shared.dict"] = { options = "{ persist?: string }" },
  ["fractal.io.openat2"] = { options = "{ flags?: integer, mode?: integer, resolve?: integer }" },
  ["fractal.wait_all"] = { options = "function[]" },
  ["fractal.notify.prune"] = { options = "integer[]" },
  ["fractal.notify.inval_entry"] = { how = '"expire"' },
  lowlevel = { fh = "integer?", old = "table" },
  pathfs = { fh = "any", from = "string", old = "table", to = "string" },
}

--- What the reference has behind an arrow, as types.
types.arrows = {
  fd = "integer?, integer?", bytes = "integer?, integer?", string = "string?, integer?",
  table = "fractal.Stat?, integer?",
  ["string or bytes"] = "string|integer|nil, integer?", seconds = "number", events = "integer?, integer?",
  id = "integer?, integer?", ["id or nil"] = "integer?", offset = "integer?, integer?",
  statvfs = "fractal.Statvfs?, integer?", names = "string[]?, integer?", addresses = "string[]?, integer?",
  entries = "{ name: string, ino: integer, type: string }[]?, integer?",
}

--- Results of functions that have no arrow: by name, else by the beginning of the name.
types.results = {
  ["fractal.conn"] = "fractal.Conn?", ["fractal.every"] = "fractal.Timer", ["fractal.timeout"] = "fractal.Timer",
  ["fractal.mutex"] = "fractal.Mutex", ["fractal.semaphore"] = "fractal.Semaphore", ["fractal.queue"] = "fractal.Queue",
  ["fractal.wait_all"] = "any[]", ["fractal.pathfs"] = "fractal.Pathfs", ["fractal.tree"] = "fractal.Pathfs",
  ["fractal.lowlevel"] = "fractal.Lowlevel", ["fractal.request"] = "fractal.Request?",
  ["fractal.shared.dict"] = "fractal.Dict", ["fractal.shared.counter"] = "fractal.Counter",
  ["fractal.shared.inodes"] = "fractal.Inodes", ["fractal.worker.call"] = "any", ["fractal.strerror"] = "string",
  ["fractal.log.request"] = "string", ["fractal.io.sleep"] = "boolean?, integer?",
  ["fractal.invalidate"] = "boolean?, integer?", ["fractal.kept"] = "any",
  ["fractal.testing.available"] = "boolean?, string?", ["fractal.testing.transports"] = "string[]",
  ["fractal.testing.mount"] = "fractal.testing.Mount", ["fractal.testing.posix"] = "table",
  ["fractal.testing.start"] = "fractal.testing.Process", ["fractal.testing.directory"] = "string",
  ["fractal.testing.eventually"] = "any", ["fractal.testing.read_file"] = "string",
}
types.module_results = { ["fractal.io"] = "boolean?, integer?", ["fractal.notify"] = "boolean?, integer?" }

--- Results of handlers by path that are not those of the handler by inode of that name. An errno may always follow.
types.path_results = {
  getattr = "table?", readdir = "table|function|nil", open = "any", create = "any", opendir = "any", mkdir = "any",
  mknod = "any", symlink = "any", link = "any", read = "string|integer|nil", statfs = "table?", truncate = "any",
  chmod = "any", chown = "any", utimens = "any",
}

--- What handlers may give behind their result in place of an errno: by kind and name.
types.second_results = {
  lowlevel = { init = "integer|string|nil", prepare = "string?" },
  pathfs = {
    init = "integer|string|nil", prepare = "string?", open = "integer|table|nil", create = "integer|table|nil",
  },
}

--- Results of handlers by inode where `gives` would be too wide.
types.low_results = { write = "integer?", copy_file_range = "integer?" }

--- What bindings/documents.lua says a handler gives, as types.
types.gives = {
  ["`entry`"] = "fractal.Entry|table|nil", ["`attr`"] = "fractal.Attr|table|nil", ["`open`"] = "fractal.Open|table|nil",
  ["`st`"] = "fractal.Statfs|table|nil", ["`stx`"] = "fractal.Statx|table|nil", ["`entry`, `open`"] = "table?",
  ["`lock`"] = "fractal.Lock?", ["`dir`"] = "any", ["a string"] = "string?", bytes = "integer|string|fractal.View|nil",
  names = "string[]?", nothing = "any", ["no reply"] = "any", ["a number"] = "integer?",
  ["a number, bytes"] = "integer?, integer?", ["an offset"] = "integer?", events = "integer?",
}

local PROCESS_OPTIONS = "options?: { user?: integer, env?: table<string, string>, cwd?: string }"

--- Classes of fractal.testing, as those above.
types.testing = {
  Settings = {
    { "script?", "string" }, { "source?", "string" }, { "transport?", "string" }, { "workers?", "integer" },
    { "state?", "string" }, { "options?", "table" }, { "args?", "string[]" }, { "user?", "integer" },
    { "env?", "table<string, string>" }, { "dir?", "string" }, { "faults?", "table[]" },
    { "armed?", "boolean" },
  },
  Process = {
    { "poll()", "integer?" }, { "wait(seconds: number)", "integer?" }, { "kill(signal: string|integer)", "any" },
    { "output()", "string" },
  },
  Mount = {
    { "dir", "string" }, { "pid", "integer" }, { "transport", "string" }, { "ready", "string" }, { "log()", "string" },
    { ("sh(command: string, seconds?: number, %s)"):format(PROCESS_OPTIONS), "string" },
    { ("try(command: string, seconds?: number, %s)"):format(PROCESS_OPTIONS), "boolean, string, integer" },
    { "run(fn: function, seconds?: number, ...: any)", "any" },
    { "start(command: string)", "fractal.testing.Process" }, { "kill(signal: string|integer)", "any" },
    { "stall(seconds: number)", "any" }, { "resume()", "any" }, { "arm()", "any" }, { "disarm()", "any" },
    { "wait(seconds?: number)", "integer?" },
    { "unmount()", "integer" },
  },
}

return types
