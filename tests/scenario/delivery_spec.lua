--- Alerts reach their receivers: signed, at least once, through failures and kills; and only who wants them.

local engine = require "tests.support.engine"
local cjson = require "cjson"

local SECRET = "whsec_" .. "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLSw="

local RULE = [[
return rule {
  id = "test.big", version = "1.0.0", severity = "high", title = "Big <@everyone> amount", description = "Over the limit.",
  cooldown = "0s", tags = { "aml.test" },
  evaluate = function(tx)
    if tx.ether >= 50 then
      return alert { score = 0.9, dedup = tx.hash, severity = tx.ether >= 500 and "critical" or "high",
        explain = { ether = tx.ether } }
    end
  end,
  tests = {
    { name = "quiet", given = tx { ether = 1 }, expect = "quiet" },
    { name = "fires", given = tx { ether = 60 }, expect = "alert" },
  },
}
]]

describe("delivery", function()
  local e, dir, file, http, smtp, am
  local function received(path, kind)
    local list = {}
    for line in (engine.read(file) or ""):gmatch("[^\n]+") do
      local entry = cjson.decode(line)
      if entry.path == path and (not kind or entry.body:find(kind, 1, true)) then list[#list + 1] = entry end
    end
    return list
  end
  local function config(more)
    local base = "http://127.0.0.1:" .. http
    engine.write(dir .. "/chainwatch.lua", string.format([[
return {
  rules = { dir = "%s/rules" },
  deliver = {
    { name = "hook", url = "%s/ok", secrets = { "%s" }, allow_private = true, per_minute = 1000 },
    { name = "cloud", format = "cloudevents", url = "%s/ok", min_severity = "critical", allow_private = true },
    { name = "chat", format = "slack", url = "%s/ok", rules = { "test.*" }, group = 20, allow_private = true },
    { name = "other", url = "%s/ok", rules = { "eth.*" }, tags = { "nothing" }, allow_private = true },
    { name = "down", url = "%s/bad", allow_private = true },
    { name = "gone", url = "%s/gone", allow_private = true },
    { name = "inside", url = "%s/ok" },
    { name = "moved", url = "%s/moved", allow_private = true, max_attempts = 1 },
    { name = "mail", format = "email", url = "smtp://127.0.0.1:%s", from = "cw@example.org", to = { "soc@example.org" } },
    { name = "am", format = "alertmanager", url = "http://127.0.0.1:%s/api/v2/alerts", allow_private = true },
    %s
  },
}]], dir, base, SECRET, base, base, base, base, base, base, base, smtp, am or "9", more or ""))
  end
  local function send(ether)
    local tx = engine.tx { value = ether .. "000000000000000000" }
    local status, verdict = e:post("/api/v1/predict", tx)
    assert.equal(200, status)
    return tx.hash, verdict
  end

  setup(function()
    dir = engine.tmpdir()
    file = dir .. "/received"
    os.execute("mkdir " .. dir .. "/rules")
    engine.write(dir .. "/rules/big.lua", RULE)
    os.execute(("node tests/support/receiver.mjs %s %s >%s/ports 2>&1 & echo $! >%s/receiver.pid"):format(file, SECRET, dir, dir))
    http, smtp = engine.wait("the receiver", 20, function()
      local a, b = (engine.read(dir .. "/ports") or ""):match("(%d+) (%d+)\n")
      return a and { a, b }
    end)[1], (engine.read(dir .. "/ports")):match("%d+ (%d+)")
    local _, port = engine.run([[python3 -c 'import socket;s=socket.socket();s.bind(("127.0.0.1",0));print(s.getsockname()[1])' 2>/dev/null || echo 19093]])
    am = port:match("%d+")
    engine.write(dir .. "/am.yml", "route:\n  receiver: none\nreceivers:\n  - name: none\n")
    os.execute(("prometheus-alertmanager --config.file=%s/am.yml --storage.path=%s/am --web.listen-address=127.0.0.1:%s "
      .. "--cluster.listen-address= >%s/am.log 2>&1 & echo $! >%s/am.pid"):format(dir, dir, am, dir, dir))
    config()
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua" }
    e:post("/api/v1/jobs/deliver/run")      -- its own begins with the next minute
  end)
  teardown(function()
    e:stop { "refused, the old generation goes on" }
    os.execute("kill $(cat " .. dir .. "/receiver.pid) $(cat " .. dir .. "/am.pid) 2>/dev/null")
    os.execute("rm -rf " .. dir)
  end)

  it("signs for an independent library, once an alert", function()
    local hash = send(60)
    send(1)
    local got = engine.wait("the webhook", 90, function()
      local list = received("/ok", hash)
      return #list >= 2 and list
    end)
    local hook
    for _, entry in ipairs(got) do
      if entry.signed == true then hook = cjson.decode(entry.body) end
    end
    assert.is_truthy(hook, cjson.encode(got))
    assert.equal("anomaly.new", hook.type)
    assert.equal("test.big", hook.data.alert.rule)
    assert.equal(hash, hook.data.alert.transaction.hash)
  end)

  it("routes by severity, rule, tag; formats as each receiver wants it; mentions nobody", function()
    local hash = send(600)
    local cloud = engine.wait("the event", 60, function() return received("/ok", '"specversion"')[1] end)
    assert.equal("application/cloudevents+json", cloud.type)
    assert.equal(hash, cjson.decode(cloud.body).data.alert.transaction.hash)
    local chat = engine.wait("the chat", 60, function() return received("/ok", '"mrkdwn"')[1] end)
    assert.is_nil(chat.body:find("<@everyone>", 1, true))
    local mail = engine.wait("the mail", 60, function() return received("smtp", hash)[1] end)
    assert.is_truthy(mail.body:find("Subject: [chainwatch] critical: Big", 1, true), mail.body)
    engine.wait("Alertmanager", 60, function()
      local _, text = engine.run("curl -s http://127.0.0.1:" .. am .. "/api/v2/alerts")
      return text:find('"alertname":"test.big"', 1, true)
    end)
    assert.equal("0", e:sql("SELECT count(*) FROM outbox WHERE target = 'other'"))
  end)

  it("does not call private addresses unless told, nor follow a redirect; gives up what is gone", function()
    engine.wait("the ends", 60, function()
      return e:sql("SELECT count(*) FROM outbox WHERE target = 'gone' AND failed_at IS NOT NULL") ~= "0"
        and e:sql("SELECT count(*) FROM outbox WHERE target = 'inside' AND last_error LIKE '%private%'") ~= "0"
        and e:sql("SELECT count(*) FROM outbox WHERE target = 'moved' AND failed_at IS NOT NULL") ~= "0"
    end)
    local status, page = e:get("/api/v1/deliveries?target=gone&state=failed")
    assert.equal(200, status)
    assert.is_truthy(page.items[1].last_error:find("410", 1, true))
  end)

  it("keeps what a receiver that is down has not taken, and delivers it when it is back, after kill -9 too", function()
    local hash = send(70)
    engine.wait("a failed attempt", 60, function() return received("/bad", hash)[1] end)
    e:kill("KILL")
    engine.wait("its end", 10, function() return not e:alive() end)
    e = engine.start { dir = e.dir, env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua" }
    e.owns = true
    engine.write(file .. ".up", "")
    assert.equal(200, (e:post("/api/v1/deliveries/targets/down/retry")))
    e:sql("UPDATE outbox SET next_attempt_at = now() WHERE delivered_at IS NULL AND target = 'down'")
    engine.wait("the delivery", 30, function()
      for _, entry in ipairs(received("/bad", hash)) do
        if entry.status == 204 then return true end
      end
    end)
  end)

  it("tells of its targets, tries one, refuses settings that make no sense", function()
    local status, list, _, text = e:get("/api/v1/deliveries/targets")
    assert.equal(200, status)
    assert.equal("hook", list.items[1].name)
    assert.is_nil(text:find(SECRET, 1, true))
    assert.equal(200, (e:post("/api/v1/deliveries/targets/hook/test")))
    local st, why = e:post("/api/v1/deliveries/targets/gone/test")
    assert.equal(502, st)
    assert.is_truthy(why.detail:find("410", 1, true))
    assert.equal(404, (e:post("/api/v1/deliveries/targets/nobody/test")))
    for more, message in pairs {
      ['{ name = "x" }'] = 'deliver "x", url: is missing',
      ['{ name = "hook", url = "http://a/" }'] = 'deliver "hook", name: is used twice',
      ['{ name = "x", url = "ftp://a/" }'] = 'deliver "x", url: ',
      ['{ name = "x", url = "http://a/", formt = "slack" }'] = 'did you mean "format"?',
      ['{ name = "x", url = "http://a/", format = "fax" }'] = '"fax" is none of',
    } do
      config(more)
      local s, body = e:post("/api/v1/admin/reload")
      assert.equal(422, s)
      assert.is_truthy(body.detail:find(message, 1, true), body.detail)
    end
  end)
end)
