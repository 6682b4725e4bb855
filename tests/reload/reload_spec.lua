--- Reload: good, broken, under load; all or nothing, and nothing is lost.

local engine = require "tests.support.engine"
local cjson = require "cjson"

local RULE = [[
return rule {
  id = "test.any", version = "%s", severity = "low", status = "stable", title = "Anything of some value",
  description = "Fires on each transaction above a limit.",
  params = { limit = %s },
  evaluate = function(tx, s, p)
    if tx.value > p.limit then return alert { score = 0.5, explain = { value = tx.value } } end
  end,
  tests = {
    { name = "quiet", given = txs { n = 1, from = A, to = B, value = 1 }, expect = "quiet" },
    { name = "fires", given = txs { n = 1, from = A, to = B, value = 1e30 }, expect = "alert" },
  },
}
]]

describe("reload", function()
  local e, dir
  setup(function()
    dir = engine.tmpdir()
    os.execute("mkdir -p " .. dir .. "/rules && cp -r scripts " .. dir .. " && cp rules/fan_out.lua rules/value_outlier.lua "
      .. dir .. "/rules")      -- all of them would take their tests a second at each of many reloads
    engine.write(dir .. "/rules.lua", "return {}")
    engine.write(dir .. "/chainwatch.lua", string.format(
      "return { rules = { dir = '%s/rules', conf = '%s/rules.lua' }, scripts = { dir = '%s/scripts' } }", dir, dir, dir))
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua" }
  end)
  teardown(function()
    e:stop { "refused, the old generation goes on", "handler failed" }
    os.execute("rm -rf " .. dir)
  end)

  local function reload()
    return engine.run(string.format("CHAINWATCH_DATA_DIR=%s CHAINWATCH_CONFIG=%s/chainwatch.lua %s reload", e.dir, dir, engine.bin))
  end
  local function ruleset()
    local _, set = e:get("/api/v1/ruleset")
    return set
  end
  local function rule_named(id)
    for _, r in ipairs(ruleset().rules) do if r.id == id then return r end end
  end

  it("takes a new rule, by the command", function()
    engine.write(dir .. "/rules/any.lua", RULE:format("1.0.0", "2e18"))
    local code, text = reload()
    assert.equal(0, code, text)
    assert.is_truthy(text:find("rules", 1, true))
    assert.equal("1.0.0", rule_named("test.any").version)
    local _, verdict = e:post("/api/v1/predict", engine.tx { value = "3000000000000000000" })
    assert.equal("test.any", verdict.alerts[1].rule)
    assert.equal("1.0.0", e:sql("SELECT v.version FROM anomalies a JOIN model_versions v ON v.id = a.model_id WHERE a.id = "
      .. verdict.alerts[1].id))
  end)

  it("takes a new version, by SIGHUP", function()
    engine.write(dir .. "/rules/any.lua", RULE:format("1.1.0", "5e18"))
    e:kill("HUP")
    engine.wait("the new version", 10, function() return rule_named("test.any").version == "1.1.0" end)
    local _, verdict = e:post("/api/v1/predict", engine.tx { value = "3000000000000000000" })
    assert.equal(0, #verdict.alerts)
  end)

  it("takes parameters", function()
    engine.write(dir .. "/rules.lua", 'return { ["test.any"] = { limit = 1e18 } }')
    assert.equal(0, (reload()))
    local _, verdict = e:post("/api/v1/predict", engine.tx { value = "3000000000000000000" })
    assert.equal(1, #verdict.alerts)
  end)

  local broken = {
    { "a rule that does not compile", "rules/any.lua", "return rule {", "any.lua:1:" },
    { "a rule whose test fails", "rules/any.lua", RULE:format("1.2.0", "1e40"), "fires" },
    { "a rule without tests", "rules/any.lua", (RULE:format("1.2.0", "1"):gsub("tests = .*", "}")), "test" },
    { "a rule with an unknown key", "rules/any.lua", (RULE:format("1.2.0", "1"):gsub("severity", "severty")), "severty" },
    { "a rule that never ends", "rules/any.lua", "while true do end", "any.lua" },
    { "two rules of one id", "rules/other.lua", RULE:format("1.0.0", "1"), "test.any" },
    { "parameters of another type", "rules.lua", 'return { ["test.any"] = { limit = "much" } }', "limit" },
    { "a script that does not compile", "scripts/api/zz.lua", "endpoint {", "api/zz.lua:1:" },
    { "an endpoint with an unknown key", "scripts/api/zz.lua",
      'endpoint { method = "GET", path = "/zz", auth = "none", sumary = "x" }', "sumary" },
    { "a route that is there already", "scripts/api/zz.lua",
      'endpoint { method = "GET", path = "/health", auth = "none", summary = "x", responses = {}, handler = function() end }',
      "/health" },
    { "settings with an unknown key", "chainwatch.lua", "return { http = { listn = 'x' } }", "listn" },
  }
  for _, case in ipairs(broken) do
    it("refuses " .. case[1] .. " and changes nothing", function()
      local path = dir .. "/" .. case[2]
      local before, digest = engine.read(path), ruleset().digest
      engine.write(path, case[3])
      local code, text = reload()
      if before then engine.write(path, before) else os.remove(path) end
      assert.is_true(code == 1 or code == 2, text)
      assert.is_truthy(text:find(case[4], 1, true), text)
      assert.equal(digest, ruleset().digest)
      assert.equal(200, (e:get("/health/ready")))
      assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    end)
  end

  it("takes an endpoint, and lets it go again", function()
    local path = dir .. "/scripts/api/hello.lua"
    engine.write(path, [[
endpoint { method = "GET", path = "/api/v1/hello/{name}", auth = "viewer", summary = "greets",
  params = { times = { type = "integer", min = 1, max = 3, default = 1 } },
  responses = { [200] = "a greeting" },
  handler = function(req) return reply(200, { text = ("hello " .. req.params.name):rep(req.params.times) }) end }
]])
    assert.equal(0, (reload()))
    local _, body = e:get("/api/v1/hello/x?times=2")
    assert.equal("hello xhello x", body.text)
    assert.equal(400, (e:get("/api/v1/hello/x?times=9")))
    os.remove(path)
    assert.equal(0, (reload()))
    assert.equal(404, (e:get("/api/v1/hello/x")))
  end)

  it("survives handlers that fail, loop, or answer nonsense", function()
    local path = dir .. "/scripts/api/bad.lua"
    engine.write(path, [[
local function bad(path, handler)
  endpoint { method = "GET", path = path, auth = "none", summary = "x", responses = {}, handler = handler }
end
bad("/bad/raise", function() error("on purpose") end)
bad("/bad/loop", function() while true do end end)
bad("/bad/nonsense", function() return 7 end)
bad("/bad/memory", function() local t = {} while true do t[#t + 1] = ("x"):rep(100000) end end)
bad("/bad/global", function() surprise = 1 end)
]])
    assert.equal(0, (reload()))
    for _, name in ipairs { "raise", "loop", "nonsense", "memory", "global" } do
      local status, body = e:get("/bad/" .. name)
      assert.equal(500, status, name)
      assert.equal("script_error", body.code)
      assert.equal(200, (e:get("/health")))
    end
    os.remove(path)
    assert.equal(0, (reload()))
  end)

  it("loses nothing under load: four kinds of reload, a ledger of every request", function()
    local code, text = engine.run("SOAK_LAX=1 CHAINWATCH_BIN=" .. engine.bin .. " luajit tests/soak/soak.lua 16 3 20 2")
    assert.equal(0, code, text)
    assert.is_truthy(text:find(" 0 failed\n", 1, true), text)
    assert.is_truthy(text:find(" 0 lost, 0 doubled\n", 1, true), text)
  end)

  it("names the settings that only a restart takes", function()
    local path = dir .. "/chainwatch.lua"
    local before = engine.read(path)
    engine.write(path, (before:gsub("return {", "return { pipeline = { ring_slots = 128 }, http = { idle_ms = 7000 }, ", 1)))
    local code, text = reload()
    engine.write(path, before)
    assert.equal(0, code)
    assert.is_truthy(text:find("needs a restart: pipeline.ring_slots", 1, true), text)
    assert.equal(0, (reload()))
  end)

  it("keeps the versions that have run", function()
    local _, body = e:get("/api/v1/ruleset")
    assert.equal(64, #cjson.encode(body.digest) - 2)
    assert.is_true(tonumber(e:sql("SELECT count(*) FROM model_versions v JOIN models m ON m.id = v.model_id WHERE m.name = 'test.any'")) >= 2)
  end)
end)
