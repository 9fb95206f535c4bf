--- docs/operations.md, docs/capabilities.md and docs/options.md against src/ops.def, src/caps.def, `fractal-lua --help`
-- and the specs they name.

local caps = require "fractal.caps"
local documents = require "bindings.documents"
local help = require "packaging.help"
local helper = require "spec.helper"
local ops = require "fractal.ops"
local process = require "spec.process"

local function contains(path, text)
  return process.read_file(path):find(text, 1, true) ~= nil
end

-- Is that the title of a spec in the file, written there as one string, alone or behind others ("the operation …")?
local function is_title(proof)
  return contains(proof[1], 'it("' .. proof[2] .. '"')
end

describe("the tables of operations and capabilities", function()
  for _, path in ipairs { "docs/operations.md", "docs/capabilities.md", "docs/options.md" } do
    it("are what bindings/documents.lua makes: " .. path, function()
      local text = documents.render(ops, caps, help.ask(helper.binary))[path]
      assert.equal(text, process.read_file(path), "run: luajit bindings/documents.lua BUILD_DIR")
    end)
  end

  it("have every operation and no other", function()
    local known = {}
    for _, row in ipairs(ops) do
      known[row.name] = true
      assert.truthy(documents.operations[row.name], row.name)
    end
    for name in pairs(documents.operations) do
      assert.is_true(known[name], name)
    end
  end)

  it("call handlers as the reference does", function()
    for name, operation in pairs(documents.operations) do
      if operation.call:find "^req" or operation.call:find "^notify" then
        assert.is_true(contains("docs/reference.md", operation.call:match "^[%w_]+[.:][%w_]+"), name)
      else
        assert.is_true(contains("docs/reference.md", "`fs." .. operation.call .. "`"), operation.call)
      end
    end
  end)

  it("name specs that are there", function()
    for name, operation in pairs(documents.operations) do
      assert.is_true(is_title(operation.proof), name .. ": " .. operation.proof[2])
    end
    for name, proof in pairs(documents.capability_proofs) do
      assert.is_true(is_title(proof), name .. ": " .. proof[2])
    end
  end)

  it("have a spec for each capability that has an effect", function()
    local text = process.read_file "spec/mount/capabilities_spec.lua"
    for _, cap in ipairs(caps) do
      local proof = documents.capability_proof(cap.option, text)
      assert.equal(not documents.without_effect[cap.option], proof ~= nil, cap.option)
    end
  end)
end)
