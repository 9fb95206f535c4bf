-- `--doctor`, item by item: files of the system are faked below FRACTAL_DOCTOR_ROOT.

local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local SWITCH = "/sys/module/fuse/parameters/enable_uring"

-- A directory with these files of a system (path → text) beside those that a good one has.
local function fake(files)
  local root = helper.directory()
  local all = {
    ["/proc/sys/kernel/osrelease"] = "6.18.44",
    ["/proc/sys/kernel/io_uring_disabled"] = "0",
    ["/proc/sys/fs/fuse/max_pages_limit"] = "256",
    ["/etc/fuse.conf"] = "user_allow_other",
    [SWITCH] = "Y",
  }
  for path, text in pairs(files) do
    all[path] = text
  end
  for path, text in pairs(all) do
    if text then
      local directory = root
      for part in path:gmatch("([^/]+)/") do
        directory = directory .. "/" .. part
        sys.mkdir(directory, "755")
      end
      helper.write_file(root .. path, text .. "\n")
    end
  end
  sys.mkdir(root .. "/dev", "755")
  if files["/dev/fuse"] ~= false then
    assert(sys.symlink("/dev/fuse", root .. "/dev/fuse"))
  end
  return root
end

-- The line of one item, and the command's exit status.
local function line_of(item, files, options)
  options = options or {}
  options.env = options.env or {}
  options.env.FRACTAL_DOCTOR_ROOT = fake(files)
  local result = helper.run({ "--doctor" }, 20, options)
  local line = ("\n" .. result.out):match("\n(%a+ +" .. item .. " [^\n]+)")
  return line and line:gsub(" +", " "), result.status, result.out
end

local kernels = {
  { "4.19.2", "FAIL kernel Linux 4.19.2 is too old; do: install Linux 5.4 or newer" },
  { "6.1.0-18-amd64", "warn kernel Linux 6.1.0-18-amd64 has no FUSE over io_uring; mounts use classic /dev/fuse; " },
  { "6.14.3", "warn kernel Linux 6.14.3 has known use-after-free bugs in FUSE over io_uring" },
  { "6.18.38", "warn kernel Linux 6.18.38 has known use-after-free bugs in FUSE over io_uring" },
  { "6.18.39", "ok kernel Linux 6.18.39 has FUSE over io_uring" },
  { "6.19.1", "warn kernel Linux 6.19.1 has known use-after-free bugs in FUSE over io_uring" },
  { "7.1.3", "warn kernel Linux 7.1.3 has known use-after-free bugs in FUSE over io_uring" },
  { "7.1.4", "ok kernel Linux 7.1.4 has FUSE over io_uring" },
  { "7.2.0", "ok kernel Linux 7.2.0 has FUSE over io_uring" },
}

local items = {
  { "device", { ["/dev/fuse"] = false }, "FAIL device /dev/fuse is missing; do: modprobe fuse" },
  { "allow_other", { ["/etc/fuse.conf"] = "# user_allow_other" },
    "warn allow_other only root may mount with allow_other; do: echo user_allow_other >> /etc/fuse.conf" },
  { "allow_other", {}, "ok allow_other ordinary users may mount with allow_other" },
  { "enable_uring", { [SWITCH] = "N" },
    "warn enable_uring FUSE over io_uring is switched off; mounts use classic /dev/fuse; do: echo Y > " .. SWITCH },
  { "enable_uring", { [SWITCH] = false, ["/sys/module/fuse/version"] = "" },
    "warn enable_uring this kernel was built without FUSE over io_uring; mounts use classic /dev/fuse; do: install " },
  { "enable_uring", { [SWITCH] = false }, "warn enable_uring the module fuse is not loaded; do: modprobe fuse" },
  { "io_uring", { ["/proc/sys/kernel/io_uring_disabled"] = "2" },
    "warn io_uring io_uring is forbidden (/proc/sys/kernel/io_uring_disabled is 2); mounts use classic /dev/fuse; "
      .. "do: sysctl kernel.io_uring_disabled=0" },
  { "max_pages", { ["/proc/sys/fs/fuse/max_pages_limit"] = "32" },
    "warn max_pages requests carry up to 128 KiB (/proc/sys/fs/fuse/max_pages_limit is 32); do: echo 256 > " },
}

describe("--doctor", function()
  after_each(helper.teardown)

  it("knows which kernels have known bugs", function()
    for _, case in ipairs(kernels) do
      local line, status = line_of("kernel", { ["/proc/sys/kernel/osrelease"] = case[1] })
      assert.equal(case[2], line:sub(1, #case[2]))
      assert.equal(case[2]:sub(1, 4) == "FAIL" and 1 or 0, status)
    end
  end)

  for _, case in ipairs(items) do
    it("says: " .. case[3], function()
      local line, status, out = line_of(case[1], case[2])
      assert.truthy(line, out)
      assert.equal(case[3], line:sub(1, #case[3]))
      assert.equal(case[3]:sub(1, 4) == "FAIL" and 1 or 0, status, out)
    end)
  end

  it("sees that a seccomp profile forbids io_uring", function()
    local wrapper = sys.getcwd() .. "/spec/without_uring.py"
    local result = process.run({ "python3", wrapper, helper.binary, "--doctor" }, 20)
    local line = "warn  io_uring      io_uring cannot be used: Operation not permitted; mounts use classic /dev/fuse; "
      .. "do: in a container: allow io_uring_setup and io_uring_enter in its seccomp profile\n"
    assert.truthy(result.out:find(line, 1, true), result.out .. result.err)
  end)

  it("sees the limit of locked memory", function()
    local result = process.run({ "bash", "-c", "ulimit -l 16; exec " .. helper.binary .. " --doctor" }, 20)
    local line = "warn  memlock       locked memory is limited to 16384 bytes, which kernels before 5.12 count rings "
      .. "in; do: ulimit -l 8192\n"
    assert.truthy(result.out:find(line, 1, true), result.out)
  end)

  it("sees a fusermount3 that is not set-user-id root", function()
    local bin = helper.directory()
    helper.write_file(bin .. "/fusermount3", "#!/bin/sh\n")
    sys.chmod(bin .. "/fusermount3", "755")
    local line = line_of("fusermount3", {}, { env = { PATH = bin } })
    assert.truthy(line:find(("is not set-user-id root; ordinary users cannot mount; do: chown root %s/fusermount3 && "
      .. "chmod u+s %s/fusermount3"):format(bin, bin), 1, true), line)
  end)

  it("ends as JSON with the same verdicts", function()
    local root = fake { [SWITCH] = "N" }
    local program = [[import json, sys
for x in json.load(sys.stdin):
  if x["check"] == "enable_uring": print(x["fix"])]]
    local command = ("%s --doctor --json | python3 -c '%s'"):format(helper.binary, program)
    local result = process.run({ "bash", "-c", command }, 20, { env = { FRACTAL_DOCTOR_ROOT = root } })
    assert.equal("echo Y > " .. SWITCH .. "\n", result.out, result.err)
  end)
end)
