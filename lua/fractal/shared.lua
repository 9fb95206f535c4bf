--- `fractal.shared`: data that every Lua state of the mount sees.
--
--     local d = fractal.shared.dict "name"          or dict("name", { persist = "/path/to/file" })
--     d:get(key)                     → value or nil
--     d:set(key, value [, ttl])      → true              nil as the value deletes
--     d:add(key, value [, ttl])      → true, or nil, E.EXIST
--     d:incr(key, n [, init])        → the new number, or nil, E.NOENT where there is none and no init
--     d:cas(key, old, new [, ttl])   → true, or nil, E.AGAIN where the value is another one; nil stands for none
--     d:delete(key)                  → true, or nil, E.NOENT
--     d:keys()                       → list, sorted by bytes
--     local c = fractal.shared.counter "name"       a whole number, 0 at first
--     c:add(n) → new value · c:get() · c:set(n) → old value · c:cas(old, new) → whether it did
--     local t = fractal.shared.inodes "name"        inode numbers for keys of two numbers, with lookup counts
--     t:ref(a, b [, value]) → ino, generation, value, fresh · t:value(ino) · t:forget(ino, n) → gone, value · t:count()
--
-- Keys are strings of 1 to 511 bytes; values are strings (to 1 MiB, any bytes), numbers and booleans; ttls are seconds.
-- Each call is atomic, and on failure returns nil and an errno (E.NOSPC: memory is out). All stays until the unmount;
-- with `persist` in that file, which a crash of the machine may damage.
--
-- Reading waits for nobody. A change of a dictionary takes the lock of all dictionaries in the same file, which blocks
-- the worker while another one changes something: microseconds in memory, longer on a slow disk with `persist`.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"

ffi.cdef [[
struct fractal_dict;
struct fractal_counter;
struct fractal_shared_value { const void *data; uint32_t len; int kind; };
struct fractal_shared_change {
  struct fractal_shared_value value, expected;
  double ttl, by, init, result;
  int mode;
  bool has_init;
};
int fractal_dict_open(const char *, const char *, struct fractal_dict **);
int fractal_dict_get(struct fractal_dict *, const char *, size_t, void *, uint32_t, struct fractal_shared_value *);
int fractal_dict_keys(struct fractal_dict *, void *, uint32_t, uint32_t *);
int fractal_dict_change(struct fractal_dict *, const char *, size_t, struct fractal_shared_change *);
struct fractal_counter *fractal_counter_open(const char *);
int64_t fractal_counter_add(struct fractal_counter *, int64_t);
int64_t fractal_counter_set(struct fractal_counter *, int64_t);
bool fractal_counter_cas(struct fractal_counter *, int64_t, int64_t);
]]

local C, E = ffi.C, errno.E
local NUMBER, STRING, BOOLEAN = 1, 2, 3
local SET, ADD, DELETE, CAS, INCR = 0, 1, 2, 3, 4
local MAX_VALUE = 2 ^ 20

local shared = {}

-- Scratch of this state: nothing below waits, so one of each is enough.
local value = ffi.new("struct fractal_shared_value")
local change = ffi.new("struct fractal_shared_change")
local number, flag = ffi.new("double[2]"), ffi.new("uint8_t[2]")
local capacity = 4096
local buffer = ffi.new("uint8_t[?]", capacity)
local size = ffi.new("uint32_t[1]")

local function grow(n)
  capacity = n
  buffer = ffi.new("uint8_t[?]", n)
end

local function check_key(key)
  if type(key) ~= "string" then
    error(("a key is a string, not a %s"):format(type(key)), 3)
  end
end

--- Describes a Lua value in C. `slot` tells which scratch place is free.
local function describe(into, what, slot)
  local kind = type(what)
  if what == nil then
    into.kind, into.len, into.data = 0, 0, nil
  elseif kind == "number" then
    number[slot] = what
    into.kind, into.len, into.data = NUMBER, 8, number + slot
  elseif kind == "boolean" then
    flag[slot] = what and 1 or 0
    into.kind, into.len, into.data = BOOLEAN, 1, flag + slot
  elseif kind == "string" then
    into.kind, into.len, into.data = STRING, #what, what
  else
    error(("a value is a string, number or boolean, not a %s"):format(kind), 4)
  end
end

local dict = {}
dict.__index = dict

function dict:get(key)
  check_key(key)
  local rc = C.fractal_dict_get(self.dict, key, #key, buffer, capacity, value)
  while rc == 0 and value.len > capacity do
    grow(value.len)
    rc = C.fractal_dict_get(self.dict, key, #key, buffer, capacity, value)
  end
  if rc == -E.NOENT then
    return nil
  elseif rc < 0 then
    return nil, -rc
  elseif value.kind == NUMBER then
    return ffi.cast("double *", buffer)[0]
  elseif value.kind == BOOLEAN then
    return buffer[0] ~= 0
  end
  return ffi.string(buffer, value.len)
end

local function apply(self, key, mode, new, ttl, expected)
  check_key(key)
  if type(new) == "string" and #new > MAX_VALUE then
    return nil, E.FBIG
  end
  change.mode, change.ttl = mode, ttl or 0
  describe(change.value, new, 0)
  describe(change.expected, expected, 1)
  local rc = C.fractal_dict_change(self.dict, key, #key, change)
  if rc < 0 then
    return nil, -rc
  end
  return true
end

function dict:set(key, new, ttl)
  return apply(self, key, SET, new, ttl)
end

function dict:add(key, new, ttl)
  return apply(self, key, ADD, new, ttl)
end

function dict:cas(key, expected, new, ttl)
  return apply(self, key, CAS, new, ttl, expected)
end

function dict:delete(key)
  return apply(self, key, DELETE)
end

function dict:incr(key, n, init)
  change.by, change.init, change.has_init = n or 1, init or 0, init ~= nil
  local ok, err = apply(self, key, INCR)
  if not ok then
    return nil, err
  end
  return change.result
end

function dict:keys()
  local rc = C.fractal_dict_keys(self.dict, buffer, capacity, size)
  while rc == 0 and size[0] > capacity do
    grow(size[0] * 2)
    rc = C.fractal_dict_keys(self.dict, buffer, capacity, size)
  end
  if rc < 0 then
    return nil, -rc
  end
  local list, at = {}, 0
  while at < size[0] do
    local len = buffer[at] + buffer[at + 1] * 256
    list[#list + 1] = ffi.string(buffer + at + 2, len)
    at = at + 2 + len
  end
  return list
end

--- The dictionary of that name. Raises where it cannot be opened.
function shared.dict(name, options)
  local out = ffi.new("struct fractal_dict *[1]")
  local path = options and options.persist
  local rc = C.fractal_dict_open(name, path, out)
  if rc < 0 then
    error(("fractal.shared.dict %q%s cannot be opened: %s"):format(name, path and " in " .. path or "",
      errno.strerror(-rc)), 2)
  end
  return setmetatable({ dict = out[0] }, dict)
end

local counter = {}
counter.__index = counter

function counter:add(n)
  return tonumber(C.fractal_counter_add(self.counter, n or 1))
end

function counter:get()
  return tonumber(C.fractal_counter_add(self.counter, 0))
end

function counter:set(n)
  return tonumber(C.fractal_counter_set(self.counter, n))
end

function counter:cas(old, new)
  return C.fractal_counter_cas(self.counter, old, new)
end

function shared.counter(name)
  local pointer = C.fractal_counter_open(name)
  if pointer == nil then
    error("out of memory", 2)
  end
  return setmetatable({ counter = pointer }, counter)
end

local inodes = {}
inodes.__index = inodes

--- The inode number of a key, made where there is none; counts one lookup. The first one gets the root's number.
function inodes:ref(a, b, attached)
  local ref = ffi.new("struct fractal_inode_ref")
  local rc = C.fractal_inodes_ref(self.table, a, b, attached or 0, ref)
  if rc < 0 then
    return nil, -rc
  end
  return tonumber(ref.id), tonumber(ref.generation), tonumber(ref.value), ref.fresh
end

--- The number attached to an inode, or nil for an unknown one.
function inodes:value(ino)
  local attached = tonumber(C.fractal_inodes_value(self.table, ino))
  return attached ~= -1 and attached or nil
end

--- Forgets n lookups. Returns whether the inode is gone, and then the number that was attached to it.
function inodes:forget(ino, n)
  local attached = ffi.new("int64_t[1]")
  local rc = C.fractal_inodes_forget(self.table, ino, n, attached)
  if rc < 0 then
    return nil, -rc
  end
  return rc == 1, rc == 1 and tonumber(attached[0]) or nil
end

function inodes:count()
  return tonumber(C.fractal_inodes_count(self.table))
end

--- A table of inodes by keys of two numbers. From `init` on.
function shared.inodes(name)
  local worker = C.fractal_worker_current()
  if worker == nil then
    error("fractal.shared.inodes is possible from init on: it belongs to the mount", 2)
  end
  local pointer = C.fractal_session_inodes(C.fractal_worker_session(worker), name, false)
  if pointer == nil then
    error("out of memory", 2)
  end
  return setmetatable({ table = pointer }, inodes)
end

return shared
