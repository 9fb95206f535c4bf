-- Where io_uring is forbidden fractal.io and timers run on threads, and the log says so once.

local exercises = require "spec.io_exercises"
local helper = require "spec.helper"
local observed = require "spec.observed"
local prometheus = require "spec.prometheus"
local script = require "spec.script"
local sys = require "fractal.testing.sys"

describe("without io_uring", function()
  local binary = helper.binary

  before_each(function()
    local wrapper = helper.directory() .. "/fractal-lua"
    helper.write_file(wrapper, ("#!/bin/sh\nexec python3 %s/spec/without_uring.py %s \"$@\"\n"):format(sys.getcwd(),
      binary))
    assert(sys.chmod(wrapper, "755"))
    helper.binary = wrapper
  end)

  after_each(function()
    helper.binary = binary
    helper.teardown()
  end)

  it("every operation runs on a thread, and the log says why", function()
    local m = helper.mount { source = exercises.source, options = { dir = helper.directory() } }
    assert.truthy(m.ready:find("transport dev", 1, true), m.ready)
    exercises.assert_all(m)
    local _, times = m.log():gsub("io_uring is not allowed here: what handlers wait for runs on threads", "")
    assert.equal(1, times, m.log())
    assert.equal(0, m:unmount())
  end)

  it("metrics are served, also while a handler holds the worker", function()
    local where = "unix:" .. helper.directory() .. "/metrics"
    local m = helper.mount { source = script.one_file(observed.handlers), workers = 1, args = { "--metrics", where } }
    local stop = observed.load(m)
    assert.is_true(prometheus.value(observed.scrape(where), "fractal_requests_total", "lookup") > 0)
    stop()
    local release = observed.hold(m)
    assert.equal(1, prometheus.value(observed.scrape(where), "fractal_requests_in_hand"))
    release()
    assert.equal(0, prometheus.value(observed.scrape(where), "fractal_requests_in_hand"))
    assert.equal(0, m:unmount())
  end)

  it("thousands of tasks sleep, and a caller's signal ends what its handler waits for", function()
    local m = helper.mount { source = script.one_file [[
      ffi.cdef "int pipe(int *);"
      local ends = ffi.new("int[2]")
      ffi.C.pipe(ends)
      function fs.getxattr(req, ino, name)
        local left, done = 2000, fractal.queue()
        for _ = 1, left do
          fractal.spawn(function()
            fractal.io.sleep(0.1)
            left = left - 1
            if left == 0 then done:put("all") end
          end)
        end
        return done:get(10)
      end
      function fs.read()
        fractal.log.info("waiting")
        local _, err = fractal.io.read(ends[0], 10)
        fractal.log.info("ended with %s", tostring(err))
        return nil, err
      end]] }
    local ok, out = m:sh("getfattr --absolute-names --only-values -n user.tasks $MNT", 15)
    assert.is_true(ok, m.log())
    assert.equal("all", out)
    local reader = m:start "exec cat $MNT/file"
    assert.truthy(helper.eventually(5, function() return m.log():find("waiting", 1, true) end))
    reader:kill("int")
    assert.truthy(reader:wait(5), "a reader that hangs")
    assert.truthy(helper.eventually(5, function() return m.log():find("ended with 4\n", 1, true) end), m.log())
    reader = m:start "exec cat $MNT/file"
    assert.truthy(helper.eventually(5, function() return select(2, m.log():gsub("waiting", "")) > 1 end))
    m:kill("term")
    sys.sleep(0.3)
    m:kill("term") -- what still waits is given up
    assert.truthy(m:wait(10), m.log())
    assert.truthy(reader:wait(5), "a reader that hangs")
  end)
end)
