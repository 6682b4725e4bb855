--- Input that means harm: lines without an end, pipes among the sources, rules and scripts that return nonsense,
--- settings of a reload that was refused.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local RULE = [[
return rule {
  id = "test.hostile", version = "1.0.0", severity = "low", status = "stable", title = "Hostile",
  description = "Misbehaves for some amounts.",
  %s
  evaluate = function(tx, s, p)
    if tx.value_wei == "7" then return alert { score = 0.5, explain = { a = 1 } } end
    if tx.value_wei == "8" then return alert { score = 1, explain = { k = "v\255\0w", t = { 1, { x = "\0" } } } } end
    if tx.value_wei == "9" then return alert { score = 1, explain = { ["k\255"] = 1, ["k\254"] = 2 } } end
    if tx.value_wei == "10" then return alert { score = 1, explain = { a = 0 / 0, b = 1 / 0 } } end
  end,
  tests = {
    { name = "quiet", given = txs { n = 1, from = A, to = B, value = "1" }, expect = "quiet" },
    { name = "fires", given = txs { n = 1, from = A, to = B, value = "7" }, expect = "alert" },
  },
}
]]

local ENDPOINTS = [[
local function get(path, handler)
  endpoint { method = "GET", path = path, auth = "none", summary = "s", responses = { [200] = "x" }, handler = handler }
end
get("/test/type", function() return reply_text(200, "text/plain\r\nX-Evil: 1\r\n\r\nbody", "x") end)
get("/test/headers", function()
  return reply(200, {}, { ["X-A"] = "a\r\nX-Evil: 1", ["X\r\nX-Evil"] = "1", ["Content-Length"] = "5", [""] = "x",
    ["Transfer-Encoding"] = "chunked", Connection = "upgrade", ["a b"] = "c", ["X-N"] = "a\0b", ["X-Good"] = "1" })
end)
get("/test/batch", function() return predict.batch() end)
get("/test/time", function() return reply(200, { (pcall(time.format, 0 / 0)), (pcall(time.format, 1e300)) }) end)
]]

describe("hostile input", function()
  local e, dir
  setup(function()
    dir = engine.tmpdir()
    os.execute("cp -r rules scripts " .. dir)
    engine.write(dir .. "/rules/hostile.lua", RULE:format(""))
    engine.write(dir .. "/scripts/api/hostile.lua", ENDPOINTS)
    engine.write(dir .. "/chainwatch.lua", string.format(
      "return { rules = { dir = '%s/rules' }, scripts = { dir = '%s/scripts' } }", dir, dir))
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua" }
  end)
  teardown(function()
    e:stop { "refused, the old generation goes on", "handler failed" }
    os.execute("rm -rf " .. dir)
  end)

  local function reload()
    local status, body = e:post("/api/v1/admin/reload")
    return status, type(body) == "table" and body.detail
  end

  describe("in a stream of lines", function()
    local function stream(body)
      return e:post("/api/v1/predict/batch", body, { ["Content-Type"] = "application/x-ndjson" })
    end

    it("takes a line of more than a megabyte", function()
      local tx = engine.tx { input = "0x" .. ("ab"):rep(700000) }
      local small = cjson.encode(engine.tx())
      local status, text = stream(small .. "\n" .. cjson.encode(tx) .. "\n" .. small)
      assert.equal(200, status)
      assert.equal(3, select(2, text:gsub('"transaction_id"', "")))
    end)

    it("refuses a line without an end, and goes on", function()
      local c = assert(socket.tcp())
      c:settimeout(10)
      c:connect("127.0.0.1", e.port)
      c:send("POST /api/v1/predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nX-API-Key: "
        .. e.key .. "\r\nContent-Length: 4300000\r\n\r\n" .. ("a"):rep(4300000))
      local text, _, partial = c:receive("*a")
      c:close()
      assert.is_truthy((text or partial):find('"line_too_long"', 1, true))
      assert.equal(200, (e:get("/health")))
    end)
  end)

  it("asks for JSON by its media type", function()
    local status, body = e:post("/api/v1/predict", cjson.encode(engine.tx()), { ["Content-Type"] = "text/plain" })
    assert.equal(415, status)
    assert.equal("media_type", body.code)
  end)

  describe("among the sources", function()
    for _, path in ipairs { "rules/pipe.lua", "scripts/api/pipe.lua" } do
      it("refuses a pipe: " .. path, function()
        os.execute("mkfifo " .. dir .. "/" .. path)
        local started = socket.gettime()
        local status, detail = reload()
        os.remove(dir .. "/" .. path)
        assert.equal(422, status)
        assert.is_truthy(detail:find("pipe.lua\": not a file", 1, true), detail)
        assert.is_true(socket.gettime() - started < 5)
      end)
    end

    for _, case in ipairs {
      { "an error that is no text", "error({})", "bad.lua:1: error value is a table" },
      { "an error raised in C", "string.format('%99999d', 1)", "bad.lua:1: invalid option" },
      { "a stack overflow", "local function f() return 1 + f() end f()", "bad.lua:1: stopped: stack overflow" },
    } do
      it("names the file of " .. case[1], function()
        engine.write(dir .. "/rules/bad.lua", case[2])
        local status, detail = reload()
        os.remove(dir .. "/rules/bad.lua")
        assert.equal(422, status)
        assert.is_truthy(detail:find(case[3], 1, true), detail)
      end)
    end

    it("takes no settings from a reload whose rules are refused", function()
      local conf = engine.read(dir .. "/chainwatch.lua")
      engine.write(dir .. "/chainwatch.lua", (conf:gsub("return {", "return { http = { body_bytes = 2000 },")))
      engine.write(dir .. "/rules/bad.lua", "return rule {}")
      assert.equal(422, (reload()))
      assert.equal(200, (e:post("/api/v1/predict", engine.tx { input = "0x" .. ("ab"):rep(2000) })))
      os.remove(dir .. "/rules/bad.lua")
      assert.equal(200, (reload()))
      assert.equal(413, (e:post("/api/v1/predict", engine.tx { input = "0x" .. ("ab"):rep(2000) })))
      engine.write(dir .. "/chainwatch.lua", conf)
      assert.equal(200, (reload()))
    end)

    it("refuses limits of an endpoint that are no numbers", function()
      engine.write(dir .. "/scripts/api/bad.lua", 'endpoint { method = "GET", path = "/test/t", auth = "none",'
        .. ' summary = "s", timeout_ms = 0 / 0, responses = {}, handler = function() end }')
      local status, detail = reload()
      os.remove(dir .. "/scripts/api/bad.lua")
      assert.equal(422, status)
      assert.is_truthy(detail:find("bad.lua:1: endpoint GET /test/t: timeout_ms must be", 1, true), detail)
    end)
  end)

  describe("from rules", function()
    local function alerts(value)
      local status, verdict = e:post("/api/v1/predict", engine.tx { value = value })
      assert.equal(200, status)
      local mine = {}
      for _, a in ipairs(verdict.alerts) do if a.rule == "test.hostile" then mine[#mine + 1] = a end end
      return mine
    end

    it("keeps an alert whose texts cannot be stored as they are", function()
      local a = alerts "8"
      assert.equal(1, #a)
      assert.equal("v\239\191\189\239\191\189w", a[1].features.k)
      local status, page = e:get("/api/v1/anomalies?rule=test.hostile&limit=1")
      assert.equal(200, status)
      assert.equal(a[1].id, page.items[1].id)
    end)

    it("takes keys that are not UTF-8 for a fault of the rule", function()
      assert.equal(0, #alerts "9")
      local _, set = e:get("/api/v1/ruleset")
      for _, r in ipairs(set.rules) do
        if r.id == "test.hostile" then assert.equal(1, r.faults) else assert.equal(0, r.faults) end
      end
    end)

    it("writes numbers that JSON does not have as null", function()
      assert.equal(cjson.null, alerts("10")[1].features.a)
    end)
  end)

  describe("from scripts", function()
    it("lets no content type end the head", function()
      local status, _, headers = e:get("/test/type")
      assert.equal(500, status)
      assert.is_nil(headers["x-evil"])
    end)

    it("lets no header frame the message", function()
      local status, body, headers, raw = e:get("/test/headers")
      assert.equal(200, status)
      assert.same({}, body)
      assert.equal("{}", raw)
      assert.equal("2", headers["content-length"])
      assert.equal("close", headers.connection)
      assert.equal("1", headers["x-good"])
      for _, name in ipairs { "x-evil", "x-a", "x-n", "a b", "transfer-encoding" } do assert.is_nil(headers[name]) end
    end)

    it("refuses to stream where no body streams", function()
      assert.equal(500, (e:get("/test/batch")))
    end)

    it("refuses times that are none", function()
      local _, body = e:get("/test/time")
      assert.same({ false, false }, body)
    end)
  end)
end)
