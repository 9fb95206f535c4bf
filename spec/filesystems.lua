--- The filesystems that are put through what a filesystem must stand: fractal.memoryfs, and fractal.passthrough over a
-- tmpfs and over an ext4.
--
--   local m = filesystems.mount { kind = "passthrough/ext4", transport = "uring", state = "single" }

local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

local filesystems = { kinds = { "memoryfs", "passthrough/tmpfs", "passthrough/ext4" } }

local texts = {
  memoryfs = [[return require "fractal.memoryfs" {}]],
  passthrough = [[return require "fractal.passthrough" {}]],
}

--- A fresh directory for passthrough to mirror, on a "tmpfs" or an "ext4"; nil and why there is none.
function filesystems.source(kind, user)
  local base, reason = helper[kind]()
  if not base then
    return nil, reason
  end
  local directory = base .. "/source"
  assert(sys.mkdir(directory, "755"))
  if user then
    assert(sys.chown(directory, user, user))
  end
  return directory
end

--- Mounts one of the kinds; returns the mount, or nil and why the machine has none. settings: kind, and those of
-- helper.mount. As root other users may enter, and set-id programs and devices work; m.source is what is mirrored.
function filesystems.mount(settings)
  local all = { options = {} }
  for name, value in pairs(settings) do
    all[name] = value
  end
  local module, below = settings.kind:match("^(%w+)/?(%w*)$")
  all.source = texts[module]
  local options = {}
  for name, value in pairs(settings.options or {}) do
    options[name] = value
  end
  if helper.is_root and not settings.user then
    options.allow_other, options.suid, options.dev = true, true, true
  end
  if below ~= "" then
    local reason
    options.source, reason = filesystems.source(below, settings.user)
    if not options.source then
      return nil, reason
    end
  end
  all.options = options
  local m = helper.mount(all)
  m.source = options.source
  return m
end

return filesystems
