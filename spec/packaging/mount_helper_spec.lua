-- mount.fractal-lua: what mount(8) runs for fstab's type fractal-lua, and through mount.fuse3.

local helper = require "spec.helper"
local process = require "spec.process"
local staged = require "spec.packaging.staged"
local sys = require "fractal.testing.sys"

local text = [[
local fractal = require "fractal"
return fractal.tree { hello = "hello from the mount\n", note = { read = function() return "x" end, write = print } }
]]

describe("mount.fractal-lua", function()
  local stage

  setup(function() stage = staged.install() end)
  teardown(function() staged.remove(stage) end)
  after_each(helper.teardown)

  -- Runs a shell text in which $SCRIPT is a script, $DIR a mountpoint, and mount(8) knows the type.
  local function run(commands)
    local reason = staged.no_system()
    if reason then
      return pending(reason)
    end
    local base = helper.directory()
    helper.write_file(base .. "/script.lua", text)
    sys.mkdir(base .. "/mnt", "755")
    return staged.as_system(stage, [[trap 'umount -l "$DIR" 2>/dev/null || true' EXIT]] .. "\n" .. commands, 60,
      { SCRIPT = base .. "/script.lua", DIR = base .. "/mnt", BASE = base })
  end

  local function succeeds(commands, expected)
    local result = run(commands)
    if result then
      assert.same({ 0, expected, "" }, { result.status, result.out, result.err })
    end
  end

  for _, kind in ipairs { "fractal-lua", "fuse.fractal-lua" } do
    it(("mounts in the background, by mount -t %s"):format(kind), function()
      succeeds(([[
mount -t %s -o ro,_netdev,fsname=here "$SCRIPT" "$DIR"
cat "$DIR/hello"
findmnt -n -o SOURCE,FSTYPE "$DIR" | tr -s ' '
touch "$DIR/note" 2>/dev/null || echo read-only
umount "$DIR"
mountpoint -q "$DIR" || echo gone]]):format(kind),
        "hello from the mount\nhere fuse.fractal-lua\nread-only\ngone\n")
    end)
  end

  it("mounts what fstab says, once", function()
    succeeds([[
echo "$SCRIPT $DIR fractal-lua ro,nofail,x-systemd.automount 0 0" >"$BASE/fstab"
mount -a -T "$BASE/fstab"
mount -a -T "$BASE/fstab"
cat "$DIR/hello"
grep -c " $DIR fuse.fractal-lua " /proc/self/mounts
umount "$DIR"]], "hello from the mount\n1\n")
  end)

  it("takes a script's path relative to where mount(8) runs, with a comma in it", function()
    succeeds([[
cp "$SCRIPT" "$BASE/one, two.lua"
cd "$BASE"
mount -t fractal-lua "one, two.lua" "$DIR"
cat "$DIR/hello"
findmnt -n -o SOURCE "$DIR" | grep -o 'one, two.lua'
cd /
umount "$DIR"]], "hello from the mount\none, two.lua\n")
  end)

  it("mounts through mount.fuse3, as another user", function()
    succeeds([[
chown nobody "$DIR"
mount -t fuse3 "mount.fractal-lua#$SCRIPT" "$DIR" -o setuid=nobody
setpriv --reuid=nobody --regid=nogroup --clear-groups cat "$DIR/hello"
umount "$DIR"]], "hello from the mount\n")
  end)

  it("fails as mount(8) expects where the mount fails", function()
    local result = run [[mount -t fractal-lua /nowhere.lua "$DIR"]]
    if result then
      assert.same({ 32, "fractal-lua: error: the script /nowhere.lua does not exist\n" }, { result.status, result.err })
    end
  end)

  for arguments, sentence in pairs {
    [""] = "name a script and a directory to mount on",
    ["a.lua"] = "name a script and a directory to mount on",
    ["a.lua /mnt more"] = "one word too many: more",
    ["a.lua /mnt -o"] = "-o needs a value",
    ["a.lua /mnt --verbose"] = "unknown option --verbose",
  } do
    it(("refuses %q"):format(arguments), function()
      local result = process.run({ "sh", "-c", '"$0"/usr/sbin/mount.fractal-lua ' .. arguments, stage }, 10)
      assert.same({ 1, "" }, { result.status, result.out })
      local usage = "; usage: mount -t fractal-lua [-o OPTIONS] SCRIPT MOUNTPOINT\n"
      assert.equal("mount.fractal-lua: " .. sentence .. usage, result.err)
    end)
  end
end)
