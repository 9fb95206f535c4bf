--- A strict reader of Prometheus' text format (version 0.0.4): what it accepts, a scraper accepts.

local prometheus = {}

local function fail(number, line, why)
  error(("line %d: %s: %s"):format(number, why, line), 0)
end

-- `op="read",le="0.5"` → { op = "read", le = "0.5" }
local function read_labels(text, number)
  local labels, rest = {}, text
  while rest ~= "" do
    local name, after = rest:match('^([%a_][%w_]*)="(.*)$')
    if not name or labels[name] then
      fail(number, text, "no label, or a second one of that name")
    end
    local value = ""
    while true do
      local plain, stop, more = after:match('^([^\\"]*)([\\"])(.*)$')
      if not plain then
        fail(number, text, "a label's value does not end")
      end
      value = value .. plain
      if stop == '"' then
        rest = more
        break
      end
      local escaped = ({ n = "\n", ["\\"] = "\\", ['"'] = '"' })[more:sub(1, 1)] or fail(number, text, "a wrong escape")
      value, after = value .. escaped, more:sub(2)
    end
    labels[name] = value
    rest = rest:match("^,(.+)$") or (rest == "" and "" or fail(number, text, "no comma between labels"))
  end
  return labels
end

local function read_number(text, number)
  local special = { ["+Inf"] = math.huge, ["-Inf"] = -math.huge }
  if special[text] then
    return special[text]
  elseif not text:find("^[+-]?%d[%d.]*[eE]?[+-]?%d*$") then
    fail(number, text, "no number")
  end
  return tonumber(text) or fail(number, text, "no number")
end

local suffixes = { counter = { "" }, gauge = { "" }, histogram = { "_bucket", "_sum", "_count" } }

local function belongs(name, family)
  for _, suffix in ipairs(suffixes[family.kind]) do
    if name == family.name .. suffix then
      return true
    end
  end
  return false
end

-- Buckets of one operation grow with their bounds, and the last one, +Inf, is the count.
local function check_histogram(family)
  local series = {}
  for _, sample in ipairs(family.samples) do
    local op = sample.labels.op
    series[op] = series[op] or { last = -1, bound = 0 }
    local s = series[op]
    if sample.name == family.name .. "_bucket" then
      local bound = read_number(sample.labels.le, 0)
      assert(bound > s.bound, "bounds grow: " .. op)
      assert(sample.value >= s.last, "buckets are cumulative: " .. op)
      s.last, s.bound = sample.value, bound
    else
      s[sample.name:match("_(%a+)$")] = sample.value
    end
  end
  for op, s in pairs(series) do
    assert(s.bound == math.huge, "the last bound is +Inf: " .. op)
    assert(s.count == s.last, "the last bucket is the count: " .. op)
    assert(s.sum > 0, "a sum: " .. op)
  end
end

--- Reads a whole text. Returns the families by name, each { kind, help, samples = { { name, labels, value } } }; raises
-- where a scraper would refuse.
function prometheus.read(text)
  local families, current, seen, number = {}, nil, {}, 0
  if text:sub(-1) ~= "\n" then
    error("the last line does not end", 0)
  end
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local help_name, help = line:match("^# HELP ([%a_:][%w_:]*) (.+)$")
    local type_name, kind = line:match("^# TYPE ([%a_:][%w_:]*) (%a+)$")
    if help_name then
      if families[help_name] then
        fail(number, line, "a family twice")
      end
      current = { name = help_name, help = help, samples = {} }
      families[help_name] = current
    elseif type_name then
      if not current or type_name ~= current.name or current.kind or not suffixes[kind] then
        fail(number, line, "a type in the wrong place, or an unknown one")
      end
      current.kind = kind
    else
      local name, labels, value = line:match("^([%a_:][%w_:]*)(%b{}) (%S+)$")
      if not name then
        name, value = line:match("^([%a_:][%w_:]*) (%S+)$")
        labels = "{}"
      end
      if not name or not current or not current.kind or not belongs(name, current) then
        fail(number, line, "no sample of the family")
      elseif seen[name .. labels] then
        fail(number, line, "a sample twice")
      end
      seen[name .. labels] = true
      table.insert(current.samples, {
        name = name, labels = read_labels(labels:sub(2, -2), number), value = read_number(value, number),
      })
    end
  end
  for _, family in pairs(families) do
    if family.kind == "histogram" then
      check_histogram(family)
    elseif family.kind == "counter" then
      assert(family.name:find("_total$"), family.name)
    end
  end
  return families
end

--- The value of the one sample with that name and, where given, operation; nil where there is none.
function prometheus.value(families, name, op)
  for _, family in pairs(families) do
    for _, sample in ipairs(family.samples) do
      if sample.name == name and sample.labels.op == op and not sample.labels.le then
        return sample.value
      end
    end
  end
end

return prometheus
