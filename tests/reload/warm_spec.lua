--- A rule whose state is new is given history beside live traffic, and then says exactly what it would have said had it been
--- live all along: while transactions come in, evaluators are killed, and other reloads come in between.

local engine = require "tests.support.engine"

local RULE = [[
return rule {
  id = "test.watch", version = "%s", severity = "low", title = "Everything that a state knows",
  description = "Fires on each transaction, with what its states say.", cooldown = 0,
  state = function()
    return {
      count = window.count { key = "from", span = "%s" }, distinct = window.distinct { key = "to", of = "from", span = "%s" },
      mean = stat.welford { key = "from", of = "value" }, seen = key.first_seen { key = "to" },
    }
  end,
  evaluate = function(tx, s)
    if tx.value >= 1e40 then return end
    local count, distinct, z, fresh = s.count:add(tx), s.distinct:add(tx), s.mean:add(tx), s.seen:add(tx)
    return alert { score = 0.5, explain = { count = count, distinct = distinct or -1, z = z or -1, fresh = fresh or false } }
  end,
  tests = {
    { name = "fires", given = txs { n = 1, from = A, to = B }, expect = "alert" },
    { name = "quiet", given = txs { n = 1, from = A, to = B, value = 1e40 }, expect = "quiet" },
  },
}
]]
local function watch(version, span) return RULE:format(version, span or "30d", span or "30d") end

local EVIDENCE = [[SELECT encode(t.hash, 'hex'), e.features_used FROM anomaly_evidence e JOIN anomalies a ON a.id = e.anomaly_id
  JOIN transactions t ON t.id = e.transaction_id WHERE a.rule_id = '%s' AND a.rule_version = '%s']]

describe("warm-up", function()
  local dir, files
  setup(function()
    dir = engine.tmpdir()
    assert.equal(0, (engine.run(engine.bin .. " simulate --seed 7 --blocks 60 --out " .. dir .. "/all")))
    os.execute(string.format("cd %s && head -3000 all >a && sed -n 3001,6000p all >b && sed -n 6001,7000p all >c", dir))
    files = { a = dir .. "/a", b = dir .. "/b", c = dir .. "/c" }
  end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  local function start(name, sets)
    os.execute("mkdir -p " .. dir .. "/" .. name .. "/rules")
    sets = sets or {}
    sets[#sets + 1] = "rules.dir=" .. dir .. "/" .. name .. "/rules"
    return engine.start { dir = dir .. "/" .. name, sets = sets }
  end
  local function ingest(e, name, background)
    local command = string.format("%s ingest -q --batch 100 --set general.data_dir=%s %s >%s/ingest.out 2>&1", engine.bin,
      e.dir, files[name], e.dir)
    if background then
      os.execute("(" .. command .. "; echo done >" .. e.dir .. "/ingested) &")
      return function() engine.wait("the ingest", 60, function() return engine.read(e.dir .. "/ingested") end) end
    end
    assert.equal(0, (engine.run(command)))
  end
  local function write(e, version, span) engine.write(e.dir .. "/rules/watch.lua", watch(version, span)) end
  local function reload(e) assert.equal(200, (e:post("/api/v1/admin/reload"))) end
  local function status(e) return select(2, e:get("/api/v1/rules/test.watch")).status end
  local function warm(e)
    engine.wait("the rule to be warm", 30, function() return status(e) == "live" end)
  end
  local function evidence(e, version, rule)
    local rows, n = {}, 0
    for hash, features in e:sql(EVIDENCE:format(rule or "test.watch", version)):gmatch("(%x+)|([^\n]+)") do
      rows[hash], n = features, n + 1
    end
    return rows, n
  end

  it("comes beside live traffic, whatever dies meanwhile, and forgets nothing", function()
    local e = start("late")
    -- The twin is there all along, in the same engine: several requests are on their way at a time, and another engine
    -- would take them in another order.
    engine.write(e.dir .. "/rules/twin.lua", (watch("1.0.0"):gsub("test%.watch", "test.twin")))
    reload(e)
    ingest(e, "a")
    local wait = ingest(e, "b", true)
    write(e, "1.0.0")
    reload(e)
    for _ = 1, 5 do
      local pid = select(2, engine.run("pgrep -P " .. e.pid .. " cw-evaluator")):match("%d+")
      if pid then os.execute("kill -KILL " .. pid) end
    end
    engine.write(e.dir .. "/rules/other.lua", (watch("1.0.0", "1h"):gsub("test%.watch", "test.other")))
    reload(e)
    wait()
    warm(e)
    ingest(e, "c")
    local rows, n = evidence(e, "1.0.0")
    local along = evidence(e, "1.0.0", "test.twin")
    assert.is_true(n >= 1000, n .. " fires")
    for hash, features in pairs(rows) do assert.equal(along[hash], features, hash) end
    for hash in engine.read(files.c):gmatch('"hash":"0x(%x+)"') do assert.equal(along[hash], rows[hash], hash) end
    e:stop()
  end)

  it("is done anew where the declaration changes, and after a restart", function()
    local e = start("late")
    write(e, "2.0.0", "20d")
    reload(e)
    assert.is_truthy(({ warming = true, live = true })[status(e)])
    warm(e)
    local tx = engine.tx { from = "0x00000000000000000000000000000000000000e5" }
    for i = 1, 4 do
      tx.hash = string.format("0x%064x", 77000 + i)
      tx.timestamp = 1767225600 + 10 * i
      local _, verdict = e:post("/api/v1/predict", tx)
      for _, a in ipairs(verdict.alerts) do if a.rule == "test.watch" then assert.equal(i, a.features.count) end end
    end
    e:stop()
    write(e, "3.0.0", "21d")
    e = start("late")
    engine.wait("readiness", 20, function() return e:get("/health/ready") == 200 end)
    warm(e)
    tx.hash = string.format("0x%064x", 77009)
    local _, verdict = e:post("/api/v1/predict", tx)
    for _, a in ipairs(verdict.alerts) do if a.rule == "test.watch" then assert.equal(5, a.features.count) end end
    assert.equal("3.0.0", select(2, e:get("/api/v1/rules/test.watch")).version)
    e:stop()
  end)

  it("takes no more history than it is told to", function()
    local e = start("short", { "rules.warm_max=10" })
    local tx = engine.tx { from = "0x00000000000000000000000000000000000000e5" }
    local function send(i)
      tx.hash = string.format("0x%064x", 88000 + i)
      local status_, verdict = e:post("/api/v1/predict", tx)
      assert.equal(200, status_)
      return verdict
    end
    for i = 1, 30 do send(i) end
    write(e, "1.0.0")
    reload(e)
    warm(e)
    assert.equal(11, send(31).alerts[1].features.count)
    e:stop()
  end)
end)
