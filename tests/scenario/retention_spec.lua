--- Jobs on a schedule and by hand; the retention policy: counted, carried out in slices, audited; legal holds; archives.

local engine = require "tests.support.engine"

local POLICY = [[
retention {
  slice = 40,
  { name = "quiet", table = "transactions", where = { found = false }, keep = "400d", action = "delete" },
  { name = "reviewed lows", table = "anomalies", where = { severity = "low", reviewed = true }, keep = "30d", action = "delete" },
  { name = "names", table = "predictions", keep = "10d", action = "anonymise" },
  { name = "verdicts", table = "predictions", keep = "200d", action = "delete" },
  { name = "metrics", table = "system_metrics", keep = "60d", action = "archive", to = "cold" },
  { name = "audit", table = "audit_logs", keep = "90d", action = "archive", to = "cold" },
}
]]

local JOBS = [[
job { name = "quick", summary = "counts", every = "1s", timeout = "5s", run = function() return { n = 1 } end }
job { name = "broken", summary = "fails", at = "00:00", run = function() return nil, "it did not work" end }
job { name = "raising", summary = "raises", at = "00:00", run = function() local x = nil return x.y end }
job { name = "endless", summary = "is given up", at = "00:00", timeout = "1s", run = function() time.sleep(60) end }
job { name = "spinning", summary = "is stopped", at = "00:00", run = function() while true do end end }
]]

describe("jobs and retention", function()
  local e, scripts

  setup(function()
    scripts = engine.tmpdir()
    os.execute("cp -r scripts/. " .. scripts .. " && rm " .. scripts .. "/jobs/metrics_sample.lua")
    engine.write(scripts .. "/policy/retention.lua", POLICY)
    engine.write(scripts .. "/jobs/test.lua", JOBS)
    e = engine.start { sets = { "scripts.dir=" .. scripts } }
  end)
  teardown(function()
    e:stop { "job given up", "job stopped", "the old generation goes on" }
    os.execute("rm -rf " .. scripts)
  end)

  local function run(name)
    local begun = engine.wait(name .. " to begin", 10, function()   -- its slot of today may be caught up just now
      local status, body = e:post("/api/v1/jobs/" .. name .. "/run")
      return status == 202 and body
    end)
    return engine.wait(name .. " to end", 20, function()
      local _, one = e:get("/api/v1/jobs/" .. name .. "/runs/" .. begun.id)
      return one.status ~= "running" and one
    end)
  end

  local function cli(text)
    return engine.run(string.format("%s retention %s --set general.data_dir=%s", engine.bin, text, e.dir))
  end

  it("runs jobs by the clock and by hand, once each, and keeps how they ended", function()
    engine.wait("the quick job", 10, function()
      return tonumber(e:sql "SELECT count(*) FROM job_runs WHERE name = 'quick' AND status = 'succeeded'") >= 2
    end)
    assert.equal("0", e:sql [[SELECT count(*) - count(DISTINCT slot) FROM job_runs WHERE name = 'quick' AND slot IS NOT NULL]])
    assert.equal("it did not work", run("broken").error)
    assert.is_truthy(run("raising").error:find("jobs/test.lua:3", 1, true))
    assert.is_truthy(run("endless").error:find("took longer than its 1 s", 1, true))
    assert.is_truthy(run("spinning").error:find("time", 1, true))
    local status, list = e:get "/api/v1/jobs"
    assert.equal(200, status)
    local by_name = {}
    for _, j in ipairs(list.items) do by_name[j.name] = j end
    assert.equal("failed", by_name.broken.last.status)
    assert.equal("03:20", by_name.retention.at)
    assert.equal(404, (e:post "/api/v1/jobs/nothing/run"))
    assert.equal("1", e:sql "SELECT count(*) FROM audit_logs WHERE event_type = 'job.start' AND resource = 'job/broken'")
  end)

  it("leaves a job to the engine that has it, and takes over when that one falls silent", function()
    e:sql [[INSERT INTO job_runs (name, worker, heartbeat_at) VALUES ('broken', 'another', now())]]
    local status, body = e:post "/api/v1/jobs/broken/run"
    assert.equal(409, status)
    assert.equal('job "broken" is running', body.detail)
    e:sql [[UPDATE job_runs SET heartbeat_at = now() - interval '2 minutes' WHERE worker = 'another']]
    assert.equal("failed", run("broken").status)
    assert.equal("interrupted", e:sql "SELECT status FROM job_runs WHERE worker = 'another'")
  end)

  it("refuses jobs and policies that make no sense, with file and line", function()
    for text, message in pairs {
      ['job { name = "x", summary = "s", every = "soon", run = function() end }'] = 'every must be a time like "5m"',
      ['job { name = "x", summary = "s", every = "5m", at = "01:00", run = function() end }'] = "needs every or at",
      ['job { name = "quick", summary = "s", every = "5m", run = function() end }'] = "there is one of that name in jobs/test.lua",
      ['job { name = "x", summary = "s", every = "5m", runn = 1 }'] = 'unknown key "runn"',
      ['job(3)'] = "job takes a table",
    } do
      engine.write(scripts .. "/jobs/wrong.lua", text)
      local status, body = e:post "/api/v1/admin/reload"
      assert.equal(422, status, text)
      assert.is_truthy(body.detail:find(message, 1, true), body.detail)
      assert.is_truthy(body.detail:find("jobs/wrong.lua", 1, true), body.detail)
    end
    os.remove(scripts .. "/jobs/wrong.lua")
    for text, message in pairs {
      ['retention { { name = "x", table = "tx", keep = "1d", action = "delete" } }'] = "table must be one of anomalies, audit_logs",
      ['retention { { name = "x", table = "outbox", keep = "10s", action = "delete" } }'] = 'keep must be a time like "90d"',
      ['retention { { name = "x", table = "outbox", keep = "1d", action = "burn" } }'] = "action must be delete, anonymise or archive",
      ['retention { { name = "x", table = "outbox", keep = "1d", action = "archive" } }'] = "to must name a folder",
      ['retention { { name = "x", table = "outbox", where = { sverity = 1 }, keep = "1d", action = "delete" } }'] =
        'unknown key "sverity", did you mean "severity"?',
      ['retention { slise = 3 }'] = 'unknown key "slise", did you mean "slice"?',
    } do
      engine.write(scripts .. "/policy/retention.lua", text)
      local status, body = e:post "/api/v1/admin/reload"
      assert.equal(422, status, text)
      assert.is_truthy(body.detail:find(message, 1, true), body.detail)
    end
    engine.write(scripts .. "/policy/retention.lua", POLICY)
    assert.equal(200, (e:post "/api/v1/admin/reload"))
  end)

  it("counts first, then does what it counted, in slices, and spares what is held", function()
    local held
    for i = 1, 130 do
      local tx = engine.tx { from = string.format("0x%040x", 5000 + i), to = string.format("0x%040x", i) }
      e:post("/api/v1/predict", tx)
      held = held or tx.hash
    end
    e:sql [[UPDATE transactions SET created_at = created_at - interval '500 days' WHERE id <= 100]]
    e:sql [[UPDATE predictions SET created_at = now() - interval '20 days', request_id = 'r', user_id = 1]]
    e:sql [[INSERT INTO anomalies (transaction_id, model_id, anomaly_score, severity, confidence, rule_id, rule_version, detected_at,
      reviewed) SELECT t.id, v.id, 0.5, (ARRAY['low','high'])[1 + t.id % 2]::severity, 0.5, 'test.rule', '1',
      now() - interval '40 days', t.id <> 124 FROM transactions t, (SELECT min(id) AS id FROM model_versions) v WHERE t.id > 120]]
    e:sql [[SELECT partition_add('system_metrics', m::date) FROM unnest('{2025-01-01,2025-02-01}'::text[]) m]]
    e:sql [[SELECT partition_add('audit_logs', '2025-01-01')]]
    e:sql [[INSERT INTO system_metrics (metric_name, metric_value, timestamp) SELECT 'old', i, timestamptz '2025-01-31 23:59:00+00'
      + i * interval '1 second' FROM generate_series(1, 100) i]]
    e:sql [[INSERT INTO audit_logs (event_type, timestamp) SELECT 'old', timestamptz '2025-01-05' FROM generate_series(1, 3)]]
    local status, hold = e:post("/api/v1/legal-holds", { hash = held, reason = "case 7" })
    assert.equal(201, status, hold.detail)
    assert.equal(400, (e:post("/api/v1/legal-holds", { reason = "nothing named" })))

    local code, text = cli "plan"
    assert.equal(0, code, text)
    assert.is_truthy(text:find("quiet +transactions +delete +400d +100 +1 +0"), text)
    assert.is_truthy(text:find("metrics +system_metrics +archive +60d +100 +0 +2"), text)
    assert.is_truthy(text:find("reviewed lows +anomalies +delete +30d +4 "), text)
    assert.equal("130", e:sql "SELECT count(*) FROM transactions")

    code, text = cli "run"
    assert.equal(0, code, text)
    assert.is_truthy(text:find("quiet +transactions +delete +99 rows"), text)
    assert.equal("31", e:sql "SELECT count(*) FROM transactions")
    assert.equal("1", e:sql("SELECT count(*) FROM transactions WHERE id <= 100 AND hash = '\\x" .. held:sub(3) .. "'"))
    assert.equal("0", e:sql "SELECT count(*) FROM anomalies WHERE severity = 'low' AND reviewed")
    assert.equal("1", e:sql "SELECT count(*) FROM predictions WHERE request_id IS NOT NULL")   -- of the held one
    assert.equal("0", e:sql "SELECT count(*) FROM system_metrics WHERE metric_name = 'old'")
    assert.equal("", e:sql "SELECT relname FROM pg_class WHERE relname IN ('system_metrics_2025_01', 'audit_logs_2025_01')")
    local _, lines = engine.run("find " .. e.dir .. "/cold -name '*.gz' | xargs zcat")
    local _, n = lines:gsub('"metric_name":"old"', "")
    assert.equal(100, n)
    _, n = lines:gsub('"event_type":"old"', "")
    assert.equal(3, n)
    assert.is_truthy(tonumber(e:sql "SELECT count(*) FROM audit_logs WHERE event_type = 'retention.run'") >= 4)
    code, text = engine.run(string.format("%s audit verify --set general.data_dir=%s", engine.bin, e.dir))
    assert.equal(0, code, text)

    assert.equal(200, (e:post("/api/v1/legal-holds/" .. hold.id .. "/release")))
    assert.equal("succeeded", run("retention").status)
    assert.equal("30", e:sql "SELECT count(*) FROM transactions")
  end)

  it("says what the command line lacks", function()
    local code, text = cli "plam"
    assert.equal(2, code)
    assert.is_truthy(text:find("say plan or run", 1, true))
  end)
end)
