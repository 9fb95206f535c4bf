-- File work on the filesystems in memory, compared with the same work on tmpfs: what the commands print has to be the
-- same, byte for byte.

local client = require "spec.client"
local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

-- Shell functions for the cases below, which run in the directory under test.
local prelude = [=[
  set -u
  export LC_ALL=C TZ=UTC
  # Everything about a tree but the times of change and the sizes of directories.
  tree() {
    find "${1:-.}" \( -type d -printf '%P %y %m %U %G %n %T@\n' \) -o -printf '%P %y %m %U %G %n %s %l %T@\n' | sort
    find "${1:-.}" -type f -exec sha256sum {} + | sort
  }
  # Sizes, contents and blocks of files.
  show() {
    for file; do stat -c '%n %s bytes %b blocks' "$file"; sha256sum "$file"; done
  }
  # Names, types, modes, owners and links, for files whose times differ from run to run.
  names() { find "${1:-.}" -printf '%P %y %m %U %G %n %l\n' | sort; }
]=]

-- A tree to copy, with old times so that they are the same in both copies.
local make_source = prelude .. [=[
  mkdir -p a/b/c empty "with space"
  echo text >a/file; head -c 100000 /dev/zero | tr '\0' x >a/b/large; : >a/b/c/none
  printf 'line\n%.0s' {1..1000} >"with space/lines"
  ln -s ../a/file a/link; ln -s missing dangling; ln -s / absolute
  ln a/file a/b/hard; ln a/file "with space/hard"
  mkfifo fifo
  chmod 4755 a/file; chmod 1777 empty; chmod 2750 a/b; chmod 000 a/b/c/none
  chown 12:34 a/b/large "with space"; chown -h 56:78 dangling
  setfattr -n user.one -v 1 a/file; setfattr -n user.two -v 'two words' a/b
  find . -depth -exec touch -h -d '2001-02-03 04:05:06.123456789' {} +
]=]

local cases = {
  {
    "copied trees", [[
      cp -a "$SOURCE" copy && tree copy && getfattr -R -d -m '^user[.]' copy | sort
      cp -a copy again && rm -r copy && tree again
      diff -r --no-dereference "$SOURCE" again && rm -r again && ls -A]],
  },
  {
    "archives", [[
      tar cf tree.tar -C "$SOURCE" . && mkdir out && tar xpf tree.tar -C out && tree out
      tar cf - --sort=name -C out . | sha256sum
      tar df tree.tar -C out && rm -r out]],
  },
  {
    "synchronised trees", [[
      rsync -aHX "$SOURCE"/ out/ && tree out && echo changed >>out/a/file && rsync -aHXi --delete "$SOURCE"/ out/
      tree out]],
  },
  {
    "contents", [[
      seq 100000 >numbers
      cp numbers copy
      for at in 0 1 4095 4096 4097 100000 500000 588895; do
        printf 'piece at %d' $at | dd of=copy bs=1 seek=$at conv=notrunc status=none
      done
      dd if=numbers of=odd bs=777 count=300 status=none
      dd if=numbers of=parts bs=1000 count=10 skip=3 seek=5 status=none
      cat numbers odd >>parts; : >empty; echo -n x >one
      show *
      cmp numbers copy; tail -c 20 parts; head -c 3000 copy | tail -c 10
      sed -i s/99/nn/ odd && show odd && sort -rn numbers | head -3]],
  },
  {
    "truncated and sparse files", [[
      seq 10000 >file
      for size in 0 1 4096 4097 100 50000 12345 1000000 4095; do
        truncate -s $size file && show file && echo more >>file
      done
      truncate -s 10M sparse && show sparse && echo end | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
      show sparse; cp --sparse=never sparse copy; cmp sparse copy && truncate -s 0 sparse && show sparse
      : >file && show file; echo short >file; show file]],
  },
  {
    "modes, owners and umasks", [[
      (umask 027; mkdir d; echo >f; mkfifo p); (umask 0; mkdir open; echo >open/f)
      chmod 7777 f && chmod g-s f && chmod u=rw,go= p && chown 1000:2000 f && chown :3000 d && chmod 2775 d
      mkdir d/sub && echo >d/file && names && chown 5 f && names f
      for mode in 0 1 644 755 1777 2755 4711 7777; do
        touch m$mode; chmod $mode m$mode; stat -c '%n %a %A' m$mode
      done]],
  },
  {
    "symbolic links", [[
      echo text >file; mkdir dir; ln -s file link; ln -s link chain; ln -s dir dirlink; ln -s loop loop
      ln -s no dangling
      cat chain; echo more >>chain; cat file; readlink chain; readlink -f chain | sed 's|.*/||'
      echo in >dirlink/new; cat dir/new; cat loop; cat dangling; echo made >dangling; cat no
      ln -s file link; ln -sf dir link; readlink link; ln -sfn file dirlink; readlink dirlink
      ln -s "$(printf 'x%.0s' {1..4000})" long; readlink long | wc -c; stat -c '%s %F' long link; ls -l | wc -l
      mv link moved && readlink moved; rm chain && cat file; rmdir dangling; names]],
  },
  {
    "hard links", [[
      echo text >a; ln a b; mkdir d; ln b d/c; stat -c '%n %h' a b d/c
      [ $(stat -c %i a) = $(stat -c %i d/c) ] && echo same
      echo more >>d/c; cat a; chmod 600 b; stat -c %a a; rm a; cat b; stat -c %h b; ln b b; ln b d/c; ln d e
      ln no e
      ln -s b s; ln s t; stat -c '%n %F %h' s t b; mv b d/c; stat -c %h d/c; for i in {1..100}; do ln d/c l$i; done
      stat -c %h l50; rm l*; stat -c %h d/c; names]],
  },
  {
    "renames", [[
      echo a >a; echo b >b; mkdir d e e/sub f; echo in >d/in
      mv -v a c; mv -v c d/; mv b d/in; cat d/in; mv d e/; names; mv e/d/in e/d/out; mv -T f e/d/
      mv -T f e/sub && ls e
      mv e e/sub/x; mkdir g; echo h >h; mv -T g h; mv -T h g; mv no where; mv -n h g/ ; mv -v g/h .; names
      for i in {1..200}; do echo $i >n$i; done; for i in {1..200}; do mv n$i n$((i % 10)); done
      cat n0 n9; ls | wc -l]],
  },
  {
    "extended attributes", [[
      echo >f; mkdir d; setfattr -n user.a -v one f; setfattr -n user.b -v 0x00ff00 f; setfattr -n user.empty f
      setfattr -n user.dir -v yes d; getfattr -d -e hex f d | sort; getfattr -n user.a f; setfattr -n user.a -v two f
      getfattr --only-values -n user.a f; setfattr -x user.b f; getfattr f | sort; getfattr -n user.b f
      setfattr -x user.no f; setfattr -n user.big -v "$(printf 'v%.0s' {1..60000})" f
      getfattr --only-values -n user.big f | wc -c; cp --preserve=xattr f g; getfattr g | sort; rm f
      setfattr -n wrong.space -v x g]],
  },
  {
    "errors", [[
      echo >f; mkdir -p d/e; chmod 444 f; long=$(printf 'n%.0s' {1..256})
      rmdir d; rmdir f; rm d; mkdir d; mkdir f; mkdir no/x; cat d; cat f/x; echo >d; echo >no/x; ls no; cd f
      rmdir no
      ln d x; ln -s x f; touch $long; mkdir $long; cat $long; mv f $long; touch "${long:1}"; mv d f; mv f d/e/no/x
      stat no; truncate -s 5 d; truncate -s -1 f; mkfifo f; chmod 600 no; chown 1 no; readlink f
      setfattr -n user.x -v 1 no
      cp -r d d/e/x 2>&1 | tail -1; dd if=f of=d status=none; exec 5<f; echo x >&5; exec 5>&-; names | cut -c 1-300]],
  },
  {
    "unlinked files that are open", [[
      exec 3<>f; rm f; ls; echo text >&3; exec 4<>/proc/self/fd/3; cat <&4; stat -Lc '%s %h' /proc/self/fd/3
      echo new >f; cat f; dd if=/dev/zero bs=1000 count=50 status=none >&3; stat -Lc '%s %h' /proc/self/fd/3
      exec 3>&- 4>&-
      mkdir d; echo in >d/in; exec 3<d/in; rm -r d; cat <&3; mkdir d; ls d; exec 3<&-
      echo one >x; echo two >y; exec 3<x; mv y x; cat <&3; cat x; exec 3<&-
      mkdir gone; cd gone; rmdir ../gone; ls -la | wc -l; touch f; mkdir d; cd ..; ls]],
  },
  {
    "special files", [[
      mkfifo p; mknod c c 1 3; mknod b b 7 9; mknod big c 4000 1000000
      stat -c '%n %F %t %T %a %h' *; echo through >p & cat p; wait; test -p p; test -c c; rm c; mv p q; ls -1F
      cp -a b e; stat -c '%F %t %T' e]],
  },
  {
    "times", [[
      touch -d '1999-12-31 23:59:59.987654321' f; stat -c '%x %y' f; touch -a -d @5 f; stat -c '%x %y' f
      touch -m -d '2500-01-01' f; stat -c '%y' f; touch -d '1960-05-05 01:02:03.5' f; stat -c '%x' f
      mkdir d; touch -d @100 d; ln -s f l; touch -h -d @7.000000001 l; stat -c '%n %y' d l; touch -r d f; stat -c %Y f
      touch -d @100 d; echo >d/x; [ $(stat -c %Y d) -gt 100 ] && echo d; touch -d @100 d; rm d/x
      [ $(stat -c %Y d) -gt 100 ] && echo d; touch -d @100 f; : >>f; stat -c %Y f; echo x >>f
      [ $(stat -c %Y f) -gt 100 ] && echo f; touch -d @100 f; chmod 600 f; stat -c %Y f
      [ $(stat -c %Z f) -gt 100 ] && echo c; touch -d @100 f; mv f g
      stat -c %Y g; [ -z "$(find . -newermt now+1min)" ] && echo past; touch -c no; ls]],
  },
  {
    "directories", [[
      mkdir -p $(printf 'd/%.0s' {1..50}) && find . | wc -l; touch {1..1000}; ls -1f | sort | sha256sum; rm {1..999}; ls
      stat -c %h . d; mkdir x y z; stat -c %h .; rmdir x y; stat -c %h .; rm -r d; find . | sort
      touch -- -dash 'new
line' '*' "quote'" $'\x80\xff' .hidden ..double; ls -Ab | sort; rm -- -dash * .h*; ls -A]],
  },
  {
    "work of programs", [[
      printf 'all: out\nout: in\n\ttr a-z A-Z <in >out\n' >Makefile; echo text >in; make -s; cat out; make
      printf '#!/bin/sh\necho ran $1\n' >run; chmod 755 run; ./run well; gzip -k Makefile
      zcat Makefile.gz | sha256sum
      for i in {1..50}; do echo $i & done >all; wait; sort -n all | sha256sum; (flock 9; echo locked) 9>lock
      split -b 7 in part-; cat part-*; ls; install -D -m 640 in deep/er/copy; names deep; xargs -n1 <in; wc -c *]],
  },
}

-- The same through system calls: the text runs in the directory and prints what it sees.
local calls = {
  {
    "rename flags", [[
      local function file(name, text)
        local fd = must.open(name, "rdwr creat trunc", "644")
        must.write(fd, text)
        must.close(fd)
      end
      local function text(name)
        local fd, err = sys.open(name, "rdonly")
        if not fd then return err end
        local data = sys.read(fd, 100)
        must.close(fd)
        return data
      end
      file("a", "1") file("b", "2") must.mkdir("d") must.mkdir("e") file("d/in", "3")
      print(sys.rename2("a", "b", "noreplace"), text "a", text "b")
      print(sys.rename2("a", "c", "noreplace"), text "a", text "c")
      print(sys.rename2("b", "c", "exchange"), text "b", text "c")
      print(sys.rename2("b", "d", "exchange"), text "d", text "b/in")
      print(sys.rename2("b", "e", "exchange"), text "e/in", sys.rmdir "b")
      print(sys.rename2("e", "no", "exchange"), sys.rename2("no", "e", "exchange"))
      print(sys.rename2("e", "e/x", "exchange"))
      print(sys.rename2("c", "e/c", "noreplace exchange"), text "c", must.stat("e").nlink)
      print(sys.rename2("c", "w", "whiteout"), text "w", must.lstat("c").type, must.lstat("c").rdev[1])]],
  },
  {
    "open flags, positions and limits", [[
      local fd = must.open("f", "rdwr creat excl", "600")
      print(sys.open("f", "rdwr creat excl", "600"), sys.open("f", "rdonly directory"), sys.open(".", "wronly"))
      print(must.write(fd, "0123456789"), must.pwrite(fd, "abc", 20), must.lseek(fd, 0, "cur"))
      print(must.lseek(fd, 0, "end"))
      print((must.pread(fd, 100, 5):gsub("%z", "0")), #must.pread(fd, 100, 23), #must.pread(fd, 100, 1000))
      local append = must.open("f", "wronly append")
      print(must.write(append, "end"), must.pwrite(append, "END", 0), must.fstat(fd).size)
      print(must.lseek(append, 0, "cur"))
      print(sys.read(append, 1), sys.pread(fd, 5, -1), sys.lseek(fd, -1, "set"), sys.ftruncate(fd, -1))
      print(must.ftruncate(fd, 4), (must.pread(fd, 100, 0)), must.fstat(append).size, sys.fsync(fd), sys.fdatasync(fd))
      print(sys.lseek(fd, 0, "data"), must.fstat(fd).size)
      must.writev(fd, { "one ", "two ", "three" })
      must.lseek(fd, 0, "set")
      print((must.readv(fd, { 4, 4, 100 }):gsub("%z", "0")))
      print(sys.link("f", "f"), sys.unlink("."), sys.rmdir("."), sys.rename(".", "x"), sys.mkdir("f/x"))
      print(sys.unlink("f/"), sys.unlink(""))]],
  },
  {
    "shared mappings", [[
      local fd = must.open("f", "rdwr creat", "600")
      must.ftruncate(fd, 10000)
      local p = must.mmap(10000, "read write", "shared", fd, 0)
      p[0], p[4095], p[4096], p[9999] = 65, 66, 67, 68
      must.msync(p, 10000, "sync")
      local data = must.pread(fd, 10000, 0)
      print(#data, data:byte(1), data:byte(4096), data:byte(4097), data:byte(10000))
      must.pwrite(fd, "new", 5000)
      print(p[5000], p[5001], p[5002])
      must.munmap(p, 10000)
      must.close(fd)
      fd = must.open("f", "rdonly")
      print((must.pread(fd, 3, 5000)), must.pread(fd, 1, 9999))]],
  },
}

-- The example filesystem does without fallocate.
local allocation = {
  "space given and taken back", [[
    local fd = must.open("f", "rdwr creat", "600")
    must.write(fd, ("x"):rep(20000))
    print(sys.fallocate(fd, 0, 0, 50000), must.fstat(fd).size)
    print(sys.fallocate(fd, "keep_size", 0, 90000), must.fstat(fd).size)
    print(sys.fallocate(fd, "punch_hole keep_size", 4096, 8192), must.fstat(fd).size)
    print(must.pread(fd, 2, 4095):byte(1, 2))
    print(sys.fallocate(fd, "punch_hole keep_size", 15000, 10), (must.pread(fd, 12, 14999):gsub("%z", "0")))
    print(sys.lseek(fd, 0, "hole"), sys.lseek(fd, 5000, "data"), sys.lseek(fd, 60000, "data"))
    print(sys.fallocate(fd, 0, 0, 0), sys.fallocate(fd, 0, -1, 5))]],
}

local scripts = {
  ["examples/memfs.lua"] = { script = "examples/memfs.lua" },
  ["fractal.memoryfs"] = { source = 'return require("fractal.memoryfs") { name = "memoryfs" }' },
}

-- Runs a command in a fresh directory below base; what it prints, with all names of the place taken out.
local function output_in(run, base, command, source)
  local _, out, status = run(("mkdir %q/work && cd %q/work && export SOURCE=%q && %s"):format(base, base, source or "",
    command))
  assert.is_true(status ~= 124, out)
  return (out:gsub(base:gsub("%p", "%%%0"), "BASE"):gsub("line %d+: ", ""))
end

for name, settings in pairs(scripts) do
  helper.each_transport(function(transport)
    describe(name, function()
      after_each(helper.teardown)

      local m, tmpfs

      before_each(function()
        m = helper.mount { script = settings.script, source = settings.source, transport = transport }
        tmpfs = helper.tmpfs()
      end)

      -- Asserts that the command prints the same on both, and something at all.
      local function assert_same_output(command, source)
        local function run(text) return m:sh(text, 20) end
        local expected = output_in(run, tmpfs, command, source)
        assert.is_true(#expected > 0)
        assert.equal(expected, output_in(run, m.dir, command, source))
        assert.equal(m.ready .. "\n", m.log())
      end

      for _, case in ipairs(cases) do
        it("does as tmpfs does: " .. case[1], function()
          local source = helper.tmpfs()
          local ok, out = m:sh(("cd %s && %s"):format(source, make_source), 10)
          assert.is_true(ok, out)
          assert_same_output(prelude .. case[2], source)
        end)
      end

      for _, case in ipairs(calls) do
        it("does as tmpfs does: " .. case[1], function()
          assert_same_output(client.command(case[2]))
        end)
      end

      if not settings.script then
        it("does as tmpfs does: " .. allocation[1], function()
          assert_same_output(client.command(allocation[2]))
        end)
      end

      it("counts space and inodes in statfs", function()
        local function usage()
          local out = client.output(m, [[
            local st = must.statvfs(MNT)
            print(st.frsize, st.bfree, st.ffree, st.namemax)]], 5)
          local frsize, free, files, name_max = out:match("^(%d+)%s+(%d+)%s+(%d+)%s+(%d+)\n$")
          return tonumber(frsize) * tonumber(free), tonumber(files), tonumber(name_max)
        end
        local free, files, name_max = usage()
        assert.equal(255, name_max)
        assert.is_true(m:sh("cd $MNT && head -c 5M /dev/zero >a && ln a b && mkdir d && echo x >d/c && sync a", 10))
        local less, fewer = usage()
        assert.equal(5 * 2 ^ 20 + 4096, free - less)
        assert.equal(3, files - fewer)
        assert.is_true(m:sh("rm -r $MNT/*", 10))
        helper.eventually(5, function() return select(2, usage()) == files end)
        assert.same({ free, files }, { (usage()), (select(2, usage())) })
      end)

      it("keeps contents through the page cache and without it", function()
        assert.is_true(m:sh([[
          cd $MNT && head -c 3000000 /dev/urandom >a && sum=$(sha256sum <a) &&
          dd of=a oflag=nocache conv=notrunc,fdatasync count=0 status=none && # drops the file's pages
          [ "$(sha256sum <a)" = "$sum" ] && dd if=a of=b bs=64k oflag=direct iflag=fullblock conv=notrunc status=none &&
          [ "$(dd if=b bs=1M iflag=direct status=none | sha256sum)" = "$sum" ] &&
          dd if=a of=c bs=4097 status=none && cmp a c]], 20))
      end)

      it("serves other users with their rights only", function()
        m:unmount()
        m = helper.mount {
          script = settings.script, source = settings.source, transport = transport, options = { "allow_other" },
        }
        assert(sys.chmod(m.dir:match("^(.*)/"), "755"))
        assert.is_true(m:sh("cd $MNT && chmod 755 . && mkdir -m 1777 shared && echo secret >s && chmod 600 s", 5))
        local _, out = m:sh([[
          cd $MNT; cat s; rm s; touch new; touch shared/mine && stat -c '%u %g' shared/mine; chmod 777 s
          chown 0 shared/mine; chmod 640 shared/mine && stat -c %a shared/mine]], 5, { user = 65534 })
        assert.equal([[
cat: s: Permission denied
rm: cannot remove 's': Permission denied
touch: cannot touch 'new': Permission denied
65534 65534
chmod: changing permissions of 's': Operation not permitted
chown: changing ownership of 'shared/mine': Operation not permitted
640
]], out)
      end)
    end)
  end)
end
