--- How often and how much: by key, user, address, route; changed while the engine runs.

local engine = require "tests.support.engine"
local socket = require "socket"

describe("limits", function()
  local e, config
  --- By signal: the settings may leave no request over for `chainwatch reload`.
  local function reloads()
    local _, n = (engine.read(e.log) or ""):gsub("group=reload [^\n]*\n", "")
    return n
  end
  local function configure(text)
    engine.write(config, "return { " .. text .. " }\n")
    if not e then return end
    local before = reloads()
    e:kill("HUP")
    engine.wait("the reload", 20, function() return reloads() > before end)
  end
  local function new_key()
    local _, user = e:post("/api/v1/users", { email = "u" .. socket.gettime() .. "@example.com", password = "a phrase of words" })
    local _, k = e:post("/api/v1/api-keys", { name = "k", user_id = user.id })
    return { ["X-API-Key"] = k.key }
  end
  local function count(n, path, headers)
    local seen, last = {}, nil
    for _ = 1, n do
      local status, _, fields = e:get(path, headers)
      seen[status] = (seen[status] or 0) + 1
      if status == 429 then last = fields end
    end
    return seen, last
  end

  setup(function()
    local dir = engine.tmpdir()
    os.execute("mkdir " .. dir .. "/rules && cp rules/fan_out.lua " .. dir .. "/rules")      -- reloads are quick
    config = dir .. "/chainwatch.lua"
    configure ""
    e = engine.start { dir = dir, env = "CHAINWATCH_CONFIG=" .. config,
      sets = { "rules.dir=" .. dir .. "/rules" } }
    e.owns = true
  end)
  teardown(function() e:stop { "group=reload" } end)

  it("says what is left", function()
    local _, _, h = e:get("/api/v1/auth/me")
    assert.is_truthy(h["ratelimit-policy"]:find('^"%a+";q=100000;w=2$'))
    assert.is_truthy(h["ratelimit"]:find('^"%a+";r=99%d+;t=%d+$'))
    assert.equal("100000", h["ratelimit-limit"])
    local left = tonumber(h["ratelimit-remaining"])
    _, _, h = e:get("/api/v1/auth/me")
    assert.is_true(tonumber(h["ratelimit-remaining"]) <= left)
    assert.is_not_nil(h["ratelimit-reset"])
  end)

  it("does not limit ingest, nor weigh its answers down, by default", function()
    local _, _, h = e:post("/api/v1/predict", engine.tx())
    assert.is_nil(h["ratelimit"])
    assert.is_nil(h["ratelimit-limit"])
  end)

  it("limits a key, and no other one", function()
    local mine, other = new_key(), new_key()
    configure "limits = { key_rate = 1, key_burst = 3 }"
    local seen, h = count(6, "/api/v1/auth/me", mine)
    assert.is_true(seen[200] >= 3 and seen[200] <= 4 and seen[429] >= 2)
    assert.equal("1", h["retry-after"])
    assert.equal("0", h["ratelimit-remaining"])
    assert.is_truthy(h["ratelimit-policy"]:find('"key"', 1, true))
    assert.equal(200, (e:get("/api/v1/auth/me", other)))
    engine.wait("the next token", 3, function() return e:get("/api/v1/auth/me", mine) == 200 end)
  end)

  it("limits a user over all keys", function()
    local first = new_key()
    configure "limits = { user_rate = 1, user_burst = 4 }"
    local _, k = e:post("/api/v1/api-keys", { name = "second" }, first)
    local a = count(3, "/api/v1/auth/me", first)
    local b = count(3, "/api/v1/auth/me", { ["X-API-Key"] = k.key })
    assert.is_true((a[429] or 0) + (b[429] or 0) >= 1)
    configure ""
  end)

  it("limits an address, whoever it is", function()
    configure "limits = { address_rate = 1, address_burst = 5 }"
    local seen = count(9, "/health/live", { ["X-API-Key"] = false })
    assert.is_true(seen[429] >= 3, "200: " .. tostring(seen[200]))
    configure ""
    assert.equal(200, (e:get("/health/live")))
  end)

  it("limits wrong keys of an address", function()
    configure "limits = { failed_rate = 1, failed_burst = 3 }"
    local seen = count(8, "/api/v1/auth/me", { ["X-API-Key"] = "cw_live_nothing" })
    assert.is_true(seen[401] >= 3 and seen[429] >= 3)
    assert.equal(200, (e:get("/api/v1/auth/me")))         -- a right one is not stopped by the wrong ones
    configure ""
  end)

  it("limits logins of an address", function()
    configure "limits = { login_rate = 1, login_burst = 2 }"
    local seen = {}
    for i = 1, 6 do
      local status = e:post("/api/v1/auth/refresh", { refresh_token = "cw_ref_" .. i }, { ["X-API-Key"] = false })
      seen[status] = (seen[status] or 0) + 1
    end
    assert.is_true(seen[401] >= 2 and seen[429] >= 2)
    configure ""
  end)

  it("limits one route: how often, how much", function()
    configure [[limits = { routes = { ["GET /api/v1/ruleset"] = { rate = 1, burst = 2 },
      ["POST /api/v1/predict"] = { body_bytes = 2000, rate = 1000 } } }]]
    local seen = count(6, "/api/v1/ruleset")
    assert.is_true(seen[200] >= 2 and seen[429] >= 2)
    assert.equal(200, (e:get("/api/v1/rules")))
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    assert.equal(413, (e:post("/api/v1/predict", engine.tx { input = "0x" .. ("ab"):rep(2000) })))
    configure ""
    assert.equal(200, (e:post("/api/v1/predict", engine.tx { input = "0x" .. ("ab"):rep(2000) })))
  end)

  it("limits ingest where that is wanted", function()
    configure "limits = { ingest_rate = 1, ingest_burst = 2 }"
    local seen = {}
    for _ = 1, 6 do
      local status = e:post("/api/v1/predict", engine.tx())
      seen[status] = (seen[status] or 0) + 1
    end
    assert.is_true(seen[200] >= 2 and seen[429] >= 2)
    configure ""
  end)

  it("limits requests under way", function()
    configure "limits = { concurrency = 2 }"
    local open = {}
    local function subscribe()
      local c = assert(socket.tcp())
      c:settimeout(10)
      c:connect("127.0.0.1", e.port)
      c:send("GET /api/v1/anomalies/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. e.key .. "\r\n\r\n")
      open[#open + 1] = c
      return tonumber(((c:receive("*l")) or ""):match("^HTTP/1%.1 (%d+)"))
    end
    assert.equal(200, subscribe())
    assert.equal(200, subscribe())
    assert.equal(429, subscribe())
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))     -- ingest does not count
    for _, c in ipairs(open) do c:close() end
    engine.wait("the places to be free", 10, function() return e:get("/api/v1/auth/me") == 200 end)
    configure ""
  end)

  it("limits connections of an address", function()
    configure "limits = { address_connections = 3 }"
    local open = {}
    for i = 1, 4 do
      local c = assert(socket.tcp())
      c:settimeout(10)
      c:connect("127.0.0.1", e.port)
      open[i] = c
      socket.sleep(0.02)                                  -- so that they are accepted in this order
    end
    local last = open[4]:receive("*l")
    assert.is_truthy((last or ""):find("503", 1, true))
    for _, c in ipairs(open) do c:close() end
    engine.wait("connections to be free", 5, function() return e:get("/health/live") == 200 end)
    configure ""
  end)

  it("names what is wrong in the settings", function()
    for text, words in pairs {
      ["limits = { key_rate = -1 }"] = "limits.key_rate", ["limits = { key_rat = 1 }"] = "key_rate",
      ["limits = { routes = { x = 1 } }"] = "limits.routes", ["limits = { routes = { ['GET /x'] = { speed = 1 } } }"] = "body_bytes",
      ["limits = { routes = { ['GET /x'] = { rate = 0 } } }"] = "above 0",
      ["auth = { registration = 'maybe' }"] = "closed, invitation or open",
      ["auth = { token_keys = '/nowhere/token.keys' }"] = "/nowhere/token.keys",
    } do
      engine.write(config, "return { " .. text .. " }\n")
      local code, said = engine.run(("%s reload --set general.data_dir=%s"):format(engine.bin, e.dir))
      assert.equal(1, code, text)
      assert.is_truthy(said:find(words, 1, true), said)
    end
    configure ""
  end)
end)
