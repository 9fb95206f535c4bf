-- The Debian packages that CPack makes of the build: their control fields, and what they are worth on a system that has
-- just installed them.

local helper = require "spec.helper"
local help = require "packaging.help"
local process = require "spec.process"
local staged = require "spec.packaging.staged"

local contact = "Ann Other <ann@debian.org>"

-- A copy of the system in memory, in which dpkg installs $PACKAGES; what it changes is gone afterwards.
local system = [[
mount --make-rprivate /
mount -t tmpfs tmpfs "$BASE"
for directory in usr var etc; do
  mkdir -p "$BASE/$directory/upper" "$BASE/$directory/work"
  mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$BASE/$directory/upper,workdir=$BASE/$directory/work" \
    "/$directory"
done
mkdir "$BASE/mnt"
dpkg --force-unsafe-io --no-triggers -i "$PACKAGES"/*.deb >"$BASE/dpkg.log" 2>&1 || { cat "$BASE/dpkg.log"; exit 1; }
cd "$BASE"
]]

describe("the Debian packages", function()
  local packages, reason

  setup(function()
    for _, program in ipairs { "cpack", "dpkg-shlibdeps", "file" } do
      reason = reason or not staged.has(program) and program .. " is not installed" or nil
    end
    packages = process.directory()
    if not reason then
      -- gzip takes a fraction of the time of xz.
      local made = process.run({ "cpack", "-B", packages, "-D", "CPACK_PACKAGE_CONTACT=" .. contact,
        "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip" }, 120, { cwd = staged.build })
      assert.equal(0, made.status, made.out .. made.err)
    end
  end)
  teardown(function() staged.remove(packages) end)
  after_each(helper.teardown)

  local function package_it(title, fn)
    it(title, function()
      if reason then
        return pending(reason)
      end
      fn()
    end)
  end

  local function file_of(package)
    local pipe = io.popen(("ls %s/%s_*.deb"):format(packages, package))
    local path = pipe:read "*l"
    pipe:close()
    return path
  end

  local function field(package, name)
    return (process.run({ "dpkg-deb", "-f", file_of(package), name }, 20).out:gsub("\n$", ""))
  end

  local function contents(package)
    local out, set = process.run({ "dpkg-deb", "-c", file_of(package) }, 20).out, {}
    for line in out:gmatch "[^\n]+" do
      set[line:match "%./(%S+)" or ""] = line
    end
    return set
  end

  for package, expected in pairs {
    ["libfractal0"] = { section = "libs", depends = { "libc6", "liburing2" } },
    ["libfractal-dev"] = { section = "libdevel", depends = { "libfractal0 (= VERSION)", "liburing-dev" } },
    ["fractal-lua"] = { section = "utils", depends = { "libc6", "liburing2", "liblmdb0", "luajit" } },
  } do
    package_it("have control fields: " .. package, function()
      local version = help.ask(helper.binary).version
      assert.equal(version, field(package, "Version"))
      assert.equal(expected.section, field(package, "Section"))
      assert.equal("optional", field(package, "Priority"))
      assert.equal(contact, field(package, "Maintainer"))
      local depends = field(package, "Depends")
      for _, name in ipairs(expected.depends) do
        assert.truthy(depends:find(name:gsub("VERSION", version), 1, true), depends)
      end
      local summary, text = field(package, "Description"):match "^([^\n]+)\n(.*)$"
      assert.is_true(#summary < 80 and not summary:find "^ " and not summary:find "%.$", summary)
      for line in text:gmatch "[^\n]+" do
        assert.truthy(line:find "^ [^ ]" and #line < 81, line)
      end
    end)

    package_it("have copyright and changelog: " .. package, function()
      local files = contents(package)
      assert.truthy(files[("usr/share/doc/%s/copyright"):format(package)])
      assert.truthy(files[("usr/share/doc/%s/changelog.gz"):format(package)])
      for name, line in pairs(files) do
        assert.truthy(line:find " root/root ", name)
      end
    end)
  end

  package_it("hold what belongs to the command", function()
    local files = contents "fractal-lua"
    for _, name in ipairs {
      "usr/bin/fractal-lua", "usr/sbin/mount.fractal-lua", "usr/sbin/mount.fuse.fractal-lua",
      "usr/share/man/man1/fractal-lua.1.gz", "usr/share/man/man8/mount.fractal-lua.8.gz",
      "usr/share/bash-completion/completions/fractal-lua", "usr/share/zsh/site-functions/_fractal-lua",
      "usr/share/fish/vendor_completions.d/fractal-lua.fish", "usr/lib/systemd/system/fractal-lua@.service",
      "usr/share/doc/fractal-lua/examples/hello.lua",
    } do
      assert.truthy(files[name], name)
    end
  end)

  package_it("run the linker's trigger and name the library for others", function()
    local directory = helper.directory()
    process.run({ "dpkg-deb", "-e", file_of "libfractal0", directory }, 20)
    assert.equal("activate-noawait ldconfig\n", helper.read_file(directory .. "/triggers"))
    assert.truthy(helper.read_file(directory .. "/shlibs"):find "^libfractal 0 libfractal0 ")
  end)

  -- Without the triggers of other packages, which only cost time: the installing script calls ldconfig itself.
  package_it("install, mount, let programs be built, and go away without a trace", function()
    local no_system = staged.no_system()
    if no_system then
      return pending(no_system)
    end
    local result = process.run({ "unshare", "--mount", "bash", "-ec", system .. [[
mount -t fractal-lua /usr/share/doc/fractal-lua/examples/hello.lua "$BASE/mnt"
cat "$BASE/mnt/hello"
umount "$BASE/mnt"

printf '#include <fractal.h>\n#include <stdio.h>\nint main(void) { puts(fractal_version()); return 0; }\n' >main.c
cc main.c -o by-pkg-config $(pkg-config --cflags --libs fractal)
./by-pkg-config
printf 'cmake_minimum_required(VERSION 3.18)\nproject(main C)\nfind_package(fractal REQUIRED)
add_executable(by-cmake main.c)\ntarget_link_libraries(by-cmake fractal::fractal)\n' >CMakeLists.txt
cmake -S . -B build >/dev/null
cmake --build build >/dev/null
build/by-cmake

dpkg --no-triggers -r fractal-lua libfractal-dev libfractal0 >/dev/null
[ ! -e /usr/bin/fractal-lua ] && [ ! -e /usr/include/fractal ] && echo removed
]] }, 120, { env = { BASE = helper.directory(), PACKAGES = packages } })
    local version = help.ask(helper.binary).version
    assert.same({ 0, "" }, { result.status, result.err }, result.out)
    assert.equal(("Hello, world!\n%s\n%s\nremoved\n"):format(version, version), result.out)
  end)
end)
