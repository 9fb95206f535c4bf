-- Much at once: several processes, large directories, a gigabyte of writes, and programs that are picky about their
-- files.
-- alone: a whole machine's work

local client = require "spec.client"
local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

-- Makes, changes, renames, lists and removes files in a directory that it shares with the others, and checks what
-- only it can have changed.
local busy_client = [[
  local id, rounds = arg[1], tonumber(arg[2])
  local shared = MNT .. "/shared"
  local function put(name, text)
    local fd = must.open(name, "wronly creat trunc", "644")
    assert(must.write(fd, text) == #text)
    must.close(fd)
  end
  local function get(name)
    local fd = must.open(name, "rdonly")
    local text = must.read(fd, 100000)
    must.close(fd)
    return text
  end
  local log = must.open(MNT .. "/log", "wronly append")
  for round = 1, rounds do
    local name = ("%s/%s-%d"):format(shared, id, round)
    local text = (id .. " " .. round .. "\n"):rep(round % 7 * 300 + 1)
    put(name, text)
    assert(get(name) == text, "read something else than was written")
    must.rename(name, name .. "-moved")
    assert(not sys.lstat(name))
    must.link(name .. "-moved", name)
    assert(must.stat(name).nlink == 2)
    put(shared .. "/everyone", text)
    sys.rename(shared .. "/everyone", shared .. "/moved") -- the others do the same: any may win
    must.unlink(name)
    if round % 3 > 0 then must.unlink(name .. "-moved") end
    if round % 10 == 0 then must.list(shared) end
    assert(must.write(log, id .. "\n") == #id + 1)
  end]]

helper.each_transport(function(transport)
  local m

  local function mount()
    m = helper.mount { script = "examples/memfs.lua", transport = transport }
  end

  describe("under load", function()
    before_each(mount)
    after_each(helper.teardown)

    it("several processes work in one directory", function()
      local processes, rounds = 6, 120
      assert.is_true(m:sh("mkdir $MNT/shared && : >$MNT/log", 5))
      local running = {}
      for i = 1, processes do
        running[i] = client.start(m, busy_client, { ("client%d"):format(i), rounds })
      end
      for _, one in ipairs(running) do
        assert.equal(0, one:wait(40), one.output())
      end
      local ok, out = m:sh("cd $MNT && ls shared | grep -c moved$ && sort log | uniq -c | tr -s ' '", 10)
      assert.is_true(ok, out)
      local expected = { ("%d"):format(processes * rounds / 3 + 1) }
      for i = 1, processes do
        expected[i + 1] = (" %d client%d"):format(rounds, i)
      end
      assert.equal(table.concat(expected, "\n") .. "\n", out)
      assert.equal(m.ready .. "\n", m.log())
    end)

    it("a directory of 10,000 entries is read with seeks, and while others remove from it", function()
      local out = client.output(m, [[
        local COUNT = 10000
        local dir = MNT .. "/large"
        must.mkdir(dir)
        for i = 1, COUNT do must.close(must.open(("%s/%05d"):format(dir, i), "wronly creat excl", "644")) end

        -- Everything once, with the position of each entry.
        local stream = must.opendir(dir)
        local seen, order, at = {}, {}, {}
        while true do
          local position = sys.telldir(stream)
          local entry = sys.readdir(stream)
          if not entry then break end
          assert(not seen[entry.name], "twice: " .. entry.name)
          seen[entry.name] = true
          order[#order + 1], at[#at + 1] = entry.name, position
        end
        assert(#order == COUNT + 2, #order)

        -- Positions far apart, there and back; each leads to its entry and on to the following ones.
        for i = 1, 500 do
          local index = (i * 7919) % #order + 1
          sys.seekdir(stream, at[index])
          for j = index, math.min(index + 3, #order) do
            assert(sys.readdir(stream).name == order[j], "another entry after a seek")
          end
        end
        sys.rewinddir(stream)
        assert(sys.readdir(stream).name == order[1])

        -- A reader in the middle, while another process removes every second entry: what stays is seen exactly once.
        sys.seekdir(stream, at[100])
        local pid = must.fork()
        if pid == 0 then
          for i = 1, COUNT, 2 do must.unlink(("%s/%05d"):format(dir, i)) end
          sys.exit(0)
        end
        local times = {}
        for entry in function() return sys.readdir(stream) end do
          times[entry.name] = (times[entry.name] or 0) + 1
        end
        local _, status = must.waitpid(pid)
        assert(status == 0)
        for i = 100, #order do
          local number = tonumber(order[i])
          local n = times[order[i] ] or 0
          assert(n <= 1 and (n == 1 or number % 2 == 1), ("%s was seen %d times"):format(order[i], n))
        end
        must.closedir(stream)
        local names = must.list(dir)
        assert(#names == COUNT / 2 and names[1] == "00002", #names)

        -- Removing all that a reader gives, as rm -r does.
        stream = must.opendir(dir)
        local removed = 0
        for entry in function() return sys.readdir(stream) end do
          if entry.name:find("%d") then
            must.unlink(dir .. "/" .. entry.name)
            removed = removed + 1
          end
        end
        must.closedir(stream)
        must.rmdir(dir)
        print(removed)]], 60)
      assert.equal("5000\n", out)
      assert.equal(m.ready .. "\n", m.log())
    end)

    it("git clones into it, and finds nothing wrong", function()
      local ok, out = m:sh([[
        export HOME=$MNT GIT_AUTHOR_NAME=spec GIT_AUTHOR_EMAIL=spec@localhost
        export GIT_COMMITTER_NAME=spec GIT_COMMITTER_EMAIL=spec@localhost
        set -e
        git init -q -b main $MNT/origin && cd $MNT/origin
        cp -r "$ROOT"/{lua,spec,examples,src} . && git add -A && git commit -q -m first
        for i in {1..20}; do echo $i >>count; git add count; git commit -q -m "change $i"; done
        git gc -q && git clone -q --no-local $MNT/origin $MNT/clone && cd $MNT/clone
        git fsck --full --strict && git status --porcelain && git log --oneline | wc -l
        git checkout -q -b branch HEAD~10 && wc -l <count && git merge -q main && wc -l <count
        diff -r --exclude=.git $MNT/origin $MNT/clone && git worktree add -q ../tree && git -C ../tree fsck]],
        60, { env = { ROOT = sys.getcwd() } })
      assert.is_true(ok, out)
      assert.equal("21\n10\n20\n", out)
    end)

    it("sqlite3 keeps its databases whole, with and without a write-ahead log", function()
      local ok, out = m:sh([[
        cd $MNT && set -e
        for mode in delete wal; do
          sqlite3 $mode.db "PRAGMA journal_mode = $mode; CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, text TEXT);"
          for writer in 1 2 3; do
            for i in {1..15}; do
              echo "PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE;
                WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 40)
                  INSERT INTO t (n, text) SELECT $writer, hex(randomblob(50)) FROM r;
                COMMIT;"
            done | sqlite3 $mode.db >/dev/null &
          done
          wait
          sqlite3 $mode.db "DELETE FROM t WHERE id % 3 = 0; VACUUM; PRAGMA integrity_check;
            SELECT n, count(*) > 300 FROM t GROUP BY n; SELECT count(*), sum(length(text)) FROM t;"
        done]], 60)
      assert.is_true(ok, out)
      local body = "ok\n1|1\n2|1\n3|1\n1200|120000\n"
      assert.equal("delete\n" .. body .. "wal\n" .. body, out)
    end)
  end)

  describe("a gigabyte of writes", function()
    before_each(mount)
    after_each(helper.teardown)

    -- Writes 8,192 blocks of 128 KiB in a random order, of which each is made from its number; half of them from
    -- another process, through the page cache and (the second process) with direct I/O. Then reads all back in order.
    it("at random offsets comes back as it was", function()
      local out = client.output(m, [[
        local ffi = require "ffi"
        ffi.cdef "int posix_memalign(void **, size_t, size_t);"
        local BLOCK, COUNT = 131072, 8192
        local box = ffi.new("void *[1]")
        ffi.C.posix_memalign(box, 4096, BLOCK)
        local block = ffi.cast("uint64_t *", box[0])
        local WORDS = BLOCK / 8

        -- Every word of a block is different in each place of the file.
        local function fill(number)
          local word = number * 0x9e3779b97f4a7c15ULL + 1
          for i = 0, WORDS - 1 do
            word = word * 6364136223846793005ULL + 1442695040888963407ULL
            block[i] = word
          end
        end
        ffi.cdef "ssize_t spec_pwrite(int, const void *, size_t, int64_t) __asm__(\"pwrite\");"
        ffi.cdef "ssize_t spec_pread(int, void *, size_t, int64_t) __asm__(\"pread\");"
        ffi.cdef "int memcmp(const void *, const void *, size_t);"

        local function write_half(which, flags)
          local fd = must.open(MNT .. "/large", "wronly " .. flags)
          -- 4801 is prime to 8192: an order that visits each number once.
          for i = which, COUNT - 1, 2 do
            local number = (i * 4801 + 13) % COUNT
            fill(number)
            assert(ffi.C.spec_pwrite(fd, block, BLOCK, number * BLOCK) == BLOCK)
          end
          must.close(fd)
        end

        must.close(must.open(MNT .. "/large", "wronly creat", "600"))
        local pid = must.fork()
        if pid == 0 then
          sys.exit(pcall(write_half, 1, "direct") and 0 or 1)
        end
        write_half(0, "")
        local _, status = must.waitpid(pid)
        assert(status == 0, "the other writer failed")
        assert(must.stat(MNT .. "/large").size == BLOCK * COUNT)

        ffi.C.posix_memalign(box, 4096, BLOCK)
        local read = ffi.cast("uint8_t *", box[0])
        local fd = must.open(MNT .. "/large", "rdonly direct")
        for number = 0, COUNT - 1 do
          assert(ffi.C.spec_pread(fd, read, BLOCK, number * BLOCK) == BLOCK)
          fill(number)
          assert(ffi.C.memcmp(read, block, BLOCK) == 0, "block " .. number .. " is wrong")
        end
        print(must.stat(MNT .. "/large").blocks * 512)]], 90)
      assert.equal(("%d\n"):format(2 ^ 30), out)
      assert.equal(m.ready .. "\n", m.log())
      assert.is_true(m:sh("rm $MNT/large", 20))
    end)
  end)
end)
