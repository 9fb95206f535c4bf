-- The filesystems of examples/cookbook, each on a real mount. docs/cookbook.md shows most of them in sessions, which
-- spec/mount/docs_spec.lua runs; here is what the page does not show.
-- unsanitized: scripts in Lua, whose operations other files use

local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

-- Options that a script cannot do without, and what it says where they are missing.
local needs = {
  audit = "say where the log is: -o log=FILE", csv = "say which table: -o file=TABLE",
  http = "say which server: -o host=127.0.0.1:8000", store = "say where to keep the values: -o file=FILE",
  tar = "say which archive: -o archive=FILE", xor = "say what to scramble with: -o key=WORD",
}

describe("the cookbook", function()
  after_each(helper.teardown)

  it("has scripts of a page each, all on docs/cookbook.md", function()
    local page, count = helper.read_file "docs/cookbook.md", 0
    for path in io.popen "ls examples/cookbook/*.lua":lines() do
      local _, lines = helper.read_file(path):gsub("\n", "")
      assert.is_true(lines <= 90, path)
      assert.truthy(page:find(("(../%s)"):format(path), 1, true), path)
      count = count + 1
    end
    assert.equal(10, count)
  end)

  for name, sentence in pairs(needs) do
    it("says what " .. name .. ".lua needs", function()
      local result = helper.run({ ("examples/cookbook/%s.lua"):format(name), helper.directory() }, 20,
        { cwd = sys.getcwd() })
      assert.same({ 1, ("fractal-lua: error: %s\n"):format(sentence) }, { result.status, result.err })
    end)
  end

  it("says what rates are", function()
    local arguments = { "-o", "source=/tmp,rate=fast", "examples/cookbook/throttle.lua", helper.directory() }
    local result = helper.run(arguments, 20, { cwd = sys.getcwd() })
    assert.same({ 1, "fractal-lua: error: rate= and delay= are numbers, such as rate=64K,delay=0.1\n" },
      { result.status, result.err })
  end)
end)

-- Scripts that do not wait for anything are the same over each transport.
local transports = helper.transports()

for i, transport in ipairs(transports) do
  describe(("[transport=%s] examples/cookbook/"):format(transport), function()
    local dir
    local once = i == #transports and it or function() end

    before_each(function() dir = helper.directory() end)
    after_each(helper.teardown)

    -- Mounts a script, runs a shell text in which $DIR is a directory, and unmounts; returns the text's output.
    local function run(name, options, text)
      local m = helper.mount {
        script = ("examples/cookbook/%s.lua"):format(name), transport = transport, options = options,
      }
      local ok, out = m:sh("set -e\n" .. text, 30, { env = { DIR = dir } })
      assert.is_true(ok, out .. m.log())
      assert.equal(0, m:unmount())
      return out
    end

    once("csv.lua shows rows that are added", function()
      helper.write_file(dir .. "/people.csv", "name,city,born\nada,London,1815\nalan,London, 1912\n")
      local out = run("csv", { file = dir .. "/people.csv" }, [[
cat $MNT/columns; ls $MNT/rows; cat $MNT/rows/alan/born
grep -l London $MNT/rows/*/city | wc -l
! ls $MNT/rows/eve 2>/dev/null
echo "eve,Oslo,1977" >>$DIR/people.csv; cat $MNT/rows/eve/city
sed -i /eve/d $DIR/people.csv; ls $MNT/rows/eve 2>/dev/null || echo no eve]])
      assert.equal("name\ncity\nborn\nada\nalan\n1912\n2\nOslo\nno eve\n", out)
    end)

    once("processes.lua shows a process and its children", function()
      local child = process.start({ "sleep", "60" }, { out = dir .. "/out" })
      assert.equal("command\nstatus\nsleep\n", run("processes", { root = tostring(sys.getpid()) },
        ("ls $MNT/%d; cat $MNT/%d/command; ! ls $MNT/1 2>/dev/null"):format(child.pid, child.pid)))
      child:destroy()
    end)

    it("audit.lua writes down who does what", function()
      sys.mkdir(dir .. "/source", "755")
      local log = run("audit", { source = dir .. "/source", log = dir .. "/log" }, [[
echo text >$MNT/a; cat $MNT/a; mv $MNT/a $MNT/b; rm $MNT/b
for i in $(seq 200); do [ $(wc -l <$DIR/log) -ge 4 ] && break; sleep 0.05; done
cat $DIR/log]])
      assert.equal("text\n", log:match "^text\n")
      local operations = {}
      for uid, operation, name in log:gmatch "user=(%d+) pid=%d+ (%a+) inode=%d+(.-) done" do
        assert.equal(tostring(sys.geteuid()), uid)
        operations[#operations + 1] = operation .. name
      end
      table.sort(operations)
      assert.same({ "create name=a", "open", "rename name=a", "unlink name=b" }, operations)
    end)

    it("tar.lua shows what tar packed", function()
      local packed = process.run({ "bash", "-ec", [[
mkdir -p tree/etc/deep/er; cd tree; echo contents >etc/hostname; ln -s hostname etc/link; seq 1 100000 >big
touch etc/deep/er/empty; cd ..; tar cf archive.tar -C tree .]] }, 20, { cwd = dir })
      assert.equal(0, packed.status, packed.err)
      local out = run("tar", { archive = dir .. "/archive.tar" }, [[
diff -r --no-dereference $DIR/tree $MNT && echo the same
readlink $MNT/etc/link; cat $MNT/etc/link
touch $MNT/x 2>/dev/null || echo read-only]])
      assert.equal("the same\nhostname\ncontents\nread-only\n", out)
    end)

    once("store.lua keeps its values from one mount to the next", function()
      local options = { file = dir .. "/values" }
      assert.equal("blue\nand red\n", run("store", options, [[
echo blue >$MNT/colour; echo and red >>$MNT/colour; cat $MNT/colour
for i in 1 2 3 4; do for j in $(seq 25); do echo $j >$MNT/key$i; done & done; wait
rm $MNT/key1]]))
      assert.equal("colour\nkey2\nkey3\nkey4\nblue\nand red\n25\n", run("store", options,
        "ls $MNT; cat $MNT/colour $MNT/key4"))
    end)

    once("xor.lua stores other bytes than it shows", function()
      sys.mkdir(dir .. "/source", "755")
      assert.equal("secret\nsecret\nmore\nthe same\n", run("xor", { source = dir .. "/source", key = "sesame" }, [[
echo secret >$MNT/a; cat $MNT/a; ! grep -q secret $DIR/source/a
echo more >>$MNT/a; cat $MNT/a
seq 1 50000 >$DIR/numbers; cp $DIR/numbers $MNT/b; cp $MNT/b $MNT/c; cmp $DIR/numbers $MNT/c && echo the same]]))
    end)

    once("snapshots.lua keeps what was", function()
      assert.equal("two\none\nb\nread-only\nnot here\n", run("snapshots", nil, [[
echo one >$MNT/now/a; echo b >$MNT/now/b; mkdir $MNT/snapshots/monday
echo two >$MNT/now/a; rm $MNT/now/b
cat $MNT/now/a $MNT/snapshots/monday/a
cp $MNT/snapshots/monday/b $MNT/now; cat $MNT/now/b
(echo x >$MNT/snapshots/monday/a) 2>/dev/null || echo read-only
mkdir $MNT/now/d 2>/dev/null || echo not here
rmdir $MNT/snapshots/monday; ! ls $MNT/snapshots/monday 2>/dev/null]]))
    end)

    it("throttle.lua shares its rate among readers", function()
      sys.mkdir(dir .. "/source", "755")
      helper.write_file(dir .. "/source/a", ("x"):rep(100 * 1024))
      local out = run("throttle", { source = dir .. "/source", rate = "400K" }, [[
begun=$(date +%s%N)
cat $MNT/a >/dev/null & cat $MNT/a >/dev/null; wait
echo $((($(date +%s%N) - begun) / 1000000))]])
      -- 200 KiB at 400 KiB/s: not sooner than half a second.
      assert.is_true(tonumber(out) >= 490, out)
    end)

    once("counters.lua loses no count", function()
      assert.equal("40\n-2\nrefused\n", run("counters", nil, [[
for i in $(seq 40); do echo +1 >$MNT/visits & done; wait; cat $MNT/visits
echo 5 >$MNT/visits; echo -7 >$MNT/visits; cat $MNT/visits
(echo many >$MNT/visits) 2>/dev/null || echo refused
rm $MNT/visits; ! ls $MNT/visits 2>/dev/null]]))
    end)

    it("http.lua fetches pages", function()
      sys.mkdir(dir .. "/site", "755")
      helper.write_file(dir .. "/site/index.html", "welcome\n")
      helper.write_file(dir .. "/site/large.txt", ("0123456789"):rep(50000))
      local server = process.start({ "python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1" },
        { out = dir .. "/server", cwd = dir .. "/site" })
      local port = helper.eventually(10, function() return helper.read_file(dir .. "/server"):match "port (%d+)" end)
      assert.truthy(port, helper.read_file(dir .. "/server"))
      assert.equal("welcome\nthe same\nnot there\n", run("http", { host = "127.0.0.1:" .. port }, [[
cat $MNT/index.html
cmp $MNT/large.txt $DIR/site/large.txt && echo the same
cat $MNT/none.html 2>/dev/null || echo not there]]))
      server:destroy()
    end)
  end)
end
