--- Tables as they were: what a reload that fails puts back.

local saved = {}

--- Makes a table hold what the other one holds.
function saved.assign(into, from)
  for key in next, into do
    if rawget(from, key) == nil then
      rawset(into, key, nil)
    end
  end
  for key, value in next, from do
    rawset(into, key, value)
  end
end

--- Returns a function that puts the table's fields back as they are now.
function saved.of(into)
  local copy = {}
  saved.assign(copy, into)
  return function()
    saved.assign(into, copy)
  end
end

return saved
