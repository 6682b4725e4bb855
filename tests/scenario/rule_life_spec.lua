--- The life of a rule over HTTP: switched off and on, quarantined, tried out beside the live one, promoted; kept over a
--- restart, and audited.

local engine = require "tests.support.engine"
local cjson = require "cjson"

--- Fires from the nth transaction of a sender on, whose count goes by `key`.
local COUNT = [[
return rule {
  id = "%s", version = "%s", severity = "medium", status = "%s", title = "Many from one address",
  description = "Counts what one address sends.",
  params = { limit = %d },
  state = function() return { n = window.count { key = "%s", span = "1000h" } } end,
  evaluate = function(tx, s, p)
    local n = s.n:add(tx)
    if n >= p.limit then return alert { score = 0.5, dedup = tx.from, explain = { n = n, limit = p.limit } } end
  end,
  tests = {
    { name = "quiet", given = txs { n = 1, from = A, to = B }, expect = "quiet" },
    { name = "fires", given = txs { n = %d, from = A, to = B, every = "1s" }, expect = "alert" },
  },
}
]]
local function count(id, version, status, limit, key) return COUNT:format(id, version, status, limit, key or "from", limit) end

local FAILS = [[
return rule {
  id = "test.fails", version = "%s", severity = "low", title = "Fails now and then", description = "On purpose.",
  evaluate = function(tx)
    if tx.nonce >= 1000 then error("nonce too high") end
    if tx.value > 1e30 then return alert { score = 0.5 } end
  end,
  tests = {
    { name = "quiet", given = txs { n = 1, from = A, to = B }, expect = "quiet" },
    { name = "fires", given = txs { n = 1, from = A, to = B, value = 1e31 }, expect = "alert" },
  },
}
]]

describe("the life of a rule", function()
  local e, dir
  local function start()
    e = engine.start { dir = dir .. "/data", sets = { "rules.dir=" .. dir .. "/rules", "rules.quarantine_after=3" } }
  end
  setup(function()
    dir = engine.tmpdir()
    os.execute("mkdir -p " .. dir .. "/rules " .. dir .. "/data")
    engine.write(dir .. "/rules/count.lua", count("test.count", "1.0.0", "stable", 5))
    engine.write(dir .. "/rules/fails.lua", FAILS:format("1.0.0"))
    start()
  end)
  teardown(function()
    e:stop { "quarantined", "refused, the old generation goes on", "a rule failed" }
    os.execute("rm -rf " .. dir)
  end)

  local function rule(id)
    local status, body = e:get("/api/v1/rules/" .. id)
    assert.equal(200, status)
    return body
  end
  local function send(n, with)
    local alerts = 0
    for _ = 1, n do
      local status, verdict = e:post("/api/v1/predict", engine.tx(with))
      assert.equal(200, status)
      alerts = alerts + #verdict.alerts
    end
    return alerts
  end
  local function audited(event)
    return tonumber(e:sql("SELECT count(*) FROM audit_logs WHERE event_type = '" .. event .. "'"))
  end
  local function reload()
    local status, body = e:post("/api/v1/admin/reload")
    assert.equal(200, status, cjson.encode(body))
    return body
  end
  local function restart()
    e:stop { "quarantined", "refused, the old generation goes on", "a rule failed" }
    start()
    engine.wait("readiness", 20, function() return e:get("/health/ready") == 200 end)
  end

  it("shows what a rule has done", function()
    send(4)
    assert.equal(1, send(1))
    local r = rule("test.count")
    assert.equal("live", r.status)
    assert.equal("1.0.0", r.version)
    assert.is_true(r.warm)
    assert.equal(5, r.calls)
    assert.equal(1, r.fires)
    assert.equal(0, r.errors)
    assert.equal(0, r.breaches.ticks)
    assert.is_true(r.state.keys >= 1)
    assert.is_true(r.state.bytes > 0)
    assert.is_truthy(r.since:find("^%d+%-%d+%-%d+T"))
    assert.is_true(r.cost.sampled > 0 and r.cost.mean_us > 0)
    assert.equal(cjson.null, r.candidate)
    local status, body = e:get("/api/v1/rules/test.cuont")
    assert.equal(404, status)
    assert.equal('there is no rule "test.cuont"; did you mean "test.count"?', body.detail)
    assert.is_true(select(2, e:get("/api/v1/ruleset")).warm)
  end)

  it("is switched off and on, and what it missed is made good", function()
    local status, body = e:post("/api/v1/rules/test.count/disable?reason=too%20loud")
    assert.equal(200, status)
    assert.equal("disabled", body.status)
    assert.equal("too loud", body.reason)
    assert.equal(0, send(2))
    status, body = e:post("/api/v1/rules/test.count/disable")
    assert.equal(409, status)
    assert.is_truthy(body.detail:find('^rule "test.count" cannot be disabled: it is disabled since %d'), body.detail)
    status, body = e:post("/api/v1/rules/test.count/release")
    assert.equal(409, status)
    assert.is_truthy(body.detail:find("cannot be released: it is disabled", 1, true))
    restart()
    assert.equal("disabled", rule("test.count").status)
    assert.equal(0, send(1))
    assert.equal(200, (e:post("/api/v1/rules/test.count/enable")))
    engine.wait("the rule to be warm", 10, function() return rule("test.count").status == "live" end)
    local _, verdict = e:post("/api/v1/predict", engine.tx())
    assert.equal(9, verdict.alerts[1].features.n)        -- 5 and 3 before, none forgotten
    assert.equal(1, audited("rule.disable"))
    assert.equal(1, audited("rule.enable"))
    assert.equal("too loud", e:sql("SELECT details->>'reason' FROM audit_logs WHERE event_type = 'rule.disable'"))
  end)

  it("is quarantined by the engine, stays so, and ends it by a release or a new version", function()
    send(3, { nonce = 1000 })
    engine.wait("the quarantine", 10, function() return rule("test.fails").status == "quarantined" end)
    local r = rule("test.fails")
    assert.equal(3, r.errors)
    assert.is_truthy(r.reason:find("nonce too high", 1, true))
    engine.wait("the audit", 10, function() return audited("rule.quarantine") == 1 end)
    reload()
    assert.equal("quarantined", rule("test.fails").status)
    restart()
    assert.equal("quarantined", rule("test.fails").status)
    assert.equal(200, (e:post("/api/v1/rules/test.fails/release")))
    assert.equal("live", rule("test.fails").status)
    assert.equal(200, (e:post("/api/v1/rules/test.fails/quarantine?reason=again")))
    engine.write(dir .. "/rules/fails.lua", FAILS:format("1.0.1"))
    local changes = reload().changes
    assert.same({ { rule = "test.fails", role = "live", change = "changed", version = "1.0.1", from = "1.0.0" } },
      changes.rules)
    assert.equal("live", rule("test.fails").status)
    assert.equal(2, audited("rule.quarantine"))
    assert.equal(1, audited("rule.release"))
  end)

  it("needs the right role", function()
    -- one user whose role changes: keys are read again every second
    local function as(role)
      e:sql("UPDATE users SET roles = '{" .. role .. "}'")
      engine.wait("the role " .. role, 10, function() return e:get("/api/v1/rules/test.count/source") ==
        (role == "viewer" and 403 or 200) end)
    end
    as("viewer")
    assert.equal(200, (e:get("/api/v1/rules")))
    assert.equal(403, (e:call("PUT", "/api/v1/rules/test.count/candidate", "x")))
    as("analyst")
    engine.wait("the role", 10, function() return e:post("/api/v1/rules/test.none/enable") == 403 end)
    assert.equal(422, (e:call("PUT", "/api/v1/rules/test.count/candidate", "x", { ["Content-Type"] = "text/plain" })))
    assert.equal(403, (e:post("/api/v1/rules/test.count/disable")))
    assert.equal(403, (e:post("/api/v1/rules/test.count/promote")))
    as("admin")
    engine.wait("the role", 10, function() return e:post("/api/v1/rules/test.none/enable") == 404 end)
  end)

  local function submit(text, id)
    return e:call("PUT", "/api/v1/rules/" .. (id or "test.count") .. "/candidate", text, { ["Content-Type"] = "text/plain" })
  end

  it("refuses a candidate that is not fit, and changes nothing", function()
    for text, expected in pairs {
      ["return rule {"] = "candidates/test.count.lua:1",
      [count("test.other", "2.0.0", "stable", 3)] = 'the text declares rule "test.other", not "test.count"',
      [(count("test.count", "2.0.0", "stable", 3):gsub("n = 3,", "n = 2,"))] = "fires",
      [count("test.count", "1.0.0", "stable", 5)] = "this very version",
    } do
      local status, body = submit(text)
      assert.is_true(status == 422 or status == 409, tostring(status))
      assert.is_truthy(body.detail:find(expected, 1, true), body.detail)
      assert.equal(cjson.null, rule("test.count").candidate)
    end
    assert.equal(409, (e:post("/api/v1/rules/test.count/promote")))
    local status, body = e:get("/api/v1/rules/test.count/diff")
    assert.equal(409, status)
    assert.equal('rule "test.count" has no candidate', body.detail)
  end)

  it("runs a candidate beside the live one, with state of its own that is made from history", function()
    local status, body = submit(count("test.count", "2.0.0", "stable", 12))
    assert.equal(200, status, cjson.encode(body))
    assert.equal("2.0.0", body.version)
    engine.wait("the candidate to be warm", 10, function() return rule("test.count").candidate.status == "candidate" end)
    local sent = tonumber(e:sql("SELECT count(*) FROM transactions"))
    assert.equal(2, send(2, { from = "0x00000000000000000000000000000000000000a1" }))
    local before = tonumber(e:sql("SELECT coalesce(sum(occurrences), 0) FROM anomalies WHERE shadow"))
    assert.equal(2, before, sent .. " transactions were stored before")
    assert.equal(tostring(sent + 1), e:sql("SELECT (e.features_used->>'n')::int FROM anomaly_evidence e "
      .. "JOIN anomalies a ON a.id = e.anomaly_id WHERE a.shadow ORDER BY e.transaction_id LIMIT 1"))
    assert.equal("f|0", e:sql("SELECT is_deployed, traffic_percentage FROM model_versions WHERE version = '2.0.0'"))
    local anomalies = select(2, e:get("/api/v1/anomalies?rule=test.count"))
    for _, a in ipairs(anomalies.items) do assert.is_false(a.shadow) end
    restart()
    assert.equal("2.0.0", rule("test.count").candidate.version)
    send(1)
    local diff = select(2, e:get("/api/v1/rules/test.count/diff"))
    assert.equal(3, diff.common)
    assert.equal(0, diff.added)
    assert.equal(0, diff.removed)
    send(6, { from = "0x00000000000000000000000000000000000000c3" })
    diff = select(2, e:get("/api/v1/rules/test.count/diff"))
    assert.equal(5, diff.live)
    assert.equal(3, diff.candidate)
    assert.equal(2, diff.removed)
    assert.equal("0x00000000000000000000000000000000000000c3", diff.entities[1].entity)
    assert.equal(2, #diff.alerts.removed)
    assert.equal("2.0.0", diff.versions.candidate.version)
    assert.equal("1.0.0", diff.versions.live.version)
  end)

  it("promotes it, state and all, and keeps that until its file changes", function()
    local status, body = e:post("/api/v1/rules/test.count/promote")
    assert.equal(200, status, cjson.encode(body))
    local r = rule("test.count")
    assert.equal("2.0.0", r.version)
    assert.equal("live", r.status)
    assert.is_true(r.warm)
    assert.equal(cjson.null, r.candidate)
    assert.equal(0, send(1, { from = "0x00000000000000000000000000000000000000c3" }))
    local n = tonumber(e:sql("SELECT count(*) FROM transactions WHERE from_address = '\\x00000000000000000000000000000000000000a1'"))
    local _, verdict = e:post("/api/v1/predict", engine.tx())
    assert.equal(n + 1, verdict.alerts[1].features.n)
    assert.equal("t|f", e:sql([[SELECT (SELECT is_deployed FROM model_versions WHERE version = '2.0.0'),
      (SELECT v.is_deployed FROM model_versions v JOIN models m ON m.id = v.model_id WHERE m.name = 'test.count' AND v.version = '1.0.0')]]))
    restart()
    assert.equal("2.0.0", rule("test.count").version)
    local _, text = e:get("/api/v1/rules/test.count/source")
    assert.equal(count("test.count", "2.0.0", "stable", 12), text)
    engine.write(dir .. "/rules/count.lua", text)         -- the file catches up
    reload()
    assert.equal("2.0.0", rule("test.count").version)
    engine.wait("the promotion to end", 10, function() return e:sql("SELECT count(*) FROM rule_sources") == "0" end)
    assert.equal(1, audited("rule.submit"))
    assert.equal(1, audited("rule.promote"))
  end)

  it("takes a candidate from a file with status shadow", function()
    engine.write(dir .. "/rules/count_next.lua", count("test.count", "3.0.0", "shadow", 20))
    reload()
    local r = rule("test.count")
    assert.equal("2.0.0", r.version)
    assert.equal("3.0.0", r.candidate.version)
    local status, body = e:call("DELETE", "/api/v1/rules/test.count/candidate")
    assert.equal(409, status)
    assert.is_truthy(body.detail:find("is a file", 1, true))
    engine.wait("the candidate to be warm", 10, function() return rule("test.count").candidate.status == "candidate" end)
    assert.equal(200, (e:post("/api/v1/rules/test.count/promote")))
    r = rule("test.count")
    assert.equal("3.0.0", r.version)
    assert.equal("live", r.status)
    reload()
    assert.equal("3.0.0", rule("test.count").version)
    os.remove(dir .. "/rules/count_next.lua")
    engine.write(dir .. "/rules/count.lua", count("test.count", "3.1.0", "stable", 20))
    reload()
    assert.equal("3.1.0", rule("test.count").version)
  end)

  it("withdraws a candidate", function()
    assert.equal(200, (e:call("POST", "/api/v1/rules/candidates", count("test.new", "0.1.0", "stable", 3),
      { ["Content-Type"] = "text/plain" })))
    assert.equal("0.1.0", rule("test.new").version)
    assert.equal(200, (e:call("DELETE", "/api/v1/rules/test.new/candidate")))
    assert.equal(404, (e:get("/api/v1/rules/test.new")))
    assert.equal("0", e:sql("SELECT count(*) FROM rule_sources"))
  end)

  local function cli(words)
    return engine.run(string.format("%s rules %s --set general.data_dir=%s", engine.bin, words, e.dir))
  end

  it("does the same on the command line", function()
    local code, text = cli("list")
    assert.equal(0, code, text)
    assert.is_truthy(text:find("test.count +3.1.0 +live +warm"), text)
    code, text = cli("quarantine test.count --reason 'too many, by far'")
    assert.equal(0, code, text)
    assert.equal("test.count is quarantined\n", text)
    text = select(2, cli("show test.count"))
    assert.is_truthy(text:find("quarantined since .*: too many, by far"), text)
    code, text = cli("quarantine test.count")
    assert.equal(1, code)
    assert.is_truthy(text:find('chainwatch rules quarantine: rule "test.count" cannot be quarantined: it is quarantined since', 1, true), text)
    assert.equal(0, (cli("release test.count")))
    code, text = cli("release test.coutn")
    assert.equal(1, code)
    assert.is_truthy(text:find('there is no rule "test.coutn"; did you mean "test.count"?', 1, true), text)
    assert.equal(0, (cli("disable test.count")))
    assert.equal(0, (cli("enable test.count")))
    engine.write(dir .. "/next.lua", count("test.count", "4.0.0", "stable", 2))
    code, text = cli("submit " .. dir .. "/next.lua")
    assert.equal(0, code, text)
    assert.is_truthy(text:find("^test.count 4.0.0 is a candidate now"), text)
    engine.wait("the candidate to be warm", 10, function() return rule("test.count").candidate.status == "candidate" end)
    send(4, { from = "0x00000000000000000000000000000000000000d4" })
    code, text = cli("diff --live test.count")
    assert.equal(0, code, text)
    assert.is_truthy(text:find("alerts: live 0, candidate 3: 0 common, 3 added, 0 removed", 1, true), text)
    assert.is_truthy(text:find("+ 0x%x+ medium +0.500 0x00000000000000000000000000000000000000d4"), text)
    code, text = cli("diff --live test.fails")
    assert.equal(1, code)
    assert.is_truthy(text:find('rule "test.fails" has no candidate', 1, true), text)
    assert.equal(2, (cli("diff")))
    assert.equal(2, (cli("promote")))
    code, text = cli("promote test.count")
    assert.equal(0, code, text)
    text = select(2, cli("show test.count --source"))
    assert.equal(count("test.count", "4.0.0", "stable", 2), text)
    code, text = cli("withdraw test.count")
    assert.equal(1, code)
    assert.is_truthy(text:find('rule "test.count" has no candidate', 1, true), text)
    code, text = cli("submit " .. dir .. "/no.lua")
    assert.equal(2, code, text)
    engine.write(dir .. "/broken.lua", "return rule { id = 'test.count', nonsense = 1 }")
    code, text = cli("submit " .. dir .. "/broken.lua")
    assert.equal(1, code)
    assert.is_truthy(text:find('candidates/test.count.lua:1: .*unknown key "nonsense"'), text)
    code, text = cli("alarms")
    assert.equal(0, code, text)
  end)

  it("says what a reload has changed", function()
    engine.write(dir .. "/rules/count.lua", count("test.count", "5.0.0", "stable", 9))
    engine.write(dir .. "/rules/more.lua", count("test.more", "1.0.0", "stable", 3))
    os.remove(dir .. "/rules/fails.lua")
    local code, text = engine.run(engine.bin .. " reload --set general.data_dir=" .. e.dir)
    assert.equal(0, code, text)
    assert.is_truthy(text:find("~ rule test.count 4.0.0 -> 5.0.0", 1, true), text)
    assert.is_truthy(text:find("+ rule test.more 1.0.0", 1, true), text)
    assert.is_truthy(text:find("- rule test.fails", 1, true), text)
  end)

  describe("out of the ordinary", function()
    local x, home
    setup(function()
      home = engine.tmpdir()
      os.execute("mkdir -p " .. home .. "/rules")
      engine.write(home .. "/rules/loud.lua", (count("test.loud", "1.0.0", "stable", 2)
        :gsub("params =", "cooldown = 0, expect = { per_day = { min = 0, max = 3 } },\n  params =", 1)))
      engine.write(home .. "/rules/silent.lua", (count("test.silent", "1.0.0", "stable", 1000)
        :gsub("params =", "expect = { per_day = { min = 1, max = 50 } },\n  params =", 1)))
      x = engine.start { dir = home, sets = { "rules.dir=" .. home .. "/rules", "rules.rate_check_s=1" } }
    end)
    teardown(function()
      x:stop()
      os.execute("rm -rf " .. home)
    end)
    local function see(id) return select(2, x:get("/api/v1/rules/" .. id)) end

    it("a rule that floods raises an alarm", function()
      for _ = 1, 6 do assert.equal(200, (x:post("/api/v1/predict", engine.tx()))) end
      engine.wait("the alarm", 15, function() return see("test.loud").alarm ~= cjson.null end)
      local r = see("test.loud")
      assert.equal("flood", r.alarm.kind)
      assert.same({ min = 0, max = 3, basis = "declared" }, r.rate.expected)
      assert.equal(5, r.rate.last_day)
      local _, metrics = x:get("/metrics")
      assert.is_truthy(metrics:find('chainwatch_rule_alarm{rule="test.loud",role="live",kind="flood"} 1', 1, true))
      assert.is_truthy(metrics:find('chainwatch_rule_calls_total{rule="test.loud",role="live"} 6', 1, true))
      assert.is_truthy(metrics:find('chainwatch_rule_seconds_count{rule="test.loud",role="live"} %d'))
      engine.wait("the record", 10, function() return x:sql("SELECT count(*) FROM rule_alarms WHERE cleared_at IS NULL") == "1" end)
      assert.equal("1", x:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'rule.alarm'"))
      local _, page = x:get("/api/v1/rules/alarms?open=true")
      assert.equal("test.loud", page.items[1].rule)
      assert.equal("5 alerts a day, expected are 0 to 3", page.items[1].message)
    end)

    it("and it ends when the rate does", function()
      x:sql("UPDATE anomalies SET detected_at = detected_at - interval '3 days'")
      engine.wait("the end of the alarm", 15, function() return see("test.loud").alarm == cjson.null end)
      engine.wait("the record", 10, function() return x:sql("SELECT count(*) FROM rule_alarms WHERE cleared_at IS NULL") == "0" end)
    end)

    it("a rule that falls silent while transactions come raises one, once it is a day old", function()
      assert.equal(cjson.null, see("test.silent").alarm)
      x:sql("UPDATE models SET created_at = created_at - interval '2 days' WHERE name = 'test.silent'")
      engine.wait("the alarm", 15, function() return see("test.silent").alarm ~= cjson.null end)
      assert.equal("silent", see("test.silent").alarm.kind)
    end)

    it("what is ordinary is learnt where nothing is declared", function()
      engine.write(home .. "/rules/learnt.lua", (count("test.learnt", "1.0.0", "stable", 1000)))
      assert.equal(200, (x:post("/api/v1/admin/reload")))
      x:sql([[INSERT INTO anomalies (transaction_id, model_id, anomaly_score, severity, confidence, rule_id, rule_version, detected_at)
        SELECT 1, (SELECT max(id) FROM model_versions), 0.5, 'low', 0.5, 'test.learnt', '1.0.0', now() - interval '1 day' - n * interval '1 hour'
        FROM generate_series(1, 140) n]])
      x:sql("UPDATE models SET created_at = created_at - interval '9 days' WHERE name = 'test.learnt'")
      engine.wait("the alarm", 15, function() return see("test.learnt").alarm ~= cjson.null end)
      local r = see("test.learnt")
      assert.equal("silent", r.alarm.kind)
      assert.equal("learnt", r.rate.expected.basis)
    end)
  end)
end)
