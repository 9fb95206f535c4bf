-- The completions of bash, zsh and fish, asked as each shell asks them.

local help = require "packaging.help"
local helper = require "spec.helper"
local process = require "spec.process"
local staged = require "spec.packaging.staged"

local completions = staged.build .. "/packaging/"

-- A directory with a script, a text, and a directory.
local function directory()
  local path = helper.directory()
  helper.write_file(path .. "/hello.lua", "")
  helper.write_file(path .. "/notes.txt", "")
  assert(require("fractal.testing.sys").mkdir(path .. "/mount", "755"))
  return path
end

-- Shell → a text that prints the candidates for the command line $LINE, one on each line.
local ask = {
  bash = [==[
source "$COMPLETIONS/fractal-lua.bash"
COMP_LINE=$LINE COMP_POINT=${#LINE}
# As readline splits the words.
read -ra COMP_WORDS <<<"${LINE//=/ = }"
[[ $LINE == *[[:space:]=] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_fractal_lua
printf '%s\n' "${COMPREPLY[@]}"
]==],
  fish = [[
source $COMPLETIONS/fractal-lua.fish
complete -C $LINE | string replace -r '\t.*' ''
]],
}

-- The candidates in a shell, as a set; the last one's common beginning with the line is not cut off.
local function candidates(shell, line)
  local result = process.run({ shell, "-c", ask[shell] }, 20,
    { cwd = directory(), env = { LINE = line, COMPLETIONS = completions, HOME = helper.directory() } })
  assert.equal("", result.err)
  local set = {}
  for word in result.out:gmatch "[^\n]+" do
    set[word] = true
  end
  return set
end

local cases = {
  -- line, what must be there, what must not; bash's candidates begin behind "=", fish's do not
  { "fractal-lua --", { "--help", "--trace", "--doctor" }, { "hello.lua" } },
  { "fractal-lua --bac", { "--background" }, { "--help" } },
  { "fractal-lua -o ", { "workers=", "ro", "writeback_cache", "nowriteback_cache" }, { "--help" } },
  { "fractal-lua -o ro,wor", { "ro,workers=" }, { "workers=" } },
  { "fractal-lua -o ro,allow_other -o wor", { "workers=" }, { "ro" } },
  { "fractal-lua he", { "hello.lua" }, { "notes.txt" } },
  { "fractal-lua hello.lua ", { "mount/" }, { "notes.txt", "hello.lua" } },
}

local per_shell = {
  bash = {
    { "fractal-lua -o ro,tran", { "ro,transport=" }, { "transport=" } },
    { "fractal-lua -o transport=u", { "uring" }, { "dev" } },
    { "fractal-lua -o ro,transport=", { "uring", "dev", "auto" }, { "ro" } },
    { "fractal-lua --trace=loo", { "lookup" }, { "read" } },
    { "fractal-lua --trace=lookup,rea", { "lookup,read", "lookup,readdir" }, { "read" } },
    { "fractal-lua --log no", { "notes.txt" }, { "hello.lua" } },
    { "fractal-lua flamegraph -o no", { "notes.txt" }, { "hello.lua" } },
  },
  fish = {
    { "fractal-lua -o ro,tran", { "ro,transport=dev" }, { "transport=dev" } },
    { "fractal-lua -o transport=u", { "transport=uring" }, { "transport=dev" } },
    { "fractal-lua --trace=loo", { "--trace=lookup" }, { "--trace=read" } },
  },
}

for shell in pairs(ask) do
  describe("completion in " .. shell, function()
    after_each(helper.teardown)

    local function check(case)
      it(("of %q"):format(case[1]), function()
        if not staged.has(shell) then
          return pending(shell .. " is not installed")
        end
        local set = candidates(shell, case[1])
        for _, word in ipairs(case[2]) do
          -- bash marks directories itself, behind the candidate.
          assert.truthy(set[word] or shell == "bash" and set[word:gsub("/$", "")], word)
        end
        for _, word in ipairs(case[3]) do
          assert.is_nil(set[word], word)
        end
      end)
    end

    for _, case in ipairs(cases) do
      check(case)
    end
    for _, case in ipairs(per_shell[shell]) do
      check(case)
    end

    it("knows the tools and their options", function()
      local model = help.ask(helper.binary)
      if not staged.has(shell) then
        return pending(shell .. " is not installed")
      end
      local first = candidates(shell, "fractal-lua ")
      for _, tool in ipairs(model.tools) do
        assert.is_true(first[tool.name], tool.name)
        local words = candidates(shell, ("fractal-lua %s --"):format(tool.name))
        for _, word in ipairs(tool.words) do
          assert.is_true(not word.long or words["--" .. word.long] or false, word.long)
        end
        assert.is_nil(words["--background"])
      end
    end)
  end)
end

-- zsh completes only at a terminal: in one of its own, where a key writes the line down and clears it.
local zsh = [==[
zmodload zsh/zpty
zpty shell "TERM=dumb COMPLETIONS=${(q)COMPLETIONS} OUT=${(q)OUT} zsh -f -i"
zpty -w shell 'PROMPT="ready> "; fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -D -u'
zpty -w shell 'save() { print -r -- "$BUFFER" > $OUT; BUFFER=; }; zle -N save; bindkey "^X" save'
zpty -w shell 'bindkey "^I" complete-word; print -r -- loaded'
zpty -r shell output $'*\nloaded*'
for line in ${(f)ASK}; do
  zpty -w -n shell $line$'\t\x18'
  for ((i = 0; i < 400; i++)); do
    [[ -s $OUT ]] && break
    zpty -rt shell output
    sleep 0.02
  done
  cat $OUT
  rm -f $OUT
done
zpty -d shell
]==]

describe("completion in zsh", function()
  after_each(helper.teardown)

  it("completes words, options, their values, scripts and mountpoints", function()
    if not staged.has "zsh" then
      return pending "zsh is not installed"
    end
    local ask_for, expected = {}, {}
    for line, completed in pairs {
      ["fractal-lua --bac"] = "fractal-lua --background ",
      ["fractal-lua -o ro,trans"] = "fractal-lua -o ro,transport=",
      -- The comma that is added to a list goes away with the next space.
      ["fractal-lua -o transport=u"] = "fractal-lua -o transport=uring,",
      ["fractal-lua --trace=batch"] = "fractal-lua --trace=batch_forget,",
      ["fractal-lua hello.lua mo"] = "fractal-lua hello.lua mount/",
      ["fractal-lua flamegraph -o no"] = "fractal-lua flamegraph -o notes.txt ",
    } do
      ask_for[#ask_for + 1], expected[#expected + 1] = line, completed .. "\n"
    end
    local result = process.run({ "zsh", "-f", "-c", zsh }, 80, {
      cwd = directory(),
      env = {
        ASK = table.concat(ask_for, "\n"), COMPLETIONS = completions, OUT = helper.directory() .. "/line",
        HOME = helper.directory(),
      },
    })
    assert.same({ table.concat(expected), "" }, { result.out, result.err })
  end)
end)
