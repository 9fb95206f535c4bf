-- A table of comma-separated values as directories: each row a directory by its first cell, each other cell a file.
--
--   fractal-lua -o file=people.csv examples/cookbook/csv.lua /mnt
--   cat /mnt/rows/ada/city; grep -l London /mnt/rows/*/city
--
-- What it shows: fractal.tree makes files and directories out of nested tables and functions. The directory `rows` is
-- made anew whenever it is looked at, so rows that are added show up.

local fractal = require "fractal"

local fs

-- The cells of each line: { { "name", "city" }, { "ada", "London" }, … }
local function read_lines()
  local lines = {}
  for line in io.lines(fs.options.file) do
    local cells = {}
    for cell in (line .. ","):gmatch "%s*(.-)%s*," do
      cells[#cells + 1] = cell
    end
    lines[#lines + 1] = cells
  end
  return lines
end

local function rows()
  local all, lines = {}, read_lines()
  for i = 2, #lines do
    local row = {}
    for column = 2, #lines[1] do
      row[lines[1][column]] = (lines[i][column] or "") .. "\n"
    end
    all[lines[i][1]] = row
  end
  return all
end

local function columns()
  return table.concat(read_lines()[1], "\n") .. "\n"
end

fs = fractal.tree({ ["rows/"] = rows, columns = columns }, {
  name = "csv",
  attr_ttl = 0, entry_ttl = 0, -- the table may change at any time
  options = { file = "the table: its first line names the columns" },
})

function fs.prepare()
  if not fs.options.file then return nil, "say which table: -o file=TABLE" end
  local file, reason = io.open(fs.options.file, "r")
  if not file then return nil, reason end
  file:close()
end

return fs
