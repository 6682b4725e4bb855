--- A start does not test again what has passed, and tests whatever else it finds.

local engine = require "tests.support.engine"

local RULE = [[
return rule {
  id = "test.big", version = "1.0.0", severity = "low", title = "Big", description = "Fires on much.", cooldown = 0,
  params = { limit = 1e20 }, state = function() return {} end,
  evaluate = function(tx, s, p) if tx.value >= p.limit then return alert { score = 0.5, explain = {} } end end,
  tests = {
    { name = "quiet", given = tx { from = A, to = B, value = 1 }, expect = "quiet" },
    { name = "fires", given = tx { from = A, to = B, value = %s }, expect = "alert" },
  },
}
]]
local BEFORE = 'group=rules msg="passed their tests before"'

describe("a start after a start", function()
  local dir, file
  setup(function()
    dir = engine.tmpdir()
    file = dir .. "/rules.tested"
    os.execute("mkdir " .. dir .. "/rules " .. dir .. "/lists")
    engine.write(dir .. "/rules/big.lua", RULE:format("1e30"))
  end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  local function start(more)
    local sets = { "rules.dir=" .. dir .. "/rules", "rules.lists=" .. dir .. "/lists" }
    for _, s in ipairs(more or {}) do sets[#sets + 1] = s end
    os.remove(dir .. "/engine.log")
    return engine.start { dir = dir, sets = sets, wait = more and more.wait }
  end
  -- Says whether the tests were left out, and that what they fire on is known either way.
  local function left_out(more)
    local e = start(more)
    local status, problem = e:post("/api/v1/suppressions", { rule = "test.big", reason = "all of it",
      expires_at = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 3600) })
    assert.equal(422, status)
    assert.truthy(problem.detail:find('test of rule "test.big"', 1, true), problem.detail)
    local said = engine.read(e.log):find(BEFORE, 1, true) ~= nil
    engine.wait("what passed to be written down", 10, function() return engine.read(file) end)
    e:stop()
    return said
  end
  -- The text of the refusal.
  local function refused()
    local e = start { wait = false }
    engine.wait("the end", 30, function() return not e:alive() end)
    return engine.read(e.log)
  end

  it("tests nothing that has passed, also under other lists and parameters", function()
    left_out()                        -- the first: tested aside while the database came up
    assert.is_true(left_out())
    engine.write(dir .. "/lists/own.csv", "address,category,name,source\n0x00000000000000000000000000000000000000ff,mixer,x,test\n")
    engine.write(dir .. "/params.lua", 'return { ["test.big"] = { limit = 1000 } }')
    assert.is_true(left_out { "rules.conf=" .. dir .. "/params.lua" })
  end)

  it("tests again when budgets, text or the file are others", function()
    assert.is_false(left_out { "rules.ticks=1234567" })
    assert.is_false(left_out())
    engine.write(dir .. "/rules/big.lua", RULE:format("1e31"))
    assert.is_false(left_out())
    assert.is_true(left_out())
    local whole = engine.read(file)
    for _, bad in ipairs { "", whole:sub(1, -3), (whole:gsub("%x", "0", 1)), whole .. " " } do
      engine.write(file, bad)
      left_out()                      -- tested aside again; the same file is written again
      engine.wait("the file to be whole again", 10, function() return engine.read(file) == whole end)
    end
    assert.is_true(left_out())
  end)

  it("refuses a rule that fails, at a start and at a reload, and remembers nothing of it", function()
    local before, text = engine.read(file), engine.read(dir .. "/rules/big.lua")
    engine.write(dir .. "/rules/big.lua", RULE:format("2"))
    assert.truthy(refused():find('test "fires"', 1, true))
    os.remove(file)                   -- nothing is known: tested aside, and then by who has the say
    assert.truthy(refused():find('test "fires"', 1, true))
    assert.is_nil(engine.read(file))
    engine.write(dir .. "/rules/big.lua", text)
    engine.write(file, before)
    local e = start()
    engine.write(dir .. "/rules/big.lua", RULE:format("2"))
    assert.equal(422, (e:post("/api/v1/admin/reload")))
    assert.equal(before, engine.read(file))
    engine.write(dir .. "/rules/big.lua", RULE:format("1e32"))
    assert.equal(200, (e:post("/api/v1/admin/reload")))
    engine.wait("the new text to be written down", 10, function() return engine.read(file) ~= before end)
    e:stop { "refused, the old generation goes on" }
    assert.is_true(left_out())
  end)
end)
