-- Writes docs/operations.md and docs/capabilities.md from src/ops.def and src/caps.def, and docs/options.md from what
-- `fractal-lua --help` says.
--
-- Run in the source tree: luajit bindings/documents.lua BUILD_DIR, where BUILD_DIR holds the command and the generated
-- modules. As a module it gives a spec what the documents should say: documents.render(ops, caps, model) → path → text,
-- where model is what packaging/help.lua reads.
-- What the .def files do not tell stands below: how a handler is called, what callers get without one, and which spec
-- shows the operation or capability at work.

local documents = {}

local OPERATIONS = "spec/mount/operations_spec.lua"
local LOCKS = "spec/mount/locks_spec.lua"
local names = { OPERATIONS, "lookup, mkdir, unlink, rmdir, readlink, readdir: names and parents" }
local files = { OPERATIONS, "open, read, write, flush, fsync, release: flags, owners, handles" }
local making = { OPERATIONS, "mknod, create, symlink, link: modes, devices, the umask" }
local xattrs = { OPERATIONS, "setxattr, getxattr, listxattr, removexattr: flags, probing, bounds" }
local never_sent = { OPERATIONS, "syncfs, bmap and destroy: the kernel does not send them for this kind of mount" }
local decoded = "never sent to this kind of mount: fuseblk and virtiofs only. spec/c/test_reply.c answers it"

--- name → call: the handler; result; without: what a caller gets when there is none; proof: spec file and title; note.
documents.operations = {
  lookup = { call = "lookup(req, parent, name, entry)", result = "`entry`", without = "`ENOSYS`", proof = names },
  forget = {
    call = "forget(req, ino, nlookup)", result = "no reply", without = "nothing is missed by the caller",
    proof = { OPERATIONS, "forget: many come in batches" },
  },
  batch_forget = {
    call = "forget(req, ino, nlookup)", result = "no reply", without = "nothing is missed by the caller",
    proof = { OPERATIONS, "forget: many come in batches" }, note = "several calls of `forget`",
  },
  getattr = {
    call = "getattr(req, ino, attr, fh)", result = "`attr`", without = "`ENOSYS`",
    proof = { OPERATIONS, "getattr: times before 1970 and to the nanosecond" },
  },
  setattr = {
    call = "setattr(req, ino, set, attr, fh)", result = "`attr`", without = "`ENOSYS`",
    proof = { OPERATIONS, "setattr: what changes and nothing else, times before 1970, now" },
  },
  readlink = { call = "readlink(req, ino)", result = "a string", without = "`ENOSYS`", proof = names },
  symlink = {
    call = "symlink(req, parent, name, target, entry)", result = "`entry`", without = "`ENOSYS`", proof = making,
  },
  mknod = {
    call = "mknod(req, parent, name, mode, rdev, entry)", result = "`entry`", without = "`ENOSYS`", proof = making,
  },
  mkdir = { call = "mkdir(req, parent, name, mode, entry)", result = "`entry`", without = "`ENOSYS`", proof = names },
  unlink = { call = "unlink(req, parent, name)", result = "nothing", without = "`ENOSYS`", proof = names },
  rmdir = { call = "rmdir(req, parent, name)", result = "nothing", without = "`ENOSYS`", proof = names },
  rename = {
    call = "rename(req, parent, name, newparent, newname, flags)", result = "nothing", without = "`ENOSYS`",
    proof = { OPERATIONS, "rename: flags of renameat2" }, note = "`flags` is 0",
  },
  rename2 = {
    call = "rename(req, parent, name, newparent, newname, flags)", result = "nothing", without = "`EINVAL`",
    proof = { OPERATIONS, "rename: flags of renameat2" },
  },
  link = {
    call = "link(req, ino, newparent, newname, entry)", result = "`entry`", without = "`EPERM`", proof = making,
  },
  open = {
    call = "open(req, ino, open)", result = "`open`", without = "the file is open", proof = files,
  },
  read = { call = "read(req, ino, buf, offset, fh)", result = "bytes", without = "`ENOSYS`", proof = files },
  write = { call = "write(req, ino, data, offset, fh)", result = "bytes", without = "`ENOSYS`", proof = files },
  statfs = {
    call = "statfs(req, ino, st)", result = "`st`", without = "an empty filesystem",
    proof = { OPERATIONS, "access and statfs" },
  },
  release = { call = "release(req, ino, fh)", result = "nothing", without = "nothing is missed", proof = files },
  fsync = { call = "fsync(req, ino, datasync, fh)", result = "nothing", without = "success", proof = files },
  setxattr = {
    call = "setxattr(req, ino, name, value, flags)", result = "nothing", without = "`EOPNOTSUPP`", proof = xattrs,
  },
  getxattr = { call = "getxattr(req, ino, name)", result = "bytes", without = "`EOPNOTSUPP`", proof = xattrs },
  listxattr = { call = "listxattr(req, ino)", result = "names", without = "`EOPNOTSUPP`", proof = xattrs },
  removexattr = { call = "removexattr(req, ino, name)", result = "nothing", without = "`EOPNOTSUPP`", proof = xattrs },
  flush = { call = "flush(req, ino, fh)", result = "nothing", without = "success", proof = files },
  init = {
    call = "init(conn)", result = "nothing", without = "the defaults of [capabilities.md](capabilities.md)",
    proof = { "spec/mount/capabilities_spec.lua", "is switched by settings, by -o over them, and by init over both" },
    note = "the library answers it after the handler",
  },
  opendir = { call = "opendir(req, ino, open)", result = "`open`", without = "the directory is open", proof = files },
  readdir = { call = "readdir(req, ino, dir, offset, fh)", result = "`dir`", without = "`ENOSYS`", proof = names },
  releasedir = { call = "releasedir(req, ino, fh)", result = "nothing", without = "nothing is missed", proof = files },
  fsyncdir = { call = "fsyncdir(req, ino, datasync, fh)", result = "nothing", without = "success", proof = files },
  getlk = {
    call = "getlk(req, ino, lock, fh)", result = "`lock`", without = "the kernel keeps the locks",
    proof = { LOCKS, "getlk and setlk: POSIX locks by owner and range" },
  },
  setlk = {
    call = "setlk(req, ino, lock, fh, wait)", result = "nothing", without = "the kernel keeps the locks",
    proof = { LOCKS, "getlk and setlk: POSIX locks by owner and range" },
    note = "`flock(req, ino, op, fh)` for flock(2)",
  },
  setlkw = {
    call = "setlk(req, ino, lock, fh, wait)", result = "nothing", without = "the kernel keeps the locks",
    proof = { LOCKS, "setlk with wait: a signal ends it with EINTR" },
    note = "`wait` is true; `flock(req, ino, op, fh)` for flock(2)",
  },
  access = {
    call = "access(req, ino, mask)", result = "nothing", without = "everybody may",
    proof = { OPERATIONS, "access and statfs" },
  },
  create = {
    call = "create(req, parent, name, mode, entry, open)", result = "`entry`, `open`",
    without = "`mknod` and `open` are called", proof = making,
  },
  interrupt = {
    call = "req:interrupted()", result = "no reply", without = "the request goes on",
    proof = { "spec/mount/interrupt_spec.lua", "ends its read and its write with EINTR" },
    note = "waiting ends with `E.INTR`",
  },
  bmap = {
    call = "bmap(req, ino, block, blocksize)", result = "a number", without = "block 0", proof = never_sent,
    note = decoded,
  },
  destroy = {
    call = "destroy()", result = "nothing", without = "nothing is missed", proof = never_sent,
    note = "the handler is called at the end of every mount; the operation is " .. decoded,
  },
  ioctl = {
    call = "ioctl(req, ino, cmd, arg, input, output, fh)", result = "a number, bytes", without = "`ENOTTY`",
    proof = { OPERATIONS, "ioctl: bytes in, out and both ways, by what the command says" },
    note = "an unrestricted one, which only CUSE has, gets `EOPNOTSUPP`",
  },
  poll = {
    call = "poll(req, ino, events, handle, fh)", result = "events", without = "always ready",
    proof = { OPERATIONS, "poll: events asked for and there, and a handle only where somebody waits" },
  },
  notify_reply = {
    call = "notify.retrieve(ino, offset, size, fn)", result = "no reply", without = "—",
    proof = { "spec/mount/notify_spec.lua", "retrieve brings cached bytes to the state that asked" },
    note = "the library hands the data to `fn`",
  },
  fallocate = {
    call = "fallocate(req, ino, mode, offset, length, fh)", result = "nothing", without = "`EOPNOTSUPP`",
    proof = { OPERATIONS, "fallocate: mode, offset and length" },
  },
  readdirplus = {
    call = "readdirplus(req, ino, dir, offset, fh)", result = "`dir`", without = "`readdir` is called",
    proof = { OPERATIONS, "readdirplus: forced, and by what is used" },
  },
  lseek = {
    call = "lseek(req, ino, offset, whence, fh)", result = "an offset", without = "all is data up to the end",
    proof = { OPERATIONS, "lseek: the next data and the next hole" },
  },
  copy_file_range = {
    call = "copy_file_range(req, ino, offset, fh, newino, newoffset, newfh, length, flags)", result = "bytes",
    without = "`read` and `write` are called",
    proof = { OPERATIONS, "copy_file_range: both files, both offsets, more than 4 GiB at once" },
    note = "from kernels before COPY_FILE_RANGE_64",
  },
  copy_file_range_64 = {
    call = "copy_file_range(req, ino, offset, fh, newino, newoffset, newfh, length, flags)", result = "bytes",
    without = "`read` and `write` are called",
    proof = { OPERATIONS, "copy_file_range: both files, both offsets, more than 4 GiB at once" },
  },
  syncfs = { call = "syncfs(req, ino)", result = "nothing", without = "success", proof = never_sent, note = decoded },
  tmpfile = {
    call = "tmpfile(req, parent, mode, entry, open)", result = "`entry`, `open`", without = "`EOPNOTSUPP`",
    proof = { OPERATIONS, "tmpfile: a file without a name" },
  },
  statx = {
    call = "statx(req, ino, stx, mask, flags, fh)", result = "`stx`", without = "`getattr` is called",
    proof = { OPERATIONS, "statx: the time of birth" },
  },
}

local CAPABILITIES = "spec/mount/capabilities_spec.lua"
local IDMAP = "spec/mount/idmap_spec.lua"

--- Specs of capabilities that capabilities_spec.lua does not begin a title with.
documents.capability_proofs = {
  posix_locks = documents.operations.setlk.proof,
  flock_locks = { LOCKS, "flock: shared and exclusive, at once or waiting, dropped with the last close" },
  readdirplus = documents.operations.readdirplus.proof,
  readdirplus_auto = documents.operations.readdirplus.proof,
  expire_only = {
    "spec/mount/notify_spec.lua",
    "inval_entry 'expire' has a name looked up again, and what is mounted on it stays",
  },
  resend = { "spec/mount/notify_spec.lua", "has an unanswered request served again on the classic transport" },
  passthrough = { "spec/mount/backing_spec.lua", "serves reads without the server" },
  request_timeout = { CAPABILITIES, "ends the connection when a request is not answered in time" },
  allow_idmap = { IDMAP, "allow_idmap: a mount whose owners are mapped" },
  export_support = { IDMAP, "export_support: a file handle finds an inode that the kernel has forgotten" },
  no_export_support = { IDMAP, "no_export_support: file handles are refused" },
  submounts = {
    CAPABILITIES, "that the kernel does not offer is an error in init, and a warning when it comes as a setting",
  },
  init_ext = { CAPABILITIES, "that the library decides on cannot be chosen" },
  over_io_uring = { CAPABILITIES, "that the library decides on cannot be chosen" },
}

--- Those that have no effect to be shown: the kernel behaves so anyway, or they are not for this kind of mount.
documents.without_effect = {
  big_writes = true, setxattr_ext = true, file_ops = true, splice_write = true, splice_move = true, splice_read = true,
  map_alignment = true, inode_dax = true,
}

-- Linux release of a protocol minor, behind the oldest one that is supported (7.31, Linux 5.4).
local releases = { [34] = "5.14", [37] = "6.1", [39] = "6.6", [45] = "6.18" }

local function since(minor)
  if minor == 0 then
    return "before 7.9"
  end
  local text = "7." .. minor
  return releases[minor] and ("%s, Linux %s"):format(text, releases[minor]) or text
end

local function errno(row)
  return row.err == 0 and "0" or "`" .. row.err .. "`"
end

local function spec_link(proof)
  local file, title = proof[1], proof[2]
  return ("[%s](../%s): %s"):format(file:match("([^/]+)_spec%.lua$"), file, (title:gsub("|", "\\|")))
end

local function operations(ops)
  local out = { [[
# Operations

Each request that the kernel can send over a mount, from protocol 7.31 (Linux 5.4) to 7.45 (Linux 6.18). This page is
made by `bindings/documents.lua` from `src/ops.def`; [reference.md](reference.md) explains the handlers.

- **handler**: what is called in Lua, behind `fs.`; in C the member of `struct fractal_handlers` with the operation's
  name.
- **gives**: what the handler returns or fills in. Instead of it `nil` and an errno (in C -errno) may come.
- **answer without**: what the library answers where there is no handler. **caller gets**: what the system call makes
  of that.
- **since**: the protocol that brought it.
- **shown by**: the spec that proves it, through a real mount on both transports.

DAX mappings (48, 49) and CUSE_INIT (4096) never come over a mount of this kind.

| operation | opcode | asks | handler | gives | answer without | caller gets | since | shown by |
|---|---|---|---|---|---|---|---|---|
]] }
  for _, row in ipairs(ops) do
    local more = documents.operations[row.name] or error("bindings/documents.lua has no " .. row.name)
    out[#out + 1] = ("| `%s` | %d | %s%s | `%s` | %s | %s | %s | %s | %s |\n"):format(row.name, row.opcode, row.doc,
      more.note and "; " .. more.note or "", more.call, more.result, errno(row), more.without, since(row.minor),
      spec_link(more.proof))
  end
  return table.concat(out)
end

local defaults = {
  ON = "on", OFF = "off", CORE = "always on", OP = "with the handlers", NEVER = "not for scripts",
}

--- The spec that shows a capability at work, or nil.
function documents.capability_proof(option, spec_text)
  local title = spec_text:match('it%("(' .. option .. ': [^"]*)"')
  return documents.capability_proofs[option] or title and { CAPABILITIES, title }
end

local function capabilities(caps, spec_text)
  local out = { [[
# Capabilities

What the kernel and the library agree on when the mount begins (FUSE_INIT). This page is made by
`bindings/documents.lua` from `src/caps.def`.

A capability is switched, each over the one before it:

- by its default: **on** is asked for where the kernel offers it, **off** only when somebody asks, **with the handlers**
  where the handlers it stands for are there;
- by a filesystem's setting: `fractal.lowlevel { writeback_cache = true }`;
- on the command line: `-o writeback_cache`, `-o nowriteback_cache`;
- by `init`: `conn.writeback_cache = true`. In C by `caps_on` and `caps_off` of `struct fractal_config`, and the `init`
  hook.

`conn:offers("writeback_cache")` tells what the kernel offers; `fractal.conn()` shows later what was agreed on. A
capability that the kernel does not offer is an error in `init`, and a warning when a setting or option asks for it: the
mount goes on without.

These are refused with a sentence, and nothing is mounted:

`default_permissions` is the mount option.

| together | why |
|---|---|
| `passthrough` and `writeback_cache` | the kernel cannot gather the writes of files that it passes on |
| `allow_idmap` without `default_permissions` | on an idmapped mount only the kernel knows who the caller is |
| `posix_acl` without `default_permissions` | the kernel enforces the lists together with the modes |
| `export_support` and `no_export_support` | they contradict each other |
| `handle_killpriv` and `handle_killpriv_v2` | they are two rules for the same bits |

`explicit_inval_data` takes `auto_inval_data` away, and without `readdirplus` there is no `readdirplus_auto`.

`max_pages` follows from `max_write`; its limit is the sysctl `fs.fuse.max_pages_limit`. `conn.max_pages` and
`conn.request_timeout` are numbers: pages, and seconds.

| capability | bit | default | what it does, and why that default | shown by |
|---|---|---|---|---|
]] }
  for _, row in ipairs(caps) do
    local proof = documents.capability_proof(row.option, spec_text)
    out[#out + 1] = ("| `%s` | %d | %s | %s | %s |\n"):format(row.option, row.bit, defaults[row.default], row.doc,
      proof and spec_link(proof) or "—")
  end
  return table.concat(out)
end

-- ---- options.md ---------------------------------------------------------------------------------------------

local function cell(text)
  return (text:gsub("|", "\\|"))
end

--- "`-b`, `--background`", or "`--log FILE`".
local function word_cell(word)
  local argument = word.argument and (word.optional and "[=%s]" or " %s"):format(word.argument) or ""
  local long = word.long and ("`--%s%s`"):format(word.long, argument)
  local short = word.short and ("`-%s%s`"):format(word.short, long and "" or argument)
  return cell(short and long and short .. ", " .. long or short or long)
end

local function word_rows(words)
  local out = {}
  for i, word in ipairs(words) do
    out[i] = ("| %s | %s |\n"):format(word_cell(word), cell(word.doc))
  end
  return table.concat(out)
end

--- Rows of options; settings: the names that are settings of a filesystem, too, or nil for a table without that column.
local function option_rows(rows, settings)
  local out = {}
  for i, row in ipairs(rows) do
    local column = settings and (settings[row.name] and " yes |" or " |") or ""
    out[i] = ("| `%s%s` | %s |%s\n"):format(row.name, row.argument and "=" .. cell(row.argument) or "", cell(row.doc),
      column)
  end
  return table.concat(out)
end

--- request_timeout is a capability that comes with the session's option of that name.
local function capability_rows(caps, session)
  local out, taken = {}, {}
  for _, row in ipairs(session) do
    taken[row.name] = true
  end
  for _, cap in ipairs(caps) do
    if cap.default ~= "CORE" and cap.default ~= "NEVER" and not taken[cap.option] then
      out[#out + 1] = ("| `%s` | %s | %s |\n"):format(cap.option, defaults[cap.default], cell(cap.doc))
    end
  end
  return table.concat(out)
end

local function tool_sections(tools)
  local out = {}
  for i, tool in ipairs(tools) do
    out[i] = ("\n### fractal-lua %s\n\n`%s`: %s.\n\n| option | meaning |\n|---|---|\n%s"):format(tool.name,
      tool.usage, tool.doc, word_rows(tool.words))
  end
  return table.concat(out)
end

local function options(model, caps)
  -- The setting of a filesystem for -o fsname is its name.
  local settings = {}
  for _, row in pairs(require("fractal.filesystem").settings) do
    settings[row[2] or ""] = true
  end
  return table.concat {
    [[
# All options

This page is made by `bindings/documents.lua` from what `fractal-lua --help` says, so it has them all.
[command.md](command.md) says more about those that are used most.

## The command line

| option | meaning |
|---|---|
]], word_rows(model.words), [[

## Behind -o: the session

The last column tells which are settings of a script, too, by the same name: `fractal.lowlevel { workers = 2 }`
(`fsname` is called `name` there). The command line wins over the script's settings. An option that takes no value is
switched off by a `no` in front: `nopin`.

| option | meaning | setting |
|---|---|---|
]], option_rows(model.session, settings), [[

## Behind -o: options of mount(8)

A script sets them in its table `mount`: `mount = { default_permissions = true }`. The opposites (`rw`, `nosuid`,
`atime` …) and the words of fstab(5) (`_netdev`, `nofail`, `user` …) are accepted.

| option | meaning |
|---|---|
]], option_rows(model.mount), [[

## Behind -o: capabilities of the kernel

`-o writeback_cache` asks for one, `-o noasync_read` leaves one out; each is a setting of a script, too:
`writeback_cache = true`. [capabilities.md](capabilities.md) has more, with the specs that show each at work.

| option | default | meaning |
|---|---|---|
]], capability_rows(caps, model.session), #model.tools > 0 and [[

## Tools

`fractal-lua TOOL` runs a tool, without a script to be mounted; a script of that name is called `./TOOL`.
]] or "", tool_sections(model.tools),
  }
end

-- ---- files -------------------------------------------------------------------------------------------------

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- The documents by path.
function documents.render(ops, caps, model)
  return {
    ["docs/operations.md"] = operations(ops),
    ["docs/capabilities.md"] = capabilities(caps, read_file(CAPABILITIES)),
    ["docs/options.md"] = options(model, caps),
  }
end

if arg and arg[0] and arg[0]:find("bindings/documents%.lua$") then
  local build = arg[1] or error("usage: luajit bindings/documents.lua BUILD_DIR")
  package.path = ("./?.lua;./lua/?.lua;%s/generated/lua/?.lua;%s"):format(build, package.path)
  local model = require("packaging.help").ask(build .. "/fractal-lua")
  for path, text in pairs(documents.render(require "fractal.ops", require "fractal.caps", model)) do
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end
end

return documents
