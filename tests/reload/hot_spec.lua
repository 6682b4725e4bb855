--- Everything that can change while the engine runs does: rules, their parameters, lists, endpoint handlers, the retention policy,
--- settings, certificates; in dev mode by itself.

local engine = require "tests.support.engine"

local RULE = [[
return rule {
  id = "test.hot", version = "%s", severity = "low", title = "Hot", description = "Changes.", cooldown = 0,
  params = { limit = 1e20 },
  state = function() return { bad = list.contains { category = "mixer" } } end,
  evaluate = function(tx, s, p)
    local listed = s.bad:has(tx)
    if tx.value >= p.limit or listed then return alert { score = 0.5, explain = { listed = listed or false } } end
  end,
  tests = {
    { name = "quiet", given = tx { from = A, to = B, value = 1 }, expect = "quiet" },
    { name = "fires", given = tx { from = A, to = B, value = 1e30 }, expect = "alert" },
  },
}
]]

describe("while running", function()
  local e, dir
  local function settings(more)
    engine.write(dir .. "/conf/chainwatch.lua", string.format([[return { general = { dev = true },
      rules = { dir = "%s/rules", conf = "%s/conf/rules.lua", lists = "%s/lists" }, scripts = { dir = "%s/scripts" }, %s }]],
      dir, dir, dir, dir, more or ""))
  end
  setup(function()
    dir = engine.tmpdir()
    os.execute(string.format("cd %s && mkdir rules conf lists && cp -r $OLDPWD/scripts .", dir))
    engine.write(dir .. "/rules/hot.lua", RULE:format("1.0.0"))
    engine.write(dir .. "/conf/rules.lua", "return {}")
    engine.write(dir .. "/lists/own.csv", "address,category,name,source\n0x00000000000000000000000000000000000000ff,mixer,x,test\n")
    settings()
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. dir .. "/conf/chainwatch.lua" }
  end)
  teardown(function()
    e:stop { "refused, the old generation goes on" }
    os.execute("rm -rf " .. dir)
  end)

  local function alerts(with)
    local status, verdict = e:post("/api/v1/predict", engine.tx(with))
    return status == 200 and #verdict.alerts
  end
  local function told(text)
    engine.wait("the words: " .. text, 15, function() return (engine.read(e.log) or ""):find(text, 1, true) end)
  end

  it("a rule changes by itself in dev mode, and what came of it is printed", function()
    engine.write(dir .. "/rules/hot.lua", RULE:format("1.1.0"))
    engine.wait("the new version", 15, function() return select(2, e:get("/api/v1/rules/test.hot")).version == "1.1.0" end)
    told('"change":"changed","version":"1.1.0","from":"1.0.0"')
  end)

  it("a broken one is refused in plain words", function()
    engine.write(dir .. "/rules/hot.lua", "return rule {")
    told("  not taken: " .. dir .. "/rules/hot.lua:1:")
    assert.equal("1.1.0", select(2, e:get("/api/v1/rules/test.hot")).version)
    engine.write(dir .. "/rules/.hot.lua.swp", "x")
    engine.write(dir .. "/rules/hot.lua", RULE:format("1.2.0"))
    engine.wait("the new version", 15, function() return select(2, e:get("/api/v1/rules/test.hot")).version == "1.2.0" end)
  end)

  it("parameters", function()
    assert.equal(0, alerts { value = "1000" })
    engine.write(dir .. "/conf/rules.lua", 'return { ["test.hot"] = { limit = 1000 } }')
    engine.wait("the parameter", 15, function() return alerts { value = "1000" } == 1 end)
    engine.write(dir .. "/conf/rules.lua", "return {}")
    engine.wait("the parameter to go", 15, function() return alerts { value = "1000" } == 0 end)
  end)

  it("address lists", function()
    local to = "0x00000000000000000000000000000000000000ab"
    assert.equal(0, alerts { to = to, value = "1" })
    engine.write(dir .. "/lists/own.csv", "address,category,name,source\n" .. to .. ",mixer,x,test\n")
    engine.wait("the list", 15, function() return alerts { to = to, value = "1" } == 1 end)
  end)

  it("endpoint handlers", function()
    engine.write(dir .. "/scripts/api/hot.lua", 'endpoint { method = "GET", path = "/hot", auth = "none", summary = "x", '
      .. 'responses = {}, handler = function() return reply(200, { n = 1 }) end }')
    engine.wait("the route", 15, function() return e:get("/hot") == 200 end)
    engine.write(dir .. "/scripts/api/hot.lua", 'endpoint { method = "GET", path = "/hot", auth = "none", summary = "x", '
      .. 'responses = {}, handler = function() return reply(200, { n = 2 }) end }')
    engine.wait("the handler", 15, function() return select(2, e:get("/hot")).n == 2 end)
    os.remove(dir .. "/scripts/api/hot.lua")
    engine.wait("the route to go", 15, function() return e:get("/hot") == 404 end)
  end)

  it("settings: limits, pool, log level", function()
    local big = engine.tx { input = "0x" .. ("00"):rep(3000) }
    assert.equal(200, (e:post("/api/v1/predict", big)))
    settings('http = { body_bytes = 2048 }, database = { pool_size = 7, pool_overflow = 1 }, log = { level = "debug" }')
    engine.wait("the limit", 15, function() return e:post("/api/v1/predict", big) == 413 end)
    told('"http.body_bytes"')
    told("level=debug")
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    settings('http = { listen = 7 }')
    told("  not taken: " .. dir .. "/conf/chainwatch.lua")
    settings()
    engine.wait("the limit to go", 15, function() return e:post("/api/v1/predict", big) == 200 end)
  end)

  it("the retention policy", function()
    local policy = dir .. "/scripts/policy/retention.lua"
    local before = engine.read(policy)
    engine.write(policy, (before:gsub('name = "verdicts"', 'name = "hot verdicts"')))
    engine.wait("the policy", 15, function()
      local code, text = engine.run(engine.bin .. " retention plan --config " .. dir .. "/conf/chainwatch.lua --set general.data_dir=" .. e.dir)
      return code == 0 and text:find("hot verdicts", 1, true)
    end)
    engine.write(policy, before)
  end)
end)

describe("certificates", function()
  it("new connections get the new one, and the old ones go on", function()
    local dir = engine.tmpdir()
    local function certificate(name)
      assert.equal(0, (engine.run(string.format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        .. "-subj /CN=%s -keyout %s/key.new -out %s/cert.new && mv %s/key.new %s/key.pem && mv %s/cert.new %s/cert.pem", name, dir, dir,
        dir, dir, dir, dir))))
    end
    os.execute("mkdir " .. dir .. "/rules")
    certificate("one.test")
    local e = engine.start { sets = { "http.tls_cert=" .. dir .. "/cert.pem", "http.tls_key=" .. dir .. "/key.pem",
      "rules.dir=" .. dir .. "/rules" } }
    local function subject()
      return select(2, engine.run(string.format("openssl s_client -connect 127.0.0.1:%d </dev/null 2>/dev/null | openssl x509 -noout -subject",
        e.port)))
    end
    local function get(path)
      return engine.run(string.format("curl -sk -o /dev/null -w '%%{http_code}\\n' -X POST -H 'X-API-Key: %s' https://127.0.0.1:%d%s", e.key,
        e.port, path))
    end
    assert.is_truthy(subject():find("one.test", 1, true))
    certificate("two.test")
    assert.is_truthy(subject():find("one.test", 1, true))
    assert.is_truthy(select(2, get("/api/v1/admin/reload")):find("200", 1, true))
    assert.is_truthy(subject():find("two.test", 1, true))
    engine.write(dir .. "/cert.pem", "nonsense")
    assert.is_truthy(select(2, get("/api/v1/admin/reload")):find("422", 1, true))
    assert.is_truthy(subject():find("two.test", 1, true))
    e:stop { "refused, the old generation goes on" }
    os.execute("rm -rf " .. dir)
  end)
end)
