-- Real programs at work in a mount, on memoryfs and on passthrough over an ext4: git, sqlite3, a build of this project,
-- rsync, tar, fio and PostgreSQL. What each finds wrong with its files is a failure.
-- unsanitized: programs take minutes under them; the suites and streams go the same ways

local filesystems = require "spec.filesystems"
local helper = require "spec.helper"
local process = require "spec.process"
local sys = require "fractal.testing.sys"

local root = sys.getcwd()

-- The directory of PostgreSQL's server programs, which Debian keeps out of PATH; nil where there are none.
local function postgres_programs()
  local found = process.run({ "sh", "-c", "ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1" }, 10)
  local directory = found.out:match("[^\n]+")
  if not directory then
    found = process.run({ "sh", "-c", "dirname \"$(command -v initdb)\"" }, 10)
    directory = found.status == 0 and found.out:match("^/[^\n]+") or nil
  end
  return directory
end

-- The user that PostgreSQL runs as: it refuses to be root.
local function postgres_user()
  if not helper.is_root then
    return nil
  end
  return tonumber(process.run({ "id", "-u", "postgres" }, 10).out:match("%d+"))
end

local runs = {
  { kind = "memoryfs", transport = "uring", state = "single" },
  { kind = "passthrough/ext4", transport = "uring", state = "per-worker" },
}

for _, run in ipairs(runs) do
  local transport = helper.has_uring() and run.transport or "dev"
  describe(("on %s (%s, %s)"):format(run.kind, transport, run.state), function()
    after_each(helper.teardown)

    -- Mounts, runs a program's script under `set -e` with $MNT, $PROJECT (this source tree) and $TMP (a directory
    -- beside the mount), and unmounts. Returns its output.
    local function run_in_mount(seconds, text, environment)
      local m, reason = filesystems.mount { kind = run.kind, transport = transport, state = run.state }
      if not m then
        pending(reason)
        return
      end
      local env = { PROJECT = root, TMP = helper.directory() }
      for name, value in pairs(environment or {}) do
        env[name] = value
      end
      sys.chmod(env.TMP, "777")
      local ok, out = m:sh("set -eu\ncd $MNT\n" .. text, seconds, { env = env })
      assert.is_true(ok, out .. "\nthe server's log:\n" .. m.log())
      assert.equal(0, m:unmount())
      return out
    end

    it("git commits, clones, repacks and finds nothing wrong", function()
      local out = run_in_mount(120, [[
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        export GIT_CONFIG_NOSYSTEM=1 HOME=$TMP
        git config --global safe.directory '*'
        git init -q -b main origin
        cd origin
        for part in src lua spec; do
          cp -r $PROJECT/$part .
          git add $part
          git commit -q -m "add $part"
        done
        git checkout -q -b side HEAD~1
        git mv src source
        git commit -q -m moved
        git checkout -q main
        git merge -q -m merged side
        cd ..
        git clone -q "file://$PWD/origin" clone
        git clone -q --shared origin shared
        cd clone
        git gc -q --aggressive --prune=now
        git fsck --full --strict
        git log --oneline | wc -l
        test -z "$(git status --porcelain)"
        cd ../shared
        git repack -q -a -d
        git fsck --full
        diff -r $PROJECT/lua lua]])
      assert.truthy(not out or out:find("\n5\n") or out:find("^5\n"), out)
    end)

    for _, journal in ipairs { "wal", "delete" } do
      it(("sqlite3 loses nothing of journal_mode=%s when it is killed"):format(journal), function()
        run_in_mount(60, [[
          sqlite3 data.db "PRAGMA journal_mode=$JOURNAL; CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT, y BLOB);
            CREATE INDEX by_x ON t (x);" >/dev/null
          for round in 1 2 3; do
            # Each statement is a transaction, and its number is told once it is committed.
            awk 'BEGIN { for (;;) print "INSERT INTO t (x, y) VALUES (hex(randomblob(20)), zeroblob(3000));" \
              " SELECT max(n) FROM t;" }' | sqlite3 -cmd ".timeout 5000" data.db >$TMP/told &
            writer=$!
            sqlite3 -cmd ".timeout 5000" data.db "SELECT count(*) FROM t" >/dev/null
            sleep 0.7
            kill -9 $writer
            wait $writer || true
            told=$(tail -n 1 $TMP/told)
            test -n "$told"
            test "$(sqlite3 data.db 'PRAGMA integrity_check')" = ok
            there=$(sqlite3 data.db 'SELECT max(n) FROM t')
            test "$there" -ge "$told" || { echo "$told rows were committed, $there are there"; exit 1; }
            sqlite3 data.db "DELETE FROM t WHERE n % 3 = 0; VACUUM;"
            test "$(sqlite3 data.db 'PRAGMA integrity_check')" = ok
          done]], { JOURNAL = journal })
      end)
    end

    it("this project is built, and runs from there", function()
      run_in_mount(300, [[
        mkdir source
        tar -C $PROJECT --exclude='./build*' --exclude=./.git -cf - . | tar -C source -xf -
        cmake -S source -B build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTING=OFF >$TMP/log 2>&1 || cat $TMP/log
        cmake --build build -j 2 >$TMP/log 2>&1 || { cat $TMP/log; exit 1; }
        build/fractal-lua --version
        build/fractal-lua --check source/examples/hello.lua
        touch -d '-1 hour' source/src/log.c
        cmake --build build | grep -q 'no work to do'
        cmake --install build --prefix $MNT/installed >/dev/null
        installed/bin/fractal-lua --help | head -n 1]])
    end)

    it("rsync and tar take a tree there and back", function()
      run_in_mount(120, [[
        mkdir $TMP/tree
        cd $TMP/tree
        cp -r $PROJECT/lua $PROJECT/src .
        ln -s lua/fractal link
        ln src/fractal.h hard
        mkfifo fifo
        truncate -s 10M sparse
        echo x | dd of=sparse bs=1 seek=5M conv=notrunc status=none
        setfattr -n user.name -v value src/fractal.h
        chmod 7751 src
        touch -d '2001-02-03 04:05:06.123456789' src/fractal.c lua
        cd $MNT
        rsync -aHAXS $TMP/tree/ synced/
        rsync -aHAX --checksum --delete --itemize-changes --dry-run $TMP/tree/ synced/ >$TMP/changes
        test ! -s $TMP/changes || { cat $TMP/changes; exit 1; }
        rsync -aHAX synced/ $TMP/back/
        rsync -aHAX --checksum --delete --itemize-changes --dry-run $TMP/tree/ $TMP/back/ >$TMP/changes
        test ! -s $TMP/changes || { cat $TMP/changes; exit 1; }
        tar --xattrs --sparse -cf packed.tar synced
        mkdir unpacked
        tar --xattrs -C unpacked -xpf packed.tar
        tar --compare -C unpacked -f packed.tar
        rsync -aHAX --checksum --delete --itemize-changes --dry-run synced/ unpacked/synced/ >$TMP/changes
        test ! -s $TMP/changes || { cat $TMP/changes; exit 1; }]])
    end)

    it("fio reads back what it wrote, buffered, direct, mapped and over io_uring", function()
      run_in_mount(120, [[
        common="--directory=$MNT --size=24M --verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting --minimal"
        fio $common --name=buffered --rw=randrw --bs=1k-16k --ioengine=psync --fsync=50 --numjobs=2 >$TMP/log 2>&1 ||
          { cat $TMP/log; exit 1; }
        fio $common --name=direct --rw=randwrite --bs=4k --direct=1 --ioengine=io_uring --iodepth=16 >$TMP/log 2>&1 ||
          { cat $TMP/log; exit 1; }
        fio $common --name=large --rw=write --bs=1M --direct=1 --ioengine=libaio --iodepth=4 >$TMP/log 2>&1 ||
          { cat $TMP/log; exit 1; }
        fio $common --name=mapped --rw=randwrite --bs=4k --ioengine=mmap >$TMP/log 2>&1 || { cat $TMP/log; exit 1; }]])
    end)

    local programs = postgres_programs()
    if programs then
      it("PostgreSQL keeps its books straight through a crash", function()
        local out = run_in_mount(200, [[
          as=
          if [ -n "$PGUSER_ID" ]; then
            as="setpriv --reuid=$PGUSER_ID --regid=$(id -g $PGUSER_ID) --clear-groups --reset-env"
          fi
          mkdir pg
          test -z "$as" || chown $PGUSER_ID pg
          socket=$TMP
          cat >$TMP/steps <<END
            set -eu
            PATH=$PROGRAMS:\$PATH PGHOST=$socket PGDATABASE=bench
            export PATH PGHOST PGDATABASE
            cd $socket
            sum() {
              psql -qAtc "SELECT sum(abalance) FROM pgbench_accounts" -c "SELECT sum(bbalance) FROM pgbench_branches" \
                -c "SELECT sum(tbalance) FROM pgbench_tellers" -c "SELECT sum(delta) FROM pgbench_history" | sort -u
            }
            start() { pg_ctl -D $MNT/pg -w -t 60 -l $socket/server.log start >/dev/null; }
            initdb -D $MNT/pg -U me --auth=trust >initdb.log || { cat initdb.log; exit 1; }
            echo "listen_addresses = ''" >>$MNT/pg/postgresql.conf
            echo "unix_socket_directories = '$socket'" >>$MNT/pg/postgresql.conf
            start || { cat server.log; exit 1; }
            PGUSER=me
            export PGUSER
            trap 'pg_ctl -D $MNT/pg -m immediate stop >/dev/null 2>&1 || true' EXIT
            createdb bench
            pgbench -q -i -s 2 2>/dev/null
            pgbench -n -c 4 -j 2 -T 3
            test "\$(sum | wc -l)" = 1
            # A crash with clients at work: what was committed is there, and everything adds up.
            pgbench -n -c 4 -j 2 -T 30 >/dev/null 2>&1 &
            sleep 1
            pg_ctl -D $MNT/pg -m immediate stop >/dev/null
            wait || true
            start || { cat server.log; exit 1; }
            test "\$(sum | wc -l)" = 1
            psql -qAtc "CREATE EXTENSION amcheck" -c "SELECT bt_index_check(oid, true) FROM pg_class
              WHERE relkind = 'i' AND relam = 403 AND relpersistence = 'p'" >/dev/null
            vacuumdb -q --full bench
            test "\$(sum | wc -l)" = 1
            pg_ctl -D $MNT/pg -m fast -w stop >/dev/null
            trap - EXIT
            pg_checksums --version
END
          $as sh $TMP/steps]], { PROGRAMS = programs, PGUSER_ID = postgres_user() or "" })
        assert.truthy(not out or out:find("number of failed transactions: 0", 1, true), out)
      end)
    end
  end)
end
