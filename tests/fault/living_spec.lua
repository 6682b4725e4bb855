--- Evaluator and engine killed while alerts live: each fire is evidence once, and the alert stays one.

local engine = require "tests.support.engine"

local RULE = [[
return rule {
  id = "test.each", version = "1.0.0", severity = "medium", title = "Each", description = "Every transaction but those of Z.",
  state = function() return { n = window.count { key = "from", span = "1d" } } end,
  evaluate = function(tx, s)
    if tx.from == Z then return end
    return alert { score = 0.5, dedup = tx.from, explain = { n = s.n:add(tx) } }
  end,
  tests = {
    { name = "fires", given = tx {}, expect = "alert" },
    { name = "quiet", given = tx { from = Z }, expect = "quiet" },
  },
}
]]

local A = "0x00000000000000000000000000000000000a11ce"

local function evaluators_of(e)
  local found = {}
  for pid in select(2, engine.run("pgrep -P " .. e.pid)):gmatch("%d+") do
    local name = (engine.read("/proc/" .. pid .. "/comm") or ""):gsub("%s+$", "")
    if name:find("eval", 1, true) then found[#found + 1] = pid end
  end
  return found
end

describe("alerts that live", function()
  local dir, rules, n
  before_each(function()
    dir, rules, n = engine.tmpdir(), engine.tmpdir(), 0
    engine.write(rules .. "/each.lua", RULE)
  end)
  after_each(function() os.execute("rm -rf " .. dir .. " " .. rules) end)

  local function batch(e, size)
    local txs = {}
    for i = 1, size do
      n = n + 1
      txs[i] = engine.tx { timestamp = 1780000000 + n, from = A }
    end
    local status, answer = e:post("/api/v1/predict/batch", { transactions = txs })
    if status == 200 then
      for _, r in ipairs(answer.results) do assert.equal(1, #r.alerts) end
    end
    return status
  end

  local function check(e)
    -- one alert, founded once; a fire for each transaction, each counted once and in order by the rule's own state
    assert.equal("1", e:sql("SELECT count(*) FROM anomalies"))
    assert.equal(e:sql("SELECT count(*) FROM transactions"), e:sql("SELECT count(*) FROM anomaly_evidence"))
    assert.equal(e:sql("SELECT count(*) FROM transactions"), e:sql("SELECT occurrences FROM anomalies"))
    assert.equal("0", e:sql([[SELECT count(*) FROM (SELECT (features_used->>'n')::bigint AS n,
      row_number() OVER (ORDER BY transaction_id) AS r FROM anomaly_evidence) x WHERE n <> r]]))
  end

  it("survive the evaluator's death without evidence lost or doubled", function()
    local e = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }
    assert.equal(200, batch(e, 10))
    for i = 1, 12 do
      local pid = evaluators_of(e)[1]
      if pid then os.execute(string.format("(sleep 0.0%d; kill -KILL %s 2>/dev/null) &", i % 5 + 1, pid)) end
      assert.equal(200, batch(e, 300))
    end
    local _, deaths = engine.read(e.log):gsub('msg="evaluator died"', "")
    assert.is_true(deaths >= 3, deaths .. " evaluators died")
    check(e)
    e:stop { "evaluator" }
  end)

  it("survive kill -9 of the engine in the middle of a flood", function()
    local e = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }
    assert.equal(200, batch(e, 10))
    for _ = 1, 3 do
      os.execute(string.format("(sleep 0.1; kill -KILL %d) &", e.pid))
      for _ = 1, 20 do
        local ok, status = pcall(batch, e, 300)
        if not ok or status ~= 200 then break end
      end
      engine.wait("the end", 10, function() return not e:alive() end)
      e = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }
    end
    assert.equal(200, batch(e, 10))
    check(e)
    e:stop { "" }
  end)
end)
