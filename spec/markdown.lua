--- The project's documents as the specs read them: marked code blocks, links, headings.
--
-- An HTML comment before a fenced block tells what the block is to a spec:
--
--   <!-- file NAME -->            the text of a file; with ", N lines" it has that many
--   <!-- session -->              commands behind "$ " with the output that follows each. The mountpoint is /mnt,
--                                 the directory of the files is the current one and may be called /srv. "…" stands
--                                 for any text in a line, and alone for any lines. `<!-- session FILE.svg -->` has a
--                                 picture, which bindings/pictures.lua makes.
--   <!-- log -->                  lines that the last session's log has, in this order
--   <!-- options -->              a list to be compared with `fractal-lua --help`

local process = require "spec.process"

local markdown = {}

--- Paths of all documents.
function markdown.documents()
  local list = { "README.md", "CONTRIBUTING.md" }
  local pipe = assert(io.popen("ls docs/*.md"))
  for path in pipe:lines() do
    list[#list + 1] = path
  end
  pipe:close()
  return list
end

--- The lines of a text, as a list.
function markdown.lines(text)
  local list = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("([^\n]*)\n") do
    list[#list + 1] = line
  end
  return list
end

--- The fenced blocks of a document: { mark, argument, language, text, line }; mark is nil where no comment stands
-- before.
function markdown.blocks(path)
  local list, block, mark, argument = {}, nil, nil, nil
  for number, line in ipairs(markdown.lines(process.read_file(path))) do
    local fence = line:match("^```(.*)$")
    if block and fence then
      block.text = table.concat(block.lines, "\n") .. "\n"
      list[#list + 1] = block
      block, mark, argument = nil, nil, nil
    elseif block then
      block.lines[#block.lines + 1] = line
    elseif fence then
      block = { mark = mark, argument = argument, language = fence, line = number, lines = {} }
    elseif line ~= "" then
      mark, argument = line:match("^<!%-%- (%l+) ?(.-) %-%->$")
    end
  end
  return list
end

--- A document's text without its fenced blocks.
function markdown.prose(path)
  local out, inside = {}, false
  for _, line in ipairs(markdown.lines(process.read_file(path))) do
    local fence = line:match("^```")
    if fence then
      inside = not inside
    end
    out[#out + 1] = (inside or fence) and "" or line
  end
  return table.concat(out, "\n")
end

--- Targets of the links of a document: { target, line }.
function markdown.links(path)
  local list = {}
  for number, line in ipairs(markdown.lines(markdown.prose(path))) do
    for target in line:gmatch("%]%(([^)%s]+)%)") do
      list[#list + 1] = { target = target, line = number }
    end
  end
  return list
end

--- The anchors that headings of a document make.
function markdown.anchors(path)
  local set = {}
  for _, line in ipairs(markdown.lines(markdown.prose(path))) do
    local title = line:match("^#+ (.*)$")
    if title then
      set[title:lower():gsub("[^%w%- _]", ""):gsub(" ", "-")] = true
    end
  end
  return set
end

--- The sessions of a document in their order: { line, steps = { { command, expected } }, files = name → text,
-- log = lines, picture = path or nil }.
function markdown.sessions(path)
  local list, files = {}, {}
  for _, block in ipairs(markdown.blocks(path)) do
    if block.mark == "file" then
      files[block.argument:match("^[^,]+")] = block.text
    elseif block.mark == "session" then
      local session = { line = block.line, steps = {}, files = {}, picture = block.argument:match "%S+%.svg" }
      for name, text in pairs(files) do
        session.files[name] = text
      end
      for _, line in ipairs(block.lines) do
        local command = line:match("^%$ (.*)$") or line:match("^%^C$")
        if command then
          session.steps[#session.steps + 1] = { command = command, expected = {} }
        else
          table.insert(session.steps[#session.steps].expected, line)
        end
      end
      list[#list + 1] = session
    elseif block.mark == "log" then
      list[#list].log = block.lines
    end
  end
  return list
end

return markdown
