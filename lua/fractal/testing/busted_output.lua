--- Output of busted: prints one line for each spec with its time, every failure in full, and totals that
-- scripts/test.sh and `fractal-lua test` add up: the last line is "N passed, N failed".
--
-- A spec that runs many cases of its own at once counts them with busted.publish({ "cases" }, passed, failed).

local pretty = require "pl.pretty"

local function text_of(message)
  return type(message) == "string" and message or message == nil and "no message" or pretty.write(message)
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local started = 0
  local cases = { passed = 0, failed = 0 }

  local function say(fmt, ...)
    io.write(fmt:format(...), "\n")
    io.flush()
  end

  local function show(failure)
    local trace = failure.trace or {}
    say("not ok  %s", failure.name)
    if trace.short_src then
      say("    %s:%d", trace.short_src, trace.currentline or 0)
    end
    say("    %s", (text_of(failure.message):gsub("\n", "\n    ")))
    if failure.isError and trace.traceback then
      say("    %s", (trace.traceback:gsub("^\n", ""):gsub("\n", "\n    ")))
    end
  end

  local function test_start()
    started = busted.monotime()
    return nil, true
  end

  local function test_end(element, _, status)
    if status == "success" then
      say("ok  %s (%.2f s)", handler.getFullName(element), busted.monotime() - started)
    elseif status == "pending" then
      local message = handler.pendings[#handler.pendings].message
      say("pending  %s%s", handler.getFullName(element), message and ": " .. text_of(message) or "")
    elseif status == "failure" then
      show(handler.failures[#handler.failures])
    else
      show(handler.errors[#handler.errors])
    end
    return nil, true
  end

  -- Errors outside a spec: in after_each, in a file that does not load.
  local function outside_error(element)
    if element.descriptor ~= "it" then
      show(handler.errors[#handler.errors])
    end
    return nil, true
  end

  local function suite_end()
    local bad = handler.failuresCount + handler.errorsCount + cases.failed
    if handler.pendingsCount > 0 then
      say("%d pending", handler.pendingsCount)
    end
    say("%d passed, %d failed", handler.successesCount + cases.passed, bad)
    return nil, true
  end

  local function count_cases(passed, failed)
    cases.passed, cases.failed = cases.passed + passed, cases.failed + failed
    return nil, true
  end

  busted.subscribe({ "cases" }, count_cases)
  busted.subscribe({ "test", "start" }, test_start)
  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "failure" }, outside_error)
  busted.subscribe({ "error" }, outside_error)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
