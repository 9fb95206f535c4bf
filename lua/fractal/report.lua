--- What is said when a script makes a mistake: an error in a handler or task, a result of the wrong shape, a handler
-- that is missing. What comes again and again is counted (fractal.fold).
--
-- A failing handler costs its worker some 15 us when it was reported before: its coroutine is replaced, the place of
-- the error looked up, and a number grows. A wrong result costs less than 3 us.

local ffi = require "ffi"
require "fractal.cdef"
local advice = require "fractal.advice"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local fold = require "fractal.fold"
local log = require "fractal.log"
local traceback = require "fractal.traceback"
local types = require "fractal.types"

local C, E = ffi.C, errno.E

local report = {}

local MAX_MESSAGE = 2000 -- bytes of an error's text
local MAX_FIELDS = 4 -- of an error that is a table

local served -- the script's filesystem
local told = {} -- what has been said once

--- What is reported from now on is of this filesystem; nothing of it was reported before.
function report.serve(fs)
  served, told = fs, {}
  fold.flush()
end

--- What a request asks for, in the terms of the filesystem's kind: "read of inode 2", or of a path.
function report.subject(req)
  return filesystem.subject(served, req)
end

local buffer = ffi.new("char[?]", C.FRACTAL_ARGUMENTS_MAX)

local function arguments_of(req)
  local length = tonumber(C.fractal_request_arguments(req, buffer))
  return length > 0 and ffi.string(buffer, length) or nil
end

-- errors --------------------------------------------------------------------------------------------------------

--- An error value as text: scripts may raise anything.
local function text_of(err)
  local meta = type(err) == "table" and getmetatable(err)
  if type(err) ~= "table" or type(meta) == "table" and meta.__tostring then
    local text = tostring(err)
    return #text > MAX_MESSAGE and text:sub(1, MAX_MESSAGE) .. "…" or text
  end
  local fields = {}
  for key, value in pairs(err) do
    if #fields == MAX_FIELDS then
      fields[#fields + 1] = "…"
      break
    end
    fields[#fields + 1] = ("%s = %s"):format(tostring(key), tostring(value))
  end
  return ("an error that is a table: { %s }"):format(table.concat(fields, ", "))
end

--- The lines of a message: what failed, the error, where, and the outcome.
local function block(title, details, err, frames, outcome)
  local lines = { title }
  if details then
    lines[#lines + 1] = "  arguments: " .. details
  end
  lines[#lines + 1] = "  " .. text_of(err):gsub("\n", "\n  ")
  for _, line in ipairs(traceback.lines(frames)) do
    lines[#lines + 1] = line
  end
  if outcome then
    lines[#lines + 1] = "  " .. outcome
  end
  return lines
end

local function write_block(...)
  log.block("error", block(...))
end

--- An error ended a coroutine, whose stack is still there. Where a request is in hand its handler raised it, and the
-- caller gets EIO. `what` names what ran where there is none.
function report.failed(pointer, err, co, what)
  local req = pointer and ffi.cast("struct fractal_request *", pointer)
  local operation = req and types.op_names[req.opcode] or what
  local place = traceback.place(co, 0, err)
  local key = operation .. place
  if not fold.again(key) then
    fold.begin(key, ("%s at %s"):format(operation, place))
    local frames = traceback.frames(co, 0, err)
    if req then
      write_block(("error in %s by %s"):format(report.subject(req), log.caller(req)), arguments_of(req), err,
        frames, "the caller got EIO")
    else
      write_block("error in " .. what, nil, err, frames)
    end
  end
  if req then
    C.fractal_reply(req, -E.IO)
  end
end

--- A handler for xpcall, around what is not to end its coroutine: keeps the error with its frames for report.caught.
function report.catch(err)
  return { err = err, place = traceback.place(nil, 1, err), frames = traceback.frames(nil, 1, err) }
end

--- The same for an error that has ended a coroutine.
function report.of_dead(co, err)
  return { err = err, place = traceback.place(co, 0, err), frames = traceback.frames(co, 0, err) }
end

--- What report.catch kept; of an error in that handler, where the stack had no room for it, only the text.
local function kept_of(value)
  return type(value) == "table" and value.frames and value or { err = value, place = "?", frames = {} }
end

--- The text of what report.catch kept, for where there is no mount yet. `title` begins it.
function report.text(title, kept)
  kept = kept_of(kept)
  return table.concat(block(title, nil, kept.err, kept.frames), "\n")
end

--- Reports what report.catch kept. `what`: where it happened. `outcome`: what came of it, if anything. `about`: more
-- for the title, by which repeated ones do not differ.
function report.caught(what, kept, outcome, about)
  kept = kept_of(kept)
  local key = what .. kept.place
  if not fold.again(key) then
    fold.begin(key, ("%s at %s"):format(what, kept.place))
    write_block("error in " .. what .. (about or ""), nil, kept.err, kept.frames, outcome)
  end
end

-- results -------------------------------------------------------------------------------------------------------

--- A value as a message shows it.
function report.show(value)
  if type(value) == "string" then
    return ("the string %q"):format(#value > 40 and value:sub(1, 40) .. "…" or value)
  elseif type(value) == "table" then
    return "a table"
  end
  return tostring(value)
end

--- A handler returned something that makes no sense. `subject(…)` is the operation with what it was asked for.
function report.wrong(operation, came, expected, subject, ...)
  local key = operation .. came .. expected
  if not fold.again(key) then
    fold.begin(key, ("%s returned %s"):format(operation, came))
    log.error("%s returned %s; expected %s", subject(...), came, expected)
  end
end

--- A table that a handler returned has a field that its structure has not. Said once for each operation and field.
function report.unknown_field(structure, field, fields)
  local worker = C.fractal_worker_current()
  local req = worker ~= nil and C.fractal_worker_in_hand(worker) or nil
  local operation = req ~= nil and types.op_names[req.opcode] or "a handler"
  local key = ("%s %s %s"):format(operation, structure, tostring(field))
  if not told[key] then
    told[key] = true
    log.warn("%s returned a table with the field '%s', which %s has not: it is ignored%s", operation, tostring(field),
      structure, filesystem.did_you_mean(field, fields))
  end
end

-- missing handlers -----------------------------------------------------------------------------------------------

--- Says once in this state that a part of an operation has no handler, by path.
function report.missing_part(operation, path, err)
  local req = C.fractal_worker_in_hand(C.fractal_worker_current())
  if not told[operation] then
    told[operation] = true
    log.warn("%s", advice.missing(operation, req, filesystem.kind(served).signatures, err, path))
  end
end

--- An operation that has no handler answers -default. Says once in a session why it failed.
function report.without_handler(row, req, default)
  if default ~= 0 and advice.is_worth(row.name)
    and C.fractal_session_first(C.fractal_worker_session(req.worker), row.opcode) then
    log.warn("%s", advice.missing(row.name, req, filesystem.kind(served).signatures, -default))
  end
end

return report
